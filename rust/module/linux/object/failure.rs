// SPDX-License-Identifier: GPL-2.0

//! What the VFS and its users are told when a volume fails.
//!
//! C headers: `include/linux/errseq.h`, `include/linux/fserror.h`

use super::super_block::Slot;
use super::SuperBlock;
use crate::linux::bindings as b;
use core::ptr::{addr_of_mut, null_mut};
use core::sync::atomic::Ordering;
use kernel::ffi::{c_int, c_ulong};
use latch::prelude::*;

impl SuperBlock {
    /// After an aborted transaction: it is read-only from now on, and syncfs fails once for each open file, since what
    /// was changed last is not on disk. The VFS asks no file system that is read-only.
    pub(crate) fn set_failed(&self) {
        self.show_failure();
        if let Some(slot) = self.slot() {
            slot.set_failed();
        }
        // SAFETY: The super block is alive; the word is atomic.
        unsafe { b::errseq_set(addr_of_mut!((*self.as_ptr()).s_wb_err), EROFS.to_errno()) };
    }

    /// After an aborted transaction: it is shown as read-only. Where it is frozen, its thaw has to do this: writers that
    /// wait for that would wait for ever, if it were read-only already.
    pub(crate) fn show_failure(&self) {
        if let Some(_unfrozen) = self.hold_unfrozen() {
            self.set_read_only();
        }
    }

    /// After a failure, shows it once more: to be called when a file is opened, since who opens one later learns of it by
    /// syncfs as well. The word that has `EROFS` for them may have got another error since, of the data of a file.
    pub(in crate::linux) fn remind_of_failure(&self) {
        if self.slot().is_some_and(Slot::has_failed) {
            self.set_failed();
        }
    }

    /// The error that syncfs will report; zero if there is none.
    pub(in crate::linux) fn noted_error(&self) -> c_int {
        // SAFETY: The super block is alive; the word is atomic.
        unsafe { b::errseq_check(addr_of_mut!((*self.as_ptr()).s_wb_err), 0) }
    }

    /// Metadata cannot be read or were not written, as whoever watches the file system learns (fanotify's `FAN_FS_ERROR`).
    /// What happens to the pages of a file iomap reports. Any lock may be held. While it is mounted or unmounted nobody can
    /// watch, and C would log that.
    pub(crate) fn report_metadata(&self, error: Error) {
        let is_active = self.flags().load(Ordering::Relaxed) & b::SB_ACTIVE as c_ulong != 0;
        if !is_active {
            return;
        }
        let (of, errno) = (b::fserror_type_FSERR_METADATA, error.to_errno());
        // SAFETY: The super block is alive; the event waits for nothing but memory, and not for that.
        unsafe { b::fserror_report(self.as_ptr(), null_mut(), of, 0, 0, errno, b::GFP_NOWAIT) };
    }
}
