// SPDX-License-Identifier: GPL-2.0

//! Super blocks: mounted file systems as the VFS sees them.
//!
//! C header: `include/linux/fs/super_types.h`

use super::private;
use crate::linux::bindings as b;
use core::any::Any;
use core::ptr::addr_of_mut;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use kernel::error::to_result;
use kernel::ffi::c_ulong;
use kernel::types::{NotThreadSafe, Opaque};
use latch::prelude::*;
use latch::{Rank, Rounds};
use units::Bytes;

/// A `struct super_block` of this driver.
///
/// # Invariants
///
/// `inner` is alive while a `&SuperBlock` to it lives; `s_fs_info` is
/// null or a [`Slot`] in a box of [`private::put`].
#[repr(transparent)]
pub(crate) struct SuperBlock {
    inner: Opaque<b::super_block>,
}

// SAFETY: A super block may be used from any thread.
unsafe impl Send for SuperBlock {}
// SAFETY: The methods synchronise by the super block's own locks.
unsafe impl Sync for SuperBlock {}

/// What hangs on `s_fs_info`.
pub(in crate::linux) struct Slot {
    /// First, for it goes first.
    payload: KBox<dyn Any + Send + Sync>,
    write_outs: Rounds,
    /// Whether [`SuperBlock::set_failed`] was called.
    has_failed: AtomicBool,
}

impl Slot {
    /// The slot with `payload`, of a volume that has not failed.
    pub(super) fn new<T: Send + Sync + 'static>(payload: T) -> Result<Self> {
        Ok(Self {
            payload: KBox::new(payload, GFP_KERNEL)?,
            write_outs: Rounds::new(Rank::WriteOut)?,
            has_failed: AtomicBool::new(false),
        })
    }

    /// Notes that the volume has failed.
    pub(super) fn set_failed(&self) {
        self.has_failed.store(true, Ordering::Release);
    }

    /// Whether the volume has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }
}

/// What the VFS is told of a file system at mount.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters {
    /// Bytes in a block.
    pub(crate) block_size: u32,
    /// The longest file.
    pub(crate) max_size: Bytes,
    /// What statfs and `file` know it by.
    pub(crate) magic: u32,
    /// The volume's UUID.
    pub(crate) uuid: [u8; 16],
}

impl SuperBlock {
    /// A super block that C lends.
    ///
    /// # Safety
    ///
    /// `at` is a super block of this driver, alive for `'a`.
    pub(in crate::linux) unsafe fn borrow<'a>(at: *mut b::super_block) -> &'a Self {
        // SAFETY: By the function's contract; the type is transparent.
        unsafe { &*at.cast() }
    }

    /// The C object.
    pub(in crate::linux) fn as_ptr(&self) -> *mut b::super_block {
        self.inner.get()
    }

    /// What this driver keeps for the super block, if it is a `T`.
    pub(crate) fn payload<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.slot()?.payload.downcast_ref()
    }

    /// The write-outs that tasks without space have asked for; `None` before [`super::NewSuperBlock::set_payload`].
    pub(in crate::linux) fn write_outs(&self) -> Option<&Rounds> {
        Some(&self.slot()?.write_outs)
    }

    pub(in crate::linux) fn slot(&self) -> Option<&Slot> {
        // SAFETY: By the type invariant; it is freed when no inode and no call is left.
        unsafe { private::get((*self.as_ptr()).s_fs_info) }
    }

    /// What messages call it: the device's name.
    pub(crate) fn name(&self) -> &str {
        // SAFETY: The super block is alive; the name, which ends by a zero, was set when it was made.
        let name = unsafe { CStr::from_char_ptr((*self.as_ptr()).s_id.as_ptr()) };
        name.to_str().unwrap_or("?")
    }

    /// Whether this is the type of file system that mounts show.
    pub(crate) fn is_of_type(&self, name: &CStr) -> bool {
        // SAFETY: The super block is alive and keeps its type, whose name does not change. Both names end by a zero.
        unsafe { b::strcmp((*(*self.as_ptr()).s_type).name, name.as_char_ptr()) == 0 }
    }

    /// The flags `SB_*` of the super block.
    pub(in crate::linux) fn flags(&self) -> &AtomicUsize {
        // SAFETY: The super block is alive. C, too, sets a bit of the word after an error while others read it.
        unsafe { AtomicUsize::from_ptr(addr_of_mut!((*self.as_ptr()).s_flags)) }
    }

    /// Whether it is mounted read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        // SAFETY: The super block is alive.
        unsafe { b::sb_rdonly(self.as_ptr()) }
    }

    /// Makes it read-only from now on, because the volume allows no more.
    pub(crate) fn set_read_only(&self) {
        self.flags()
            .fetch_or(b::SB_RDONLY as c_ulong, Ordering::Relaxed);
    }

    /// Whether POSIX ACLs are minded.
    pub(crate) fn has_acls(&self) -> bool {
        self.flags().load(Ordering::Relaxed) & b::SB_POSIXACL as c_ulong != 0
    }

    /// Writes out all that there is, and calls `done` while everybody is held off who would write more: as a freeze. No
    /// lock may be held, and nothing that a freeze waits for.
    pub(crate) fn write_through(&self, done: impl FnOnce()) -> Result {
        let (sb, who) = (self.as_ptr(), b::freeze_holder_FREEZE_HOLDER_KERNEL);
        // SAFETY: The super block is alive; nobody owns such a freeze.
        to_result(unsafe { b::freeze_super(sb, who, core::ptr::null()) })?;
        done();
        // SAFETY: It was frozen by this call.
        to_result(unsafe { b::thaw_super(sb, who, core::ptr::null()) })
    }

    /// Drops what this driver keeps for the super block.
    ///
    /// # Safety
    ///
    /// No other call for this super block is running or will come.
    pub(in crate::linux) unsafe fn drop_payload(&self) {
        let sb = self.as_ptr();
        // SAFETY: By the function's contract this is the last use.
        unsafe {
            let payload = core::mem::replace(&mut (*sb).s_fs_info, core::ptr::null_mut());
            private::drop_private(payload);
        }
    }

    /// Holds off whoever wants to freeze the file system. `None` while it is frozen or about to be.
    pub(crate) fn hold_unfrozen(&self) -> Option<Unfrozen<'_>> {
        // SAFETY: The super block is alive.
        let held = unsafe { b::sb_start_intwrite_trylock(self.as_ptr()) };
        // INVARIANT: It was taken.
        held.then(|| Unfrozen {
            sb: self,
            _not_send: NotThreadSafe,
        })
    }

    /// Calls `work` where the file system is not frozen, and keeps it so; does nothing where somebody is about to remount,
    /// freeze or unmount it. To freeze one that is read-only holds nobody off ([`Self::hold_unfrozen`]), and so this asks
    /// for `s_umount`. No lock may be held.
    pub(crate) fn while_unfrozen(&self, work: impl FnOnce()) {
        let _ = self.try_hold(|held| {
            // SAFETY: What the lock guards is read under it.
            if u32::from(unsafe { (*held.as_ptr()).s_writers.frozen }) == b::SB_UNFROZEN {
                work();
            }
        });
    }

    /// Keeps the file system from being frozen as [`Self::hold_unfrozen`] does, but waits until it is thawed. A thaw needs
    /// `s_umount`: nobody who holds that may wait here, or for somebody who does.
    pub(in crate::linux) fn wait_unfrozen(&self) -> Unfrozen<'_> {
        // SAFETY: The super block is alive.
        unsafe { b::sb_start_intwrite(self.as_ptr()) };
        // INVARIANT: It was taken.
        Unfrozen {
            sb: self,
            _not_send: NotThreadSafe,
        }
    }
}

/// While this lives the file system is not frozen.
///
/// # Invariants
///
/// This task started an internal write.
pub(crate) struct Unfrozen<'a> {
    sb: &'a SuperBlock,
    _not_send: NotThreadSafe,
}

impl Drop for Unfrozen<'_> {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { b::sb_end_intwrite(self.sb.as_ptr()) };
    }
}

/// A device number of no device, for the `st_dev` of a subvolume.
///
/// # Invariants
///
/// `number` is from `get_anon_bdev`.
pub(crate) struct AnonymousDevice {
    number: b::dev_t,
}

impl AnonymousDevice {
    /// Takes a number.
    pub(crate) fn new() -> Result<Self> {
        let mut number = 0;
        // SAFETY: It writes one number.
        to_result(unsafe { b::get_anon_bdev(addr_of_mut!(number)) })?;
        // INVARIANT: It succeeded.
        Ok(Self { number })
    }

    /// The device number.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for AnonymousDevice {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { b::free_anon_bdev(self.number) };
    }
}
