// SPDX-License-Identifier: GPL-2.0
//! Space of one task, for blocks that it is about to dirty.

use super::covered::{Covered, RangeSpare};
use super::{Divisible, WriteKind};
use crate::disk::{Bytes, FileOffset};
use crate::map::Spare;
use latch::prelude::*;

/// Space for blocks that one task is about to dirty, and the memory to note them. Dropping it gives the space back.
pub struct Allowance<R> {
    reservation: Option<R>,
    /// Bytes that it can cover, by what is to become of them.
    cow: Bytes,
    in_place: Bytes,
    /// What is to become of the bytes that it covers next.
    kind: WriteKind,
    pub(super) spare: Option<RangeSpare<R>>,
    pub(super) mark: Option<RangeSpare<()>>,
}

impl<R> Default for Allowance<R> {
    fn default() -> Self {
        Self {
            reservation: None,
            cow: Bytes::ZERO,
            in_place: Bytes::ZERO,
            kind: WriteKind::Cow,
            spare: None,
            mark: None,
        }
    }
}

impl<R: Divisible> Allowance<R> {
    /// What is to become of the bytes that it covers next.
    pub fn kind(&self) -> WriteKind {
        self.kind
    }

    /// Says what is to become of the bytes that it covers next.
    pub fn set_kind(&mut self, kind: WriteKind) {
        self.kind = kind;
    }

    /// Bytes of its kind that it can still cover.
    pub fn bytes(&self) -> Bytes {
        match self.kind {
            WriteKind::Cow => self.cow,
            WriteKind::InPlace => self.in_place,
        }
    }

    /// Takes in a reservation for `bytes` bytes of its kind.
    pub fn add(&mut self, reservation: R, bytes: Bytes) {
        self.count(|own| own.saturating_add(bytes));
        match &mut self.reservation {
            Some(own) => own.merge(reservation),
            own @ None => *own = Some(reservation),
        }
    }

    /// Allocates what the next [`super::Delalloc::cover`] may need. It waits for memory: space that was promised to bytes
    /// must find its way back to them.
    pub fn make_ready(&mut self) -> Result {
        if self.spare.is_none() {
            self.spare = Some(Spare::new(GFP_NOFAIL)?);
        }
        if self.kind == WriteKind::InPlace && self.mark.is_none() {
            self.mark = Some(Spare::new(GFP_NOFAIL)?);
        }
        Ok(())
    }

    /// Whether it has memory and space for `bytes` more.
    pub(super) fn suffices(&self, bytes: Bytes) -> bool {
        let is_ready = match self.kind {
            WriteKind::Cow => self.spare.is_some(),
            WriteKind::InPlace => self.spare.is_some() && self.mark.is_some(),
        };
        is_ready && self.bytes() >= bytes
    }

    /// Cuts off what `bytes` bytes of its kind need. `None`, with nothing changed: it has less.
    pub(super) fn split(&mut self, bytes: Bytes) -> Option<R> {
        if !self.suffices(bytes) {
            return None;
        }
        let in_place = match self.kind {
            WriteKind::Cow => Bytes::ZERO,
            WriteKind::InPlace => bytes,
        };
        let share = self.reservation.as_mut()?.split(bytes, in_place).ok()?;
        self.count(|own| own.saturating_sub(bytes));
        Some(share)
    }

    fn count(&mut self, change: impl FnOnce(Bytes) -> Bytes) {
        let own = match self.kind {
            WriteKind::Cow => &mut self.cow,
            WriteKind::InPlace => &mut self.in_place,
        };
        *own = change(*own);
    }
}

impl WriteKind {
    /// How many bytes of `[start, end)` need space for this, where `delayed` have some and `in_place` of these are promised
    /// their own.
    pub(super) fn missing<R: Divisible>(
        self,
        delayed: &Covered<R>,
        in_place: &Covered<()>,
        (start, end): (FileOffset, FileOffset),
    ) -> Bytes {
        let missing = delayed.uncovered(start, end);
        match self {
            Self::InPlace if missing > Bytes::ZERO => in_place.uncovered(start, end),
            _ => missing,
        }
    }
}
