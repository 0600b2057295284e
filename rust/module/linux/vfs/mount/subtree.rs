// SPDX-License-Identifier: GPL-2.0

//! From a mount call to the dentry that it shows.
//!
//! C headers: `include/linux/fs_context.h`, `include/linux/mount.h`
//!
//! A mount shows a directory below the super block's root, which is the top of the volume. As C btrfs does, the whole is
//! mounted where nobody sees it, and a path is walked there: so the dentry found hangs on the root's, and
//! `/proc/self/mountinfo` has its path.
//!
//! mount(8) says `ro` of the super block when it means the mount. So a call that asks for `ro` takes a super block that
//! is read-write as it is: the VFS makes the mount alone read-only. One that does not ask for it makes a read-only super
//! block writable, and mounts that were read-only stay so. The options are those of the first mount.

use super::file_system::{asked, Asked, FileSystem, MountAccess};
use super::super_operations::fill_super;
use crate::linux::bindings as b;
use crate::linux::{Inode, SuperBlock};
use core::ptr::{addr_of_mut, null_mut};
use core::sync::atomic::Ordering;
use kernel::error::{from_err_ptr, from_result, to_result};
use kernel::ffi::{c_int, c_ulong};
use latch::prelude::*;

/// An active reference to a super block whose `s_umount` this task holds for writing.
///
/// # Invariants
///
/// The reference and the lock are this value's to give up.
struct Locked(*mut b::super_block);

impl Locked {
    /// The super block.
    fn super_block(&self) -> &SuperBlock {
        // SAFETY: By the type invariant the reference keeps it.
        unsafe { SuperBlock::borrow(self.0) }
    }

    /// Shows it as writable, once the volume is.
    fn set_writable(&self) {
        let flags = self.super_block().flags();
        flags.fetch_and(!(b::SB_RDONLY as c_ulong), Ordering::Relaxed);
    }

    /// Gives up the lock and keeps the reference.
    fn unlock(self) -> Active {
        let sb = core::mem::ManuallyDrop::new(self).0;
        // SAFETY: The type invariant.
        unsafe { b::up_write(addr_of_mut!((*sb).s_umount)) };
        // INVARIANT: The reference was this value's.
        Active(sb)
    }

    /// Passes both on to who takes them over.
    fn pass_on(self) {
        let _ = core::mem::ManuallyDrop::new(self);
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { b::deactivate_locked_super(self.0) };
    }
}

/// An active reference to a super block.
///
/// # Invariants
///
/// It is this value's to give up.
struct Active(*mut b::super_block);

impl Drop for Active {
    fn drop(&mut self) {
        // SAFETY: The type invariant; `s_umount` is not held.
        unsafe { b::deactivate_super(self.0) };
    }
}

/// Part of the table of [`super::context`].
pub(super) unsafe extern "C" fn get_tree<T: FileSystem>(fc: *mut b::fs_context) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends a context of ours, used by this task alone.
        let (asked, (sb, turn)) = unsafe {
            let asked = asked::<T>(fc, (*fc).sb_flags)?;
            let sb = super_of::<T>(fc, &asked)?;
            (asked, sb)
        };
        let path = T::shown_path(sb.super_block(), &asked)?;
        // SAFETY: The super block has a root.
        let whole = unsafe { mount_whole(fc, sb.unlock()) }?;
        // SAFETY: It takes the mount over; `KVec` gives a path that ends in a zero byte. What is returned is a dentry of
        // the same super block, with a reference, an active reference to that, and `s_umount` held.
        let (root, sb) = unsafe {
            let root = from_err_ptr(b::mount_subtree(whole, path.as_ptr().cast()))?;
            (root, Locked((*root).d_sb))
        };
        // SAFETY: The dentry has an inode of ours: it was found by a walk that ends at one.
        let checked = T::check_root(unsafe { Inode::borrow((*root).d_inode) }, &asked);
        // Last: a mount that is refused for another reason changes nothing.
        let ready = checked.and_then(|()| match turn {
            MountOrder::First => Ok(()),
            // SAFETY: The super block has a root.
            MountOrder::Further => unsafe { make_writable::<T>(&sb, &asked) },
        });
        if let Err(error) = ready {
            // SAFETY: The reference is given up, before the super block's.
            unsafe { b::dput(root) };
            return Err(error);
        }
        sb.pass_on();
        // SAFETY: The context takes dentry, reference and lock over.
        unsafe { (*fc).root = root };
        Ok(0)
    })
}

/// Which mount of a super block this is.
#[derive(Clone, Copy)]
enum MountOrder {
    /// The mount has opened the volume as the context asks.
    First,
    /// The volume was open.
    Further,
}

/// The super block of the context's device.
///
/// # Safety
///
/// `fc` is a context of [`super::context`] for `T`, used by this task alone.
unsafe fn super_of<T: FileSystem>(
    fc: *mut b::fs_context,
    asked: &Asked<'_, T::Options>,
) -> Result<(Locked, MountOrder)> {
    let mut dev = 0;
    // SAFETY: The context is this task's alone; its source is null or a string of its own.
    unsafe {
        if (*fc).source.is_null() {
            return Err(EINVAL);
        }
        to_result(b::lookup_bdev((*fc).source, &mut dev))?;
        (*fc).sb_flags |= b::SB_NOSEC;
    }
    // SAFETY: The context names the type of file system, which makes super blocks of devices.
    let sb = from_err_ptr(unsafe { b::sget_dev(fc.cast(), dev) })?;
    // INVARIANT: It comes locked, with a reference, and both are given to the caller.
    let sb = Locked(sb);
    // SAFETY: Who has the lock may ask whether it has a root.
    if unsafe { !(*sb.0).s_root.is_null() } {
        return Ok((sb, MountOrder::Further));
    }
    // SAFETY: Without a root it is new, and whoever has its lock fills it. The context is as above.
    unsafe {
        let flags = (*fc).sb_flags as c_int;
        to_result(b::setup_bdev_super(sb.0, flags, fc.cast()))?;
        fill_super::<T>(sb.0, asked)?;
        (*sb.0).s_flags |= b::SB_ACTIVE as c_ulong;
    }
    Ok((sb, MountOrder::First))
}

/// Makes the super block of an earlier mount writable, if it is not and this one asks for it.
///
/// # Safety
///
/// `sb` is of the file system type of `T` and has a root.
unsafe fn make_writable<T: FileSystem>(sb: &Locked, asked: &Asked<'_, T::Options>) -> Result {
    let this = sb.super_block();
    if asked.access == MountAccess::ReadOnly || !this.is_read_only() {
        return Ok(());
    }
    // SAFETY: The super block is alive and locked; a block device is mounted. These are the checks of a remount.
    unsafe {
        if b::bdev_read_only((*sb.0).s_bdev) {
            return Err(EACCES);
        }
        if u32::from((*sb.0).s_writers.frozen) != b::SB_UNFROZEN {
            return Err(EBUSY);
        }
    }
    // Nobody changes a file before what a crash left behind is cleaned: what is deleted while it is open looks the same.
    T::make_writable(this, &asked.log)?;
    sb.set_writable();
    // A transaction that was aborted in between has made it read-only already.
    this.remind_of_failure();
    Ok(())
}

/// Mounts the super block's root where nobody sees it.
///
/// # Safety
///
/// `fc` is a context without a root, used by this task alone; `sb` has a root.
unsafe fn mount_whole(fc: *mut b::fs_context, sb: Active) -> Result<*mut b::vfsmount> {
    // SAFETY: By the function's contract. The mount takes references of its own; those of the context are given up again,
    // the super block's by `sb`.
    unsafe {
        (*fc).root = b::dget((*sb.0).s_root);
        let mount = b::vfs_create_mount(fc.cast());
        b::dput(core::mem::replace(&mut (*fc).root, null_mut()));
        from_err_ptr(mount)
    }
}
