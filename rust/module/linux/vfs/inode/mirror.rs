// SPDX-License-Identifier: GPL-2.0

//! Attributes as the VFS shows them.

use super::Inode;
use crate::linux::bindings as b;
use kernel::ffi::c_long;

/// `S_*`: what the VFS is to mind with an inode.
pub(crate) mod flags {
    use super::b;
    /// Every change is synchronous.
    pub(crate) const SYNC: u32 = b::S_SYNC;
    /// Cannot be changed.
    pub(crate) const IMMUTABLE: u32 = b::S_IMMUTABLE;
    /// Only appended to.
    pub(crate) const APPEND: u32 = b::S_APPEND;
    /// Reading leaves the time of access alone.
    pub(crate) const NOATIME: u32 = b::S_NOATIME;
    /// Changes of the directory are synchronous.
    pub(crate) const DIRSYNC: u32 = b::S_DIRSYNC;
    pub(super) const ALL: u32 = SYNC | IMMUTABLE | APPEND | NOATIME | DIRSYNC;
}

/// A moment, as the VFS keeps them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timespec {
    /// Seconds since 1970.
    pub(crate) sec: i64,
    /// Nanoseconds below a second.
    pub(crate) nsec: u32,
}

/// Attributes that are copied into the VFS inode as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mirror {
    /// Type and permissions.
    pub(crate) mode: u32,
    /// Owner, as stored on disk.
    pub(crate) uid: u32,
    /// Group, as stored on disk.
    pub(crate) gid: u32,
    /// Names.
    pub(crate) nlink: u32,
    /// Bytes of data.
    pub(crate) nbytes: u64,
    /// Generation, for NFS handles.
    pub(crate) generation: u32,
    /// Change counter.
    pub(crate) version: u64,
    /// `S_*` flags.
    pub(crate) flags: u32,
    /// Last access.
    pub(crate) atime: Timespec,
    /// Last change of contents.
    pub(crate) mtime: Timespec,
    /// Last change of attributes.
    pub(crate) ctime: Timespec,
}

impl Inode {
    /// The moment that file times are set to.
    pub(crate) fn now(&self) -> Timespec {
        // SAFETY: The inode is alive.
        let now = unsafe { b::current_time(self.as_ptr()) };
        Timespec {
            sec: now.tv_sec,
            nsec: u32::try_from(now.tv_nsec).unwrap_or(0),
        }
    }

    /// Copies attributes into the VFS inode; size and payload are left alone.
    pub(crate) fn mirror(&self, from: &Mirror) {
        let inode = self.as_ptr();
        self.set_mode(from.mode);
        // SAFETY: The inode is alive; the fields are read without locks everywhere.
        unsafe {
            b::i_uid_write(inode, from.uid);
            b::i_gid_write(inode, from.gid);
            if self.nlink() != from.nlink {
                b::set_nlink(inode, from.nlink);
            }
            (*inode).i_generation = from.generation;
            b::inode_set_iversion_queried(inode, from.version);
            b::inode_set_flags(inode, from.flags, flags::ALL);
        }
        // SAFETY: As above.
        unsafe {
            b::inode_set_atime(inode, from.atime.sec, nanoseconds(from.atime));
            b::inode_set_mtime(inode, from.mtime.sec, nanoseconds(from.mtime));
            b::inode_set_ctime(inode, from.ctime.sec, nanoseconds(from.ctime));
            b::inode_set_bytes(inode, i64::try_from(from.nbytes).unwrap_or(i64::MAX));
        }
    }

    /// Takes over what a change of its name alone changes, of an inode that the caller need not have locked.
    pub(crate) fn mirror_name(&self, from: &Mirror) {
        // SAFETY: The inode is alive; both are read and written without the inode's lock.
        unsafe {
            b::inode_set_iversion_queried(self.as_ptr(), from.version);
            b::inode_set_ctime(self.as_ptr(), from.ctime.sec, nanoseconds(from.ctime));
        }
    }

    /// The times as the VFS has them: last access, change of contents, change of attributes.
    pub(crate) fn times(&self) -> [Timespec; 3] {
        let inode = self.as_ptr();
        let time = |sec, nsec| Timespec { sec, nsec };
        // SAFETY: The inode is alive.
        let (atime, mtime, (sec, nsec)) = unsafe {
            let atime = time((*inode).i_atime_sec, (*inode).i_atime_nsec);
            let mtime = time((*inode).i_mtime_sec, (*inode).i_mtime_nsec);
            (atime, mtime, ((*inode).i_ctime_sec, (*inode).i_ctime_nsec))
        };
        [atime, mtime, time(sec, nsec & !b::I_CTIME_QUERIED)]
    }
}

fn nanoseconds(time: Timespec) -> c_long {
    c_long::try_from(time.nsec).unwrap_or(0)
}
