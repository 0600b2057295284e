// SPDX-License-Identifier: GPL-2.0

//! The flags of chattr(1): `FS_IOC_SETFLAGS`, and as far as it has names for them `FS_IOC_FSSETXATTR`.
//!
//! C header: `include/linux/fileattr.h`. The VFS has checked who asks, and that the mount may be written.

use super::Attributes;
use crate::linux::bindings as b;
use crate::linux::enospc::with_space;
use crate::linux::inode::LockedInode;
use crate::linux::Inode;
use kernel::error::from_result;
use kernel::ffi::c_int;
use latch::prelude::*;
use latch::NofsScope;

/// The bits `FS_*_FL` of chattr(1).
pub(crate) mod flags {
    use super::b;
    /// New data is to be compressed.
    pub(crate) const COMPRESS: u32 = b::FS_COMPR_FL;
    /// Writes are synchronous.
    pub(crate) const SYNC: u32 = b::FS_SYNC_FL;
    /// Cannot be changed.
    pub(crate) const IMMUTABLE: u32 = b::FS_IMMUTABLE_FL;
    /// Data is only appended to it.
    pub(crate) const APPEND: u32 = b::FS_APPEND_FL;
    /// The inode is not for dump(8).
    pub(crate) const NODUMP: u32 = b::FS_NODUMP_FL;
    /// Reading leaves the time of access alone.
    pub(crate) const NOATIME: u32 = b::FS_NOATIME_FL;
    /// New data is not to be compressed.
    pub(crate) const NOCOMPRESS: u32 = b::FS_NOCOMP_FL;
    /// Changes of the directory are synchronous.
    pub(crate) const DIRSYNC: u32 = b::FS_DIRSYNC_FL;
    /// The file is under fs-verity.
    pub(crate) const VERITY: u32 = b::FS_VERITY_FL;
    /// Overwritten in place.
    pub(crate) const NODATACOW: u32 = b::FS_NOCOW_FL;
}

/// Which flags a call speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of them are meant.
    All,
    /// The flags for which `FS_IOC_FSSETXATTR` has names; of the others it says what they are.
    Common,
}

/// Files and directories with flags.
pub(crate) trait Flagged: 'static {
    /// The inode's flags.
    fn flags(inode: &Inode) -> Result<u32>;
    /// Changes them. The VFS inode shows them afterwards.
    fn set_flags(inode: LockedInode<'_>, flags: u32, scope: Scope) -> Result;
}

/// The call `fileattr_get` of directories and files.
pub(in crate::linux::vfs) unsafe extern "C" fn get<T: Flagged>(
    dentry: *mut b::dentry,
    out: *mut kernel::bindings::file_kattr,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends a dentry, which keeps its inode.
        let flags = T::flags(unsafe { Inode::borrow((*dentry).d_inode) })?;
        // SAFETY: The VFS lends the structure.
        unsafe { b::fileattr_fill_flags(out.cast(), flags) };
        Ok(0)
    })
}

/// The call `fileattr_set` of directories and files.
pub(in crate::linux::vfs) unsafe extern "C" fn set<T: Flagged + Attributes>(
    _idmap: *mut b::mnt_idmap,
    dentry: *mut b::dentry,
    asked: *mut kernel::bindings::file_kattr,
) -> c_int {
    let asked: *const b::file_kattr = asked.cast();
    from_result(|| {
        // SAFETY: The VFS lends a dentry, which keeps its inode, and has locked that.
        let inode = unsafe { LockedInode::new(Inode::borrow((*dentry).d_inode)) };
        T::check_change(&inode)?;
        // SAFETY: The VFS lends the structure.
        if unsafe { b::fileattr_has_fsx(asked) } {
            return Err(EOPNOTSUPP);
        }
        // SAFETY: The VFS lends the structure.
        let (flags, is_whole) = unsafe { ((*asked).flags, (*asked).flags_valid()) };
        let scope = match is_whole {
            true => Scope::All,
            false => Scope::Common,
        };
        // One under way may be making an empty file longer, with or without checksums as the flags were when it began.
        inode.wait_direct();
        let _nofs = NofsScope::enter();
        with_space(&inode, || T::set_flags(inode, flags, scope)).map(|()| 0)
    })
}
