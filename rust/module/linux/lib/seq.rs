// SPDX-License-Identifier: GPL-2.0

//! Mount options as `/proc/mounts` shows them.
//!
//! C header: `include/linux/seq_file.h`

use crate::linux::bindings as b;
use core::ptr::null;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use latch::prelude::*;

/// Where options are shown, each after a comma.
///
/// # Invariants
///
/// `inner` is the sequence file behind `out`.
pub(crate) struct ShownOptions<'a> {
    inner: *mut b::seq_file,
    out: &'a SeqFile,
}

impl ShownOptions<'_> {
    /// The options of one mount.
    ///
    /// # Safety
    ///
    /// `seq` is a sequence file that is used by nobody else while the value lives.
    pub(in crate::linux) unsafe fn new(seq: *mut b::seq_file) -> Self {
        // INVARIANT: By the function's contract.
        Self {
            inner: seq,
            // SAFETY: By the function's contract.
            out: unsafe { SeqFile::from_raw(seq) },
        }
    }

    /// Shows a word.
    pub(crate) fn flag(&self, name: &CStr) {
        // SAFETY: The type invariant; the name ends by a zero.
        unsafe { b::seq_show_option(self.inner, name.as_ptr().cast(), null()) };
    }

    /// A word and what it is set to; what cannot stand in the line is escaped.
    pub(crate) fn value(&self, name: &CStr, value: &CStr) {
        // SAFETY: The type invariant; both end by a zero.
        unsafe {
            b::seq_show_option(self.inner, name.as_ptr().cast(), value.as_ptr().cast());
        }
    }

    /// A word and a number.
    pub(crate) fn number(&self, name: &CStr, value: u64) {
        self.flag(name);
        seq_print!(self.out, "={}", value);
    }
}
