// SPDX-License-Identifier: GPL-2.0

//! What makes the whole volume durable: sync, freezing, and the end of a mount.

use super::Mount;
use crate::linux::mount::SyncTurn;
use crate::linux::{Held, SuperBlock};
use latch::prelude::*;

impl Mount {
    /// sync(2) and syncfs, which leave all to the second of their two turns.
    pub(super) fn sync_all(&self, sb: Held<'_>, turn: SyncTurn) -> Result {
        if self.has_failed() {
            return Err(EROFS);
        }
        if turn == SyncTurn::Begins || sb.is_read_only() {
            return Ok(());
        }
        let settled = self.settle(sb);
        let data = || self.replaced.write_out();
        data();
        let committed = self.transactions().commit_behind(&data);
        // Where it is not frozen it stays so as long as it is held.
        if sb.hold_unfrozen().is_some() {
            self.replaced.let_go();
        }
        committed.and(settled)
    }

    /// Writes out what was dirtied behind our back, which whoever called has left out: the workers find space for it.
    ///
    /// They wait while the volume is frozen, and a thaw waits for the caller, who has it held. So it is `EAGAIN` then, and what
    /// there is stays dirty. Where the volume is not frozen, it stays so as long as it is held.
    fn settle(&self, sb: Held<'_>) -> Result {
        let path = &self.data_path;
        path.tally.fixups.settle(|| {
            drop(sb.hold_unfrozen().ok_or(EAGAIN)?);
            path.fixup_queue.flush();
            sb.write_out();
            Ok(())
        })
    }

    /// The VFS holds off whoever changes something; the committer waits, and the last commit is made. Where that fails
    /// nothing is frozen: the VFS does not let writers go on when it thaws what became read-only before.
    ///
    /// The VFS has written out what was dirty before it held off those who work for others. What they have found space for since
    /// is written now: there is nothing left that whoever writes out could send while the volume is frozen.
    pub(super) fn become_frozen(&self, sb: Held<'_>) -> Result {
        sb.write_out();
        self.committer.pause();
        let committed = self.transactions().commit();
        let frozen = match self.has_failed() {
            true => Err(EROFS),
            false => committed,
        };
        frozen.inspect_err(|_| self.committer.go_on())
    }

    /// Goes on with what waited for the thaw. It cannot fail: the volume would stay frozen for ever.
    pub(super) fn become_thawed(&self, sb: &SuperBlock) {
        self.committer.go_on();
        match self.has_failed() {
            true => sb.set_read_only(),
            false => self.clean_all_orphans(),
        }
    }

    /// Writes out what the kernel leaves: all that is dirty where the super block is read-only, as after a remount by force. No
    /// work keeps an inode afterwards.
    pub(super) fn drain_all(&self, sb: Held<'_>) {
        if sb.is_read_only() && !self.has_failed() {
            sb.write_out();
            if let Err(error) = self.settle(sb) {
                pr_warn!("{}: not all is written: {error:?}\n", sb.name());
            }
        }
        self.replaced.write_out();
        self.replaced.let_go();
        self.data_path.tally.fixups.close();
        self.data_path.fixup_queue.flush();
    }

    /// Ends all work. No inode and no call is left.
    pub(super) fn end(&self) {
        self.committer.stop();
        let told = self.told.lock().take();
        drop(told);
        // An abort was reported when it happened.
        let was_aborted = self.has_failed();
        match self.transactions().close() {
            Err(error) if !was_aborted => pr_err!("the last commit failed: {error:?}\n"),
            _ => {}
        }
    }
}
