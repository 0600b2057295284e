// SPDX-License-Identifier: GPL-2.0

//! The calls for a whole super block, from the one that fills it to the one that gives it up.
//!
//! C header: `include/linux/fs/super_types.h`

use super::file_system::{Asked, FileSystem, SyncTurn};
use crate::linux::bindings as b;
use crate::linux::inode::DyingInode;
use crate::linux::private;
use crate::linux::seq::ShownOptions;
use crate::linux::{export, xattr, BlockDevice, Held, Inode, NewSuperBlock, SuperBlock};
use core::marker::PhantomData;
use core::ptr::addr_of_mut;
use kernel::error::{from_result, to_result};
use kernel::ffi::{c_int, c_long};
use latch::prelude::*;
use latch::{Bug, NofsScope};

/// What a super block has from before the VFS can call it until after it no longer does.
const NO_PAYLOAD: Bug = Bug::new("a super block has no file system");

/// The operations of a super block.
struct Table<T>(PhantomData<T>);

impl<T: FileSystem> Table<T> {
    const SUPER: b::super_operations = b::super_operations {
        destroy_inode: Some(destroy_inode),
        free_inode: Some(free_inode),
        write_inode: Some(write_inode::<T>),
        evict_inode: Some(evict_inode::<T>),
        put_super: Some(put_super::<T>),
        sync_fs: Some(sync_fs::<T>),
        freeze_fs: Some(freeze_fs::<T>),
        unfreeze_fs: Some(unfreeze_fs::<T>),
        shutdown: Some(shutdown::<T>),
        statfs: Some(statfs::<T>),
        show_options: Some(show_options::<T>),
        ..pin_init::zeroed()
    };
}

unsafe extern "C" fn destroy_inode(inode: *mut b::inode) {
    // SAFETY: The inode is no longer in use; its memory goes later.
    unsafe {
        let slot = core::mem::replace(&mut (*inode).i_private, core::ptr::null_mut());
        private::drop_private(slot);
    }
}

unsafe extern "C" fn free_inode(inode: *mut b::inode) {
    // SAFETY: The VFS gives up an inode of ours, behind the grace period of those who walk without references.
    unsafe {
        crate::linux::vfs::symlink::drop_target(inode);
        b::free_inode_nonrcu(inode);
    }
}

unsafe extern "C" fn write_inode<T: FileSystem>(
    inode: *mut b::inode,
    _wbc: *mut b::writeback_control,
) -> c_int {
    // SAFETY: The VFS lends an inode of ours.
    let inode = unsafe { Inode::borrow(inode) };
    let _nofs = NofsScope::enter();
    from_result(|| T::write_inode(inode).map(|()| 0))
}

unsafe extern "C" fn evict_inode<T: FileSystem>(inode: *mut b::inode) {
    // SAFETY: The VFS lends an inode of ours, which nobody else has, for this call.
    let inode = unsafe { DyingInode::new(Inode::borrow(inode)) };
    inode.truncate();
    if inode.nlink() == 0 {
        let _nofs = NofsScope::enter();
        match inode.super_block().hold_unfrozen() {
            Some(_unfrozen) => T::evict(&inode),
            // Whoever freezes may be the one that drops the last reference.
            None => T::leave(&inode),
        }
    }
    inode.clear();
}

unsafe extern "C" fn put_super<T: FileSystem>(sb: *mut b::super_block) {
    // SAFETY: The VFS lends a super block of ours; no inode and no call is left.
    unsafe {
        let sb = SuperBlock::borrow(sb);
        if let Some(fs) = sb.payload::<T>() {
            fs.close();
        }
        sb.drop_payload();
    }
}

unsafe extern "C" fn sync_fs<T: FileSystem>(sb: *mut b::super_block, wait: c_int) -> c_int {
    // SAFETY: The VFS lends a super block of ours, with `s_umount` held.
    let sb = unsafe { Held::new(SuperBlock::borrow(sb)) };
    let turn = match wait {
        0 => SyncTurn::Begins,
        _ => SyncTurn::Ends,
    };
    from_result(|| T::sync(sb, turn).map(|()| 0))
}

unsafe extern "C" fn freeze_fs<T: FileSystem>(sb: *mut b::super_block) -> c_int {
    // SAFETY: The VFS lends a super block of ours, with `s_umount` held.
    let sb = unsafe { Held::new(SuperBlock::borrow(sb)) };
    from_result(|| T::freeze(sb).map(|()| 0))
}

unsafe extern "C" fn unfreeze_fs<T: FileSystem>(sb: *mut b::super_block) -> c_int {
    // SAFETY: The VFS lends a super block of ours.
    let sb = unsafe { SuperBlock::borrow(sb) };
    from_result(|| T::thaw(sb).map(|()| 0))
}

unsafe extern "C" fn shutdown<T: FileSystem>(sb: *mut b::super_block) {
    // SAFETY: The VFS lends a super block of ours, with `s_umount` held.
    T::shutdown(unsafe { SuperBlock::borrow(sb) });
}

unsafe extern "C" fn statfs<T: FileSystem>(
    dentry: *mut b::dentry,
    out: *mut kernel::bindings::kstatfs,
) -> c_int {
    // SAFETY: The VFS lends a dentry with an inode of ours.
    let (inode, sb) = unsafe {
        (
            Inode::borrow((*dentry).d_inode),
            SuperBlock::borrow((*dentry).d_sb),
        )
    };
    from_result(|| {
        let shown = sb.payload::<T>().ok_or(NO_PAYLOAD)?.statfs(inode)?;
        let out: *mut b::kstatfs = out.cast();
        // SAFETY: The VFS lends a zeroed structure.
        unsafe {
            (*out).f_type = (*sb.as_ptr()).s_magic as c_long;
            (*out).f_bsize = shown.block_size as c_long;
            (*out).f_blocks = shown.blocks;
            (*out).f_bfree = shown.free;
            (*out).f_bavail = shown.available;
            (*out).f_namelen = b::NAME_MAX as c_long;
            (*out).f_fsid.val = shown.fsid.map(|half| half as c_int);
        }
        Ok(0)
    })
}

unsafe extern "C" fn show_options<T: FileSystem>(
    seq: *mut b::seq_file,
    dentry: *mut b::dentry,
) -> c_int {
    // SAFETY: The VFS lends a dentry with an inode of ours, and the only user's sequence file.
    let (inode, sb, out) = unsafe {
        (
            Inode::borrow((*dentry).d_inode),
            SuperBlock::borrow((*dentry).d_sb),
            ShownOptions::new(seq),
        )
    };
    if let Some(fs) = sb.payload::<T>() {
        let _nofs = NofsScope::enter();
        fs.show_options(inode, &out);
    }
    0
}

/// Opens the volume on the device of a new super block.
///
/// # Safety
///
/// `sb` is a super block that `setup_bdev_super` gave a device, and that this task alone has.
pub(super) unsafe fn fill_super<T: FileSystem>(
    sb: *mut b::super_block,
    asked: &Asked<'_, T::Options>,
) -> Result {
    // SAFETY: By the function's contract.
    let device = unsafe { BlockDevice::of_super(sb) };
    // SAFETY: The super block is new, and this task's alone; the tables are static.
    let mut this = unsafe {
        (*sb).s_op = &Table::<T>::SUPER;
        (*sb).s_xattr = xattr::Table::<T::Xattrs>::handlers().cast();
        (*sb).s_export_op = core::ptr::from_ref(export::Table::<T::Xattrs>::EXPORT).cast();
        NewSuperBlock::new(SuperBlock::borrow(sb))
    };
    // SAFETY: The super block is new and has no inodes.
    unsafe { own_bdi(sb) }?;
    let fs = T::open(&this, device, asked)?;
    this.set_parameters(&fs.parameters());
    if T::wants_acls(asked.options).unwrap_or(true) {
        this.set_acls();
    }
    this.set_payload(fs)?;
    let root = T::top(&this)?;
    this.set_root(root)
}

/// What is read ahead at least, in bytes: a request of that size keeps a drive busy while the one before is checked.
const READ_AHEAD: usize = 4 << 20;

/// Gives a super block write-back and read-ahead of its own, in place of the device's.
///
/// # Safety
///
/// `sb` is being filled and has no inodes.
unsafe fn own_bdi(sb: *mut b::super_block) -> Result {
    // SAFETY: By the function's contract nobody else uses the field. The reference of `setup_bdev_super` is given
    // back; the kernel's own placeholder needs none, and `generic_shutdown_super` gives up whichever is there.
    unsafe {
        b::bdi_put((*sb).s_bdi);
        (*sb).s_bdi = addr_of_mut!(b::noop_backing_dev_info);
        to_result(b::super_setup_bdi(sb))?;
        let pages = &mut (*(*sb).s_bdi).ra_pages;
        *pages = (*pages).max(READ_AHEAD / kernel::page::PAGE_SIZE);
    }
    Ok(())
}

/// Part of the type that [`super::registration`] registers.
pub(super) unsafe extern "C" fn kill_super<T: FileSystem>(sb: *mut b::super_block) {
    // SAFETY: The VFS gives up a super block of ours, with `s_umount` held. Without a root `put_super` is not called:
    // what `fill_super` left behind goes here, while the device is open.
    unsafe {
        let this = SuperBlock::borrow(sb);
        if (*sb).s_root.is_null() {
            this.drop_payload();
        } else if let Some(fs) = this.payload::<T>() {
            // An error was told to whoever waits for one; nobody does here.
            b::sync_filesystem(sb);
            fs.drain(Held::new(this));
        }
        b::kill_block_super(sb);
    }
}
