// SPDX-License-Identifier: GPL-2.0

//! The calls for attributes, of inodes of all kinds.
//!
//! C headers: `include/linux/fs.h`, `include/linux/stat.h`
//!
//! | module       | what is in it          |
//! |--------------|------------------------|
//! | [`fileattr`] | the flags of chattr(1) |
//! | [`acl`]      | POSIX ACLs             |
//! | [`xattr`]    | `xattr_handler`        |

pub(in crate::linux) mod acl;
pub(crate) mod fileattr;
pub(crate) mod xattr;

use crate::linux::bindings as b;
use crate::linux::enospc::{in_turn, with_space, Persistence};
use crate::linux::inode::{LockedInode, Timespec};
use crate::linux::iomap::Patience;
use crate::linux::loff::bytes;
use crate::linux::Inode;
use kernel::error::{from_result, to_result};
use kernel::ffi::{c_char, c_int, c_long, c_uint};
use latch::prelude::*;
use latch::NofsScope;
use units::Bytes;
use xattr::room;

/// What getattr adds to the VFS inode's attributes (C: `struct kstat`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StatExtra {
    /// The device number of the subvolume.
    pub(crate) device: u32,
    /// The id of the subvolume.
    pub(crate) subvolume: u64,
    /// When it was made.
    pub(crate) btime: Timespec,
    /// `STATX_ATTR_*` that are set.
    pub(crate) attributes: u64,
    /// `STATX_ATTR_*` that are supported.
    pub(crate) attributes_mask: u64,
    /// Bytes in a block.
    pub(crate) block_size: u32,
    /// Bytes of data, those included that are not on disk yet.
    pub(crate) bytes: Bytes,
}

impl StatExtra {
    /// Adds it to what `stat` has of an inode of this `mode`.
    fn fill(&self, stat: &mut b::kstat, mode: u32) {
        stat.dev = self.device;
        stat.blksize = self.block_size;
        stat.blocks = self.bytes.get().div_ceil(512);
        stat.subvol = self.subvolume;
        stat.result_mask |= b::STATX_BTIME | b::STATX_SUBVOL;
        stat.btime.tv_sec = self.btime.sec;
        stat.btime.tv_nsec = self.btime.nsec as c_long;
        stat.attributes |= self.attributes;
        stat.attributes_mask |= self.attributes_mask;
        if mode & b::S_IFMT == b::S_IFREG {
            stat.result_mask |= b::STATX_DIOALIGN | b::STATX_DIO_READ_ALIGN;
            stat.dio_mem_align = self.block_size;
            stat.dio_offset_align = self.block_size;
            stat.dio_read_offset_align = self.block_size;
        }
    }
}

/// The bits `STATX_ATTR_*` of stat.
pub(crate) mod stat_flags {
    use super::b;
    /// Cannot be changed.
    pub(crate) const IMMUTABLE: u64 = b::STATX_ATTR_IMMUTABLE as u64;
    /// Data is only appended to it.
    pub(crate) const APPEND: u64 = b::STATX_ATTR_APPEND as u64;
    /// The inode is not to be dumped.
    pub(crate) const NODUMP: u64 = b::STATX_ATTR_NODUMP as u64;
    /// The data is compressed.
    pub(crate) const COMPRESSED: u64 = b::STATX_ATTR_COMPRESSED as u64;
}

/// What a call changed of the VFS inode's attributes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changed {
    /// Type and permissions.
    pub(crate) mode: Option<u32>,
    /// Owner and group, as stored on disk.
    pub(crate) owner: Option<(u32, u32)>,
    /// When it was read last.
    pub(crate) atime: Option<Timespec>,
    /// Last change of contents.
    pub(crate) mtime: Option<Timespec>,
    /// Last change of attributes.
    pub(crate) ctime: Option<Timespec>,
}

impl Changed {
    /// The attributes that `valid`, which is of `ATTR_*`, names, as `inode` has them now.
    fn of(inode: &Inode, valid: c_uint) -> Self {
        let [atime, mtime, ctime] = inode.times();
        let is_named = |flags: u32| valid & flags != 0;
        Self {
            mode: is_named(b::ATTR_MODE).then(|| inode.mode()),
            owner: is_named(b::ATTR_UID | b::ATTR_GID).then(|| inode.owner()),
            atime: is_named(b::ATTR_ATIME).then_some(atime),
            mtime: is_named(b::ATTR_MTIME).then_some(mtime),
            ctime: is_named(b::ATTR_CTIME).then_some(ctime),
        }
    }

    /// A new mode, and the time of change.
    pub(super) fn mode_of(inode: &Inode) -> Self {
        Self::of(inode, b::ATTR_MODE | b::ATTR_CTIME)
    }

    /// What the VFS does to the times when a file is read, or written.
    fn by_time_update(inode: &Inode, kind: b::fs_update_time) -> Self {
        match kind {
            b::fs_update_time_FS_UPD_ATIME => Self::of(inode, b::ATTR_ATIME),
            _ => Self::of(inode, b::ATTR_MTIME | b::ATTR_CTIME),
        }
    }
}

/// Attributes, of all inodes.
pub(crate) trait Attributes: xattr::Xattrs {
    /// What `stat` shows besides the VFS inode.
    fn stat(inode: &Inode) -> Result<StatExtra>;
    /// Whether any attribute may be changed: `EROFS` in a read-only subvolume.
    fn check_change(inode: &Inode) -> Result;
    /// Whether the contents may be changed, whoever asks.
    fn check_write(inode: &Inode) -> Result;
    /// Lets `write` write out data and wait for it, as often as it takes to have all that was there before the call.
    fn settle(inode: &Inode, write: &dyn Fn() -> Result) -> Result;
    /// Somebody who could write to it has closed it.
    fn closed(inode: &Inode);
    /// Makes all that was done to it durable; its data is written.
    fn sync(inode: &Inode) -> Result;
    /// Changes the size; the VFS has checked permissions and limits. After an error the VFS inode is as the disk will
    /// be.
    fn resize(inode: LockedInode<'_>, size: Bytes) -> Result;
    /// Changes the VFS inode by `change`, while nobody else changes its attributes, and stores what changed. After an error
    /// the VFS inode agrees with the disk.
    fn store(inode: &Inode, change: &dyn Fn() -> Changed) -> Result;
    /// Does what [`Self::store`] does, and in one with it sets an ACL, an extended attribute; `None` takes away one that may
    /// be there.
    fn store_acl(
        inode: &Inode,
        name: &[u8],
        acl: Option<&[u8]>,
        change: &dyn Fn() -> Changed,
    ) -> Result;
    /// Changes the VFS inode as [`Self::store`] does, for times that are stored later. Nothing is noted where `change` fails.
    fn note_times(
        inode: &Inode,
        patience: Patience,
        change: &dyn Fn() -> Result<Changed>,
    ) -> Result;
    /// Names of the extended attributes, each ended by a zero byte, into `out`; their whole length.
    fn list_xattrs(inode: &Inode, out: &mut [u8]) -> Result<usize>;
    /// The target of a symbolic link.
    fn read_link(inode: &Inode) -> Result<KVec<u8>>;
}

/// Part of the table of [`crate::linux::vfs::operations`].
pub(super) unsafe extern "C" fn getattr<T: Attributes>(
    idmap: *mut b::mnt_idmap,
    path: *const b::path,
    stat: *mut b::kstat,
    mask: u32,
    _flags: c_uint,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends the path for the call, with a reference to the inode.
        let inode = unsafe { Inode::borrow((*(*path).dentry).d_inode) };
        let extra = T::stat(inode)?;
        // SAFETY: The VFS lends the map of its mount and a `kstat` to fill.
        unsafe { b::generic_fillattr(idmap, mask, inode.as_ptr(), stat) };
        // SAFETY: The `kstat` is this call's alone until it returns.
        extra.fill(unsafe { &mut *stat }, inode.mode());
        Ok(0)
    })
}

/// Part of the table of [`crate::linux::vfs::operations`].
pub(super) unsafe extern "C" fn setattr<T: Attributes>(
    idmap: *mut b::mnt_idmap,
    dentry: *mut b::dentry,
    change: *mut b::iattr,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends the dentry for the call, with a reference to its inode, which it has locked.
        let locked = unsafe { LockedInode::new(Inode::borrow((*dentry).d_inode)) };
        let inode = &*locked;
        T::check_change(inode)?;
        // SAFETY: The VFS lends all for the call.
        to_result(unsafe { b::setattr_prepare(idmap, dentry, change) })?;
        // SAFETY: The VFS lends the change for the call; after `setattr_prepare` it is only read.
        let (valid, size) = unsafe { ((*change).ia_valid, bytes((*change).ia_size)) };
        let _nofs = NofsScope::enter();
        if valid & b::ATTR_SIZE != 0 {
            if size != inode.size() || valid & b::ATTR_MTIME != 0 {
                // Direct requests under way began with the size as it was, and none begins with the inode locked.
                inode.wait_direct();
                in_turn(inode, Persistence::Patient, || {
                    with_space(inode, || T::resize(locked, size))
                })?;
            }
        }
        let copy = || {
            // SAFETY: The VFS lends all for the call, the inode locked.
            unsafe { b::setattr_copy(idmap, inode.as_ptr(), change) };
            Changed::of(inode, valid)
        };
        with_space(inode, || T::store(inode, &copy))?;
        if valid & b::ATTR_MODE != 0 {
            // The access ACL follows the mode.
            // SAFETY: The VFS lends all for the call, the inode locked; the mode is what was just set.
            to_result(unsafe { b::posix_acl_chmod(idmap, dentry, inode.mode() as b::umode_t) })?;
        }
        Ok(0)
    })
}

/// Part of the table of [`crate::linux::vfs::operations`].
pub(super) unsafe extern "C" fn update_time<T: Attributes>(
    inode: *mut b::inode,
    kind: b::fs_update_time,
    flags: c_uint,
) -> c_int {
    // SAFETY: The VFS lends the inode.
    let this = unsafe { Inode::borrow(inode) };
    // Nothing is written here: only others may have to be waited for.
    let patience = Patience::of_request(flags as c_int);
    let flags = flags & !(b::IOCB_NOWAIT as c_uint);
    from_result(|| {
        T::check_change(this)?;
        T::note_times(this, patience, &|| {
            // SAFETY: The VFS lends the inode.
            to_result(unsafe { b::generic_update_time(inode, kind, flags) })?;
            Ok(Changed::by_time_update(this, kind))
        })?;
        Ok(0)
    })
}

/// Part of the table of [`crate::linux::vfs::operations`].
pub(super) unsafe extern "C" fn permission<T: Attributes>(
    idmap: *mut b::mnt_idmap,
    inode: *mut b::inode,
    mask: c_int,
) -> c_int {
    from_result(|| {
        let asked = mask as u32;
        if asked & b::MAY_WRITE != 0 {
            // What an inode owns goes before the grace period of those who walk without references.
            if asked & b::MAY_NOT_BLOCK != 0 {
                return Err(ECHILD);
            }
            // SAFETY: The VFS lends the inode, with a reference.
            T::check_write(unsafe { Inode::borrow(inode) })?;
        }
        // SAFETY: The VFS lends both.
        Ok(unsafe { b::generic_permission(idmap, inode, mask) })
    })
}

/// Part of the table of [`crate::linux::vfs::operations`].
pub(super) unsafe extern "C" fn listxattr<T: Attributes>(
    dentry: *mut b::dentry,
    out: *mut c_char,
    size: usize,
) -> isize {
    // SAFETY: The VFS lends both; `out` has `size` bytes, or is null.
    let (inode, out) = unsafe { (Inode::borrow((*dentry).d_inode), room(out.cast(), size)) };
    let _nofs = NofsScope::enter();
    from_result(|| T::list_xattrs(inode, out).map(|len| isize::try_from(len).unwrap_or(isize::MAX)))
}
