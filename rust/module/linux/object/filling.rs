// SPDX-License-Identifier: GPL-2.0

//! Super blocks that are being filled.
//!
//! C header: `include/linux/fs/super_types.h`

use super::super_block::{Parameters, Slot};
use super::{private, Inode, SuperBlock};
use crate::linux::bindings as b;
use crate::linux::loff::length;
use core::ops::Deref;
use core::sync::atomic::Ordering;
use kernel::ffi::c_ulong;
use kernel::sync::aref::ARef;
use latch::prelude::*;

/// A super block that is being filled.
///
/// # Invariants
///
/// Only the task that has the value uses the super block, which has no inodes but those that this task asks for.
pub(in crate::linux) struct NewSuperBlock<'a> {
    sb: &'a SuperBlock,
}

impl<'a> NewSuperBlock<'a> {
    /// # Safety
    ///
    /// The invariants of [`NewSuperBlock`].
    pub(in crate::linux) unsafe fn new(sb: &'a SuperBlock) -> Self {
        // INVARIANT: By the function's contract.
        Self { sb }
    }

    /// Keeps `payload` for the super block, which has none yet: `EBUSY` otherwise.
    pub(in crate::linux) fn set_payload<T: Send + Sync + 'static>(&mut self, payload: T) -> Result {
        if self.slot().is_some() {
            return Err(EBUSY);
        }
        let slot = Slot::new(payload)?;
        if self.noted_error() != 0 {
            // No file is there yet whose data could have failed: it is what opening the volume met.
            slot.set_failed();
        }
        // SAFETY: By the type invariant nobody else uses the word.
        unsafe { (*self.as_ptr()).s_fs_info = private::put(slot)?.as_ptr() };
        Ok(())
    }

    /// Says that POSIX ACLs are minded.
    pub(in crate::linux) fn set_acls(&mut self) {
        self.flags()
            .fetch_or(b::SB_POSIXACL as c_ulong, Ordering::Relaxed);
    }

    /// Tells the VFS about the file system.
    pub(in crate::linux) fn set_parameters(&mut self, parameters: &Parameters) {
        let sb = self.as_ptr();
        let block_size = parameters.block_size;
        // SAFETY: By the type invariant nobody else uses these fields yet.
        unsafe {
            (*sb).s_blocksize = block_size as c_ulong;
            (*sb).s_blocksize_bits = block_size.trailing_zeros() as u8;
            (*sb).s_maxbytes = length(parameters.max_size);
            (*sb).s_magic = parameters.magic as c_ulong;
            (*sb).s_time_gran = 1;
        }
        // SAFETY: By the type invariant nobody else uses the names yet; `uuid` has 16 bytes, which are copied.
        unsafe {
            b::super_set_uuid(sb, parameters.uuid.as_ptr(), 16);
            b::super_set_sysfs_name_uuid(sb);
        }
    }

    /// Makes `root` the directory at the top.
    pub(in crate::linux) fn set_root(&mut self, root: ARef<Inode>) -> Result {
        // SAFETY: It takes the inode's reference over, also where it fails.
        let root = unsafe { b::d_make_root(Inode::into_ptr(root)) };
        if root.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: By the type invariant nobody else uses the field yet.
        unsafe { (*self.as_ptr()).s_root = root };
        Ok(())
    }
}

impl Deref for NewSuperBlock<'_> {
    type Target = SuperBlock;

    fn deref(&self) -> &SuperBlock {
        self.sb
    }
}
