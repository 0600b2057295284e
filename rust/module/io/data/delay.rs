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
        start: u64,
        end: u64,
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
        pos: u64,
        len: u64,
        patience: Patience,
    ) -> Result<WriteReservation> {
        let (fs, offset) = (&self.path.fs, FileOffset::new(pos));
        match patience {
            Patience::Waits => fs.data().reserve_write(&self.inode, offset, len),
            Patience::None => fs.data().try_reserve_write(&self.inode, offset, len),
        }
    }

    /// Gives up what is delayed in `[start, end)`.
    pub(super) fn give_up(&self, start: u64, end: u64) {
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
        start: u64,
        end: u64,
    ) -> Result<Taken> {
        // A folio is locked, and reclaim may punch other files.
        let _nofs = NofsScope::enter();
        match self.delalloc.take(start, end)? {
            Some((until, reservation)) => {
                let len = until.saturating_sub(start);
                self.under_way.fetch_add(len, Ordering::Relaxed);
                taken.add(reservation);
                Ok(Taken::Until(until))
            }
            None => {
                let next = self.delalloc.next_range(start);
                let until = next.map_or(end, |(next, _)| next.min(end));
                Ok(Taken::NothingUntil(until))
            }
        }
    }

    /// Makes bytes that were taken delayed again: they could not be sent.
    pub(super) fn delay_again(&self, start: u64, end: u64, reservation: WriteReservation) {
        let mut allowance = Allowance::default();
        allowance.add(reservation, end.saturating_sub(start));
        if allowance.make_ready().is_ok() {
            let _ = self.delalloc.cover(&mut allowance, start, end);
        }
    }
}
