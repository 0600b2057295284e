// SPDX-License-Identifier: GPL-2.0

//! Space for bytes that are about to become dirty, and its end where they never reach the device.

use super::{FileIo, TakenSpace};
use crate::linux::iomap::{Patience, Taken};
use core::sync::atomic::Ordering;
use engine::disk::FileOffset;
use engine::fs::{Allowance, WriteReservation};
use latch::prelude::*;
use latch::NofsScope;

impl<N: Send + Sync + 'static> FileIo<N> {
    /// Makes `allowance` large enough for what of `[start, end)` is not delayed yet.
    pub(super) fn reserve_missing(
        &self,
        allowance: &mut Allowance<WriteReservation>,
        start: FileOffset,
        end: FileOffset,
        patience: Patience,
    ) -> Result {
        let missing = self.delalloc.uncovered(start, end);
        if missing == 0 {
            return Ok(());
        }
        let _nofs = NofsScope::enter();
        allowance.make_ready()?;
        let lacking = missing.saturating_sub(allowance.bytes());
        if lacking == 0 {
            return Ok(());
        }
        allowance.add(self.reserve_space(start, lacking, patience)?, lacking);
        Ok(())
    }

    /// Space for writing `len` bytes, whole sectors, at `pos`.
    pub(super) fn reserve_space(
        &self,
        pos: FileOffset,
        len: u64,
        patience: Patience,
    ) -> Result<WriteReservation> {
        let data = self.path.fs.data();
        match patience {
            Patience::Waits => data.reserve_write(&self.inode, pos, len),
            Patience::None => data.try_reserve_write(&self.inode, pos, len),
        }
    }

    /// Gives up what is delayed in `[start, end)`.
    pub(super) fn give_up(&self, start: FileOffset, end: FileOffset) {
        let _nofs = NofsScope::enter();
        if self.delalloc.punch(start, end).is_err() {
            // Out of memory for cutting a range in two: its space stays until the file is written or goes.
            pr_warn!("inode {}: delayed space kept\n", self.inode.number());
        }
    }

    /// Takes what is delayed from `start` on for writing.
    pub(super) fn take_delayed(
        &self,
        taken: &mut TakenSpace,
        start: FileOffset,
        end: FileOffset,
    ) -> Result<Taken> {
        // A folio is locked, and reclaim may punch other files.
        let _nofs = NofsScope::enter();
        match self.delalloc.take(start, end)? {
            Some((until, reservation)) => {
                let len = until.saturating_since(start);
                self.under_way.fetch_add(len, Ordering::Relaxed);
                taken.add(reservation);
                Ok(Taken::Until(until.get()))
            }
            None => {
                let next = self.delalloc.next_range(start);
                let until = next.map_or(end, |(next, _)| next.min(end));
                Ok(Taken::NothingUntil(until.get()))
            }
        }
    }

    /// Makes bytes that were taken delayed again: they could not be sent.
    pub(super) fn delay_again(
        &self,
        start: FileOffset,
        end: FileOffset,
        reservation: WriteReservation,
    ) {
        let mut allowance = Allowance::default();
        allowance.add(reservation, end.saturating_since(start));
        if allowance.make_ready().is_ok() {
            let _ = self.delalloc.cover(&mut allowance, start, end);
        }
    }
}
