// SPDX-License-Identifier: GPL-2.0

//! Inodes of the VFS.
//!
//! C header: `include/linux/fs.h`
//!
//! | module     | what is in it                                          |
//! |------------|--------------------------------------------------------|
//! | [`find`]   | inodes by their keys                                   |
//! | [`new`]    | inodes that are being made                             |
//! | [`locked`] | inodes whose lock a task holds                         |
//! | [`dying`]  | inodes that leave memory                               |
//! | [`mirror`] | attributes as the VFS shows them                       |
//! | [`slot`]   | what hangs on `i_private`                              |
//!
//! Here: the inode itself.

use super::{private, SuperBlock};
use crate::linux::bindings as b;
use crate::linux::loff::{bytes, length};
use core::ptr::{addr_of_mut, NonNull};
use kernel::sync::aref::{ARef, AlwaysRefCounted};
use kernel::types::Opaque;
use units::{Bytes, FileOffset};

mod dying;
mod find;
mod locked;
mod mirror;
mod new;
mod slot;

pub(in crate::linux) use dying::DyingInode;
pub(crate) use find::Found;
pub(crate) use locked::LockedInode;
pub(crate) use mirror::{flags, Mirror, Mirrored, Timespec};
pub(crate) use new::{Made, NewInode};
pub(crate) use slot::InodeKey;
use slot::Slot;

/// A `struct inode` of this driver's super blocks.
///
/// # Invariants
///
/// `inner` is an inode whose reference count is not zero while a `&Inode` to it lives; its `i_private` is
/// null or a [`Slot`] in a box of [`private::put`].
#[repr(transparent)]
pub(crate) struct Inode {
    inner: Opaque<b::inode>,
}

// SAFETY: An inode may be used and released from any thread.
unsafe impl Send for Inode {}
// SAFETY: The methods synchronise by the inode's own locks.
unsafe impl Sync for Inode {}

// SAFETY: `i_count` keeps the inode alive.
unsafe impl AlwaysRefCounted for Inode {
    fn inc_ref(&self) {
        // SAFETY: The count is not zero by the type invariant.
        unsafe { b::ihold(self.as_ptr()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller owns a reference and gives it up.
        unsafe { b::iput(obj.as_ptr().cast()) };
    }
}

impl Inode {
    /// An inode that C lends.
    ///
    /// # Safety
    ///
    /// `at` is an inode of this driver, alive for `'a`.
    pub(in crate::linux) unsafe fn borrow<'a>(at: *mut b::inode) -> &'a Self {
        // SAFETY: By the function's contract; the type is transparent.
        unsafe { &*at.cast() }
    }

    /// The C object.
    pub(in crate::linux) fn as_ptr(&self) -> *mut b::inode {
        self.inner.get()
    }

    /// The reference as C takes it over.
    pub(in crate::linux) fn into_ptr(this: ARef<Self>) -> *mut b::inode {
        ARef::into_raw(this).as_ptr().cast()
    }

    fn slot(&self) -> Option<&Slot> {
        // SAFETY: `i_private` is as the type invariant says, and is freed only with the inode.
        unsafe { private::get((*self.as_ptr()).i_private) }
    }

    /// What this driver keeps for the inode, if it is a `T`.
    pub(crate) fn payload<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.slot()?.payload()
    }

    /// The inode's super block.
    pub(crate) fn super_block(&self) -> &SuperBlock {
        // SAFETY: An inode's super block outlives it.
        unsafe { SuperBlock::borrow((*self.as_ptr()).i_sb) }
    }

    /// What it is found by; `None` for an inode that is found by no key.
    pub(crate) fn key(&self) -> Option<InodeKey> {
        self.slot()?.key
    }

    /// Tells it from others that had its number before.
    pub(crate) fn generation(&self) -> u32 {
        // SAFETY: The inode is alive.
        unsafe { (*self.as_ptr()).i_generation }
    }

    /// The pages of its contents.
    pub(in crate::linux) fn mapping(&self) -> *mut b::address_space {
        // SAFETY: The inode is alive, and keeps its mapping from beginning to end.
        unsafe { (*self.as_ptr()).i_mapping }
    }

    /// Whether any of its contents is in memory.
    pub(in crate::linux) fn has_pages(&self) -> bool {
        // SAFETY: An inode keeps its mapping; the number is read without locks everywhere.
        unsafe { (*self.mapping()).nrpages != 0 }
    }

    /// Whether any of a file's data is dirty or on its way to the device, as far as can be told without a lock.
    pub(crate) fn has_unwritten(&self) -> bool {
        // SAFETY: An inode keeps its mapping.
        unsafe { b::filemap_range_has_writeback(self.mapping(), 0, i64::MAX) }
    }

    /// Begins to write out what is dirty of a file's data. An error is kept for fsync.
    pub(crate) fn begin_write_out(&self) {
        // SAFETY: An inode keeps its mapping.
        unsafe { b::filemap_flush(self.mapping()) };
    }

    /// Writes out what is dirty of a file's data, and waits for all that is on its way. An error is kept for fsync. The caller
    /// holds nothing that writeback takes.
    pub(crate) fn write_out(&self) {
        // SAFETY: An inode keeps its mapping.
        unsafe {
            b::filemap_fdatawrite(self.mapping());
            b::filemap_fdatawait_keep_errors(self.mapping());
        }
    }

    /// How large a block of it is: the logarithm.
    pub(in crate::linux) fn block_bits(&self) -> u32 {
        // SAFETY: The inode is alive; the size of blocks never changes.
        u32::from(unsafe { (*self.as_ptr()).i_blkbits })
    }

    /// Waits until no direct request is under way to it. Others may have begun then, where no lock keeps them from it.
    pub(in crate::linux) fn wait_direct(&self) {
        // SAFETY: The inode is alive.
        unsafe { b::inode_dio_wait(self.as_ptr()) };
    }

    /// The number of the inode.
    pub(crate) fn number(&self) -> u64 {
        // SAFETY: The inode is alive; the number never changes.
        unsafe { (*self.as_ptr()).i_ino }
    }

    /// Type and permissions.
    pub(crate) fn mode(&self) -> u32 {
        // SAFETY: The inode is alive.
        u32::from(unsafe { (*self.as_ptr()).i_mode })
    }

    /// Owner and group, as stored on disk.
    pub(crate) fn owner(&self) -> (u32, u32) {
        // SAFETY: The inode is alive.
        unsafe { (b::i_uid_read(self.as_ptr()), b::i_gid_read(self.as_ptr())) }
    }

    /// Whether pages of it could not be written since it is in memory.
    pub(crate) fn has_lost_writes(&self) -> bool {
        // SAFETY: The inode is alive, and so is its mapping.
        unsafe { b::errseq_check(addr_of_mut!((*self.mapping()).wb_err), 0) != 0 }
    }

    /// Number of names.
    pub(crate) fn nlink(&self) -> u32 {
        // SAFETY: The inode is alive; all members of the union are the same number.
        unsafe { (*self.as_ptr()).__bindgen_anon_1.i_nlink }
    }

    /// Writes type and permissions, for who may change the inode.
    fn write_mode(&self, mode: u32) {
        // SAFETY: The inode is alive; the mode is read without locks everywhere.
        unsafe { addr_of_mut!((*self.as_ptr()).i_mode).write_volatile(mode as b::umode_t) };
    }

    /// Bytes in the file.
    pub(crate) fn size(&self) -> Bytes {
        // SAFETY: The inode is alive.
        bytes(unsafe { b::i_size_read(self.as_ptr()) })
    }

    /// The position behind the last byte of the file.
    pub(crate) fn end(&self) -> FileOffset {
        FileOffset::after(self.size())
    }

    /// Writes the number of bytes in the file, for who may change the inode.
    fn write_size(&self, size: Bytes) {
        // SAFETY: The inode is alive; the size is read without locks everywhere.
        unsafe { b::i_size_write(self.as_ptr(), length(size)) };
    }

    /// Whether it is a directory.
    pub(in crate::linux) fn is_directory(&self) -> bool {
        self.mode() & b::S_IFMT == b::S_IFDIR
    }

    /// Whether changes of its names are synchronous, by the inode or by the mount.
    pub(in crate::linux) fn is_dirsync(&self) -> bool {
        self.asks_for(b::S_SYNC | b::S_DIRSYNC, b::SB_SYNCHRONOUS | b::SB_DIRSYNC)
    }

    /// Whether changes of its contents are synchronous, by the inode or by the mount.
    pub(in crate::linux) fn is_sync(&self) -> bool {
        self.asks_for(b::S_SYNC, b::SB_SYNCHRONOUS)
    }

    /// Whether the inode has one of these flags, or its super block one of those.
    fn asks_for(&self, of_inode: u32, of_super: u32) -> bool {
        // SAFETY: The inode is alive, and so is its super block.
        let (inode, sb) = unsafe {
            let inode = self.as_ptr();
            ((*inode).i_flags, (*(*inode).i_sb).s_flags)
        };
        inode & of_inode != 0 || sb as u32 & of_super != 0
    }
}
