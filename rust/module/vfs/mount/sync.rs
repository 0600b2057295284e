// SPDX-License-Identifier: GPL-2.0

//! What makes the whole volume durable: sync, freezing, and the end of a mount.

use super::Mount;
use crate::linux::SuperBlock;
use latch::prelude::*;

impl Mount {
    /// sync(2) and syncfs. `wait` is false in the first of their two turns, which leaves all to the second.
    pub(super) fn sync_all(&self, sb: &SuperBlock, wait: bool) -> Result {
        if self.has_failed() {
            return Err(EROFS);
        }
        if !wait || sb.is_read_only() {
            return Ok(());
        }
        let settled = self.settle(sb);
        self.transactions().commit().and(settled)
    }

    /// Writes out what was dirtied behind our back, which whoever called has left out: the workers find space for it.
    ///
    /// They wait while the volume is frozen, and a thaw waits for the caller, who holds `s_umount`. So it is `EAGAIN`
    /// then, and what there is stays dirty. Where the volume is not frozen, the same lock keeps it so.
    fn settle(&self, sb: &SuperBlock) -> Result {
        let path = &self.data_path;
        path.tally.fixups.settle(|| {
            drop(sb.hold_unfrozen().ok_or(EAGAIN)?);
            path.fixup_queue.flush();
            sb.write_out();
            Ok(())
        })
    }

    /// The VFS holds off whoever changes something; the committer goes, and the last commit is made.
    pub(super) fn become_frozen(&self) -> Result {
        self.stop_committer();
        self.transactions().commit()
    }

    /// Goes on with what waited for the thaw.
    pub(super) fn become_thawed(&self) -> Result {
        self.start_committer()?;
        self.clean_all_orphans();
        Ok(())
    }

    /// Ends all work. No inode and no call is left.
    pub(super) fn end(&self) {
        self.stop_committer();
        let counters = self.counters.lock().take();
        drop(counters);
        // An abort was reported when it happened.
        let was_aborted = self.has_failed();
        match self.transactions().close() {
            Err(error) if !was_aborted => pr_err!("the last commit failed: {error:?}\n"),
            _ => {}
        }
    }
}
