// SPDX-License-Identifier: GPL-2.0
//! Promised bytes as values.

use super::class::Class;
use super::demand::{Shortage, Urgency};
use super::space_info::SpaceInfo;
use crate::disk::Bytes;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::sync::Arc;

/// Bytes of a class, promised. Dropping it gives back what was not used.
///
/// Many threads can draw from one `&Reservation`, as those do that share a transaction handle.
pub struct Reservation {
    space_info: Arc<SpaceInfo>,
    bytes: AtomicU64,
    awaited: Option<Awaited>,
}

/// A promise with [`Urgency::Promised`], as long as it, or a part of it, is there: who is refused such a promise meanwhile
/// waits ([`Shortage::Others`]).
pub struct Awaited {
    space_info: Arc<SpaceInfo>,
}

impl Clone for Awaited {
    fn clone(&self) -> Self {
        let mut totals = self.space_info.lock();
        totals.awaited = totals.awaited.saturating_add(1);
        let space_info = self.space_info.clone();
        Self { space_info }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut totals = self.space_info.lock();
        totals.awaited = totals.awaited.saturating_sub(1);
    }
}

impl Reservation {
    pub(in crate::space) fn new(space_info: Arc<SpaceInfo>, bytes: Bytes) -> Self {
        Self {
            space_info,
            bytes: AtomicU64::new(bytes.get()),
            awaited: None,
        }
    }

    /// Promises `bytes`, or tells what would help.
    pub(in crate::space) fn promised(
        space_info: &Arc<SpaceInfo>,
        bytes: Bytes,
        urgency: Urgency,
    ) -> Result<Self, Shortage> {
        space_info.promise(bytes, urgency)?;
        let mut promised = Self::new(space_info.clone(), bytes);
        promised.awaited = (urgency == Urgency::Promised).then(|| Awaited {
            space_info: space_info.clone(),
        });
        Ok(promised)
    }

    /// What others wait for, to be kept as long as any of the bytes is.
    pub fn take_awaited(&mut self) -> Option<Awaited> {
        self.awaited.take()
    }

    /// What is left, in bytes.
    pub fn bytes(&self) -> Bytes {
        Bytes::new(self.bytes.load(Ordering::Relaxed))
    }

    /// What the bytes are for.
    pub fn class(&self) -> Class {
        self.space_info.class()
    }

    /// Parts `bytes` off; `None` when it has fewer.
    pub fn split(&self, bytes: Bytes) -> Option<Reservation> {
        let part = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes.get())
            });
        part.ok()
            .map(|_| Reservation::new(self.space_info.clone(), bytes))
    }

    /// Takes over all of `other`. Of another class it would be lost to its own: it is given back instead.
    pub fn merge(&self, other: Reservation) {
        if Arc::ptr_eq(&self.space_info, &other.space_info) {
            self.bytes
                .fetch_add(other.bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Gives `bytes`, or all that is left, back to where they were promised from.
    pub fn give_back(&self, bytes: Bytes) {
        self.space_info.unpromise(self.draw(bytes));
    }

    /// Takes up to `bytes` out for an allocation from `space_info`; nothing if the bytes were promised from another.
    pub(in crate::space) fn draw_for(&self, space_info: &Arc<SpaceInfo>, bytes: Bytes) -> Bytes {
        if Arc::ptr_eq(&self.space_info, space_info) {
            self.draw(bytes)
        } else {
            Bytes::ZERO
        }
    }

    /// Takes in `bytes` that `space_info` has promised, if this was promised from the same; gives them back if not.
    pub(in crate::space) fn take_in(&self, space_info: &Arc<SpaceInfo>, bytes: Bytes) {
        self.merge(Reservation::new(space_info.clone(), bytes));
    }

    /// Takes up to `bytes` out; the caller accounts for them.
    fn draw(&self, bytes: Bytes) -> Bytes {
        let drawn = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(bytes.get()))
            });
        drawn.map_or(Bytes::ZERO, |before| Bytes::new(before.min(bytes.get())))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.space_info
            .unpromise(Bytes::new(self.bytes.swap(0, Ordering::Relaxed)));
    }
}
