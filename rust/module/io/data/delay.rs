// SPDX-License-Identifier: GPL-2.0

//! Space for bytes that are about to become dirty, and its end where they never reach the device.

use super::verify::reach;
use super::{FileIo, TakenSpace};
use crate::linux::iomap::{Goal, Patience, Scope, Taken};
use core::ops::Range;
use engine::disk::{Bytes, FileOffset};
use engine::fs::{Allowance, Placed, WriteKind, WriteReservation};
use latch::prelude::*;
use latch::NofsScope;

impl<N: Send + Sync + 'static> FileIo<N> {
    /// Makes `allowance` large enough for what of `range` is not delayed yet, and tells how far that goes.
    pub(super) fn reserve_missing(
        &self,
        allowance: &mut Allowance<WriteReservation>,
        range: &Range<FileOffset>,
        scope: Scope,
        patience: Patience,
    ) -> Result<FileOffset> {
        if self.delalloc.uncovered(range).is_zero() {
            return Ok(range.end);
        }
        let _nofs = NofsScope::enter();
        loop {
            let Placed { kind, len } = self.place(range, scope, patience)?;
            let (start, end) = (range.start, range.start.saturating_add(len));
            // Also where there is space left over from before.
            let data = self.path.fs.data();
            data.prepare_growth(&self.inode, end, reach(patience))?;
            allowance.set_kind(kind);
            allowance.make_ready()?;
            let missing = self.delalloc.missing(kind, &(start..end));
            let lacking = missing.saturating_sub(allowance.bytes());
            if lacking.is_zero() {
                return Ok(end);
            }
            if let Some(reservation) = self.reserve_space(start, lacking, kind, patience)? {
                allowance.add(reservation, lacking);
                return Ok(end);
            }
        }
    }

    /// Space for writing `len` bytes, whole sectors, at `pos`. `None`: what was to be written in place is not any more, ask
    /// again.
    pub(super) fn reserve_space(
        &self,
        pos: FileOffset,
        len: Bytes,
        kind: WriteKind,
        patience: Patience,
    ) -> Result<Option<WriteReservation>> {
        let data = self.path.fs.data();
        let reserved = match (kind, patience) {
            (WriteKind::InPlace, Patience::Waits) => data.reserve_in_place(&self.inode, pos, len),
            (WriteKind::InPlace, Patience::None) => return Err(EAGAIN),
            (WriteKind::Cow, Patience::Waits) => data.reserve_write(&self.inode, pos, len),
            (WriteKind::Cow, Patience::None) => data.try_reserve_write(&self.inode, pos, len),
        };
        match reserved {
            Err(error) if kind == WriteKind::InPlace && error == EAGAIN => Ok(None),
            reserved => reserved.map(Some),
        }
    }

    /// What is to become of the bytes at the start of `range`.
    pub(super) fn place(
        &self,
        range: &Range<FileOffset>,
        scope: Scope,
        patience: Patience,
    ) -> Result<Placed> {
        let (start, end) = (range.start, range.end);
        let (in_place, len) = (self.path.fs.in_place(), end.saturating_since(start));
        let whole = |kind| Ok(Placed { kind, len });
        match (scope, patience) {
            (_, Patience::None) => return in_place.place_cached(&self.inode, start, len),
            (Scope::Front, Patience::Waits) => return in_place.place(&self.inode, start, len),
            (Scope::Whole, Patience::Waits) => {}
        }
        let mut at = start;
        while at < end {
            let next = in_place.place(&self.inode, at, end.saturating_since(at))?;
            if next.kind == WriteKind::Cow {
                return whole(WriteKind::Cow);
            }
            at = at.saturating_add(next.len);
        }
        whole(WriteKind::InPlace)
    }

    /// Whether `allowance` is large enough for `range`, whose folio is locked and not under writeback, and what it is for in
    /// place still is.
    pub(super) fn is_enough(
        &self,
        allowance: &Allowance<WriteReservation>,
        range: &Range<FileOffset>,
    ) -> bool {
        if !self.delalloc.can_cover(allowance, range) {
            return false;
        }
        if allowance.kind() == WriteKind::Cow || self.delalloc.uncovered(range).is_zero() {
            return true;
        }
        let _nofs = NofsScope::enter();
        // Who asks for space next is told of an error.
        let in_place = self.path.fs.in_place();
        in_place
            .is_possible(&self.inode, range.clone())
            .unwrap_or(false)
    }

    /// Gives up what is delayed in `range`.
    pub(super) fn give_up(&self, range: &Range<FileOffset>) {
        let _nofs = NofsScope::enter();
        if self.delalloc.punch(range).is_err() {
            // Who waits for memory gets it. If not, the space stays until the file is written or goes.
            pr_warn!("inode {}: delayed space kept\n", self.inode.number());
        }
    }

    /// Takes what is delayed at the start of `range` for writing.
    pub(super) fn take_delayed(
        &self,
        taken: &mut TakenSpace,
        range: &Range<FileOffset>,
    ) -> Result<Taken> {
        // A folio is locked, and reclaim may punch other files.
        let _nofs = NofsScope::enter();
        match self.delalloc.take(range)? {
            Some(delayed) => {
                taken.add(delayed.reservation);
                Ok(Taken::Until(delayed.end, goal(delayed.kind)))
            }
            None => {
                let next = self.delalloc.next_range(range.start);
                let until = next.map_or(range.end, |next| next.start.min(range.end));
                Ok(Taken::NothingUntil(until))
            }
        }
    }

    /// Bytes that were on their way are in the trees, delayed again, or lost.
    pub(super) fn ended(&self, pos: FileOffset, len: Bytes) {
        let range = pos..pos.saturating_add(len);
        if self.delalloc.end(&range).is_err() {
            // Who waits for memory gets it. If not, they count as bytes of the file until that leaves memory.
            pr_warn!("inode {}: bytes kept as unwritten\n", self.inode.number());
        }
    }

    /// Makes bytes that were taken delayed again: they could not be sent.
    pub(super) fn delay_again(
        &self,
        range: &Range<FileOffset>,
        reservation: WriteReservation,
        goal: Goal,
    ) {
        let mut allowance = Allowance::default();
        allowance.set_kind(match goal {
            Goal::New => WriteKind::Cow,
            Goal::Unwritten => WriteKind::InPlace,
        });
        allowance.add(reservation, range.end.saturating_since(range.start));
        let is_ready = allowance.make_ready().is_ok();
        if !is_ready || self.delalloc.cover(&mut allowance, range).is_err() {
            // They are dirty all the same, and get their space as those that were dirtied behind our back.
            self.fixups.suspect();
        }
    }
}

/// Where bytes go.
pub(super) fn goal(kind: WriteKind) -> Goal {
    match kind {
        WriteKind::Cow => Goal::New,
        WriteKind::InPlace => Goal::Unwritten,
    }
}
