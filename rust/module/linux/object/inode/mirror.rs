// SPDX-License-Identifier: GPL-2.0

//! Attributes as the VFS shows them.
//!
//! The VFS's inode has a copy of them, which is read without locks. It is written by [`Inode::mirror`], which asks for the
//! lock that guards them ([`Mirrored`]), and by the calls that [`Attributes`](crate::linux::attributes::Attributes) takes
//! closures for, all while nobody else changes the attributes of that inode: so neither a copy nor a time is overwritten
//! by an older one.

use super::{Inode, NewInode};
use crate::linux::bindings as b;
use crate::linux::loff::length;
use core::ptr::addr_of_mut;
use kernel::ffi::c_long;
use units::Bytes;

/// `S_*`: what the VFS is to mind with an inode.
pub(crate) mod flags {
    use super::b;
    /// Every change is synchronous.
    pub(crate) const SYNC: u32 = b::S_SYNC;
    /// It cannot be changed.
    pub(crate) const IMMUTABLE: u32 = b::S_IMMUTABLE;
    /// Data is only appended to it.
    pub(crate) const APPEND: u32 = b::S_APPEND;
    /// Reading leaves the time of access alone.
    pub(crate) const NOATIME: u32 = b::S_NOATIME;
    /// Changes of the directory are synchronous.
    pub(crate) const DIRSYNC: u32 = b::S_DIRSYNC;
    pub(super) const ALL: u32 = SYNC | IMMUTABLE | APPEND | NOATIME | DIRSYNC;
}

/// A moment, as the VFS keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timespec {
    /// Seconds since 1970.
    pub(crate) sec: i64,
    /// Nanoseconds below a second.
    pub(crate) nsec: u32,
}

impl From<b::timespec64> for Timespec {
    fn from(time: b::timespec64) -> Self {
        Self {
            sec: time.tv_sec,
            nsec: u32::try_from(time.tv_nsec).unwrap_or(0),
        }
    }
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
    /// The number of names.
    pub(crate) nlink: u32,
    /// Bytes of data.
    pub(crate) nbytes: Bytes,
    /// Bytes in it; `None` for a regular file, whose size is the VFS's own matter.
    pub(crate) size: Option<Bytes>,
    /// Generation, for NFS handles.
    pub(crate) generation: u32,
    /// The counter of its changes.
    pub(crate) version: u64,
    /// The `S_*` flags of the inode.
    pub(crate) flags: u32,
    /// When it was read last.
    pub(crate) atime: Timespec,
    /// Last change of contents.
    pub(crate) mtime: Timespec,
    /// Last change of attributes.
    pub(crate) ctime: Timespec,
}

/// What the file system itself has of an inode: the attributes, and the lock that guards them.
///
/// The trait is safe, because no memory counts on that lock: who shows attributes without it leaves old ones in the VFS's inode,
/// and no more, see [`Inode::mirror`].
pub(crate) trait Mirrored {
    /// Calls `show` with the attributes, once, while nobody else changes them: neither here nor in the VFS's inode.
    fn show(&self, show: &mut dyn FnMut(&Mirror));
}

impl Inode {
    /// The moment of a change: a later one than any time of change that somebody saw of the inode. The caller keeps others
    /// from changing the attributes meanwhile. If the change fails they are to be mirrored all the same.
    pub(crate) fn now(&self) -> Timespec {
        let inode = self.as_ptr();
        // SAFETY: The inode is alive; the word is read without locks everywhere.
        let seen = unsafe { (*inode).i_ctime_nsec } & b::I_CTIME_QUERIED != 0;
        match seen {
            false => self.current_time(),
            // SAFETY: The inode is alive. This is later than what was seen, and no coarse time of another inode comes
            // before it.
            true => Timespec::from(unsafe { b::inode_set_ctime_current(inode) }),
        }
    }

    /// The moment at which something is made in the inode's file system.
    pub(crate) fn current_time(&self) -> Timespec {
        // SAFETY: The inode is alive.
        Timespec::from(unsafe { b::current_time(self.as_ptr()) })
    }

    /// Copies the attributes of `own`, which is what the file system has of this inode, into the VFS's.
    pub(crate) fn mirror(&self, own: &impl Mirrored) {
        own.show(&mut |attributes| self.copy(attributes));
    }

    /// Copies attributes into the VFS inode. Each is a word that C reads and writes whole, and of two copies at once some
    /// words of either stay: no memory is reached by these words.
    fn copy(&self, from: &Mirror) {
        let inode = self.as_ptr();
        self.write_mode(from.mode);
        // SAFETY: The inode is alive, and the ids are words that C's own `chown` writes beside readers without a lock.
        unsafe {
            b::i_uid_write(inode, from.uid);
            b::i_gid_write(inode, from.gid);
        }
        if self.nlink() != from.nlink {
            // SAFETY: The inode is alive. This is more than a word: where the count leaves zero or comes to it, the super
            // block's count of removed inodes changes, too. No two copies meet, as each is made under the inode's own state.
            unsafe { b::set_nlink(inode, from.nlink) };
        }
        // SAFETY: The inode is alive; nobody but file handles reads the generation, which is the same each time.
        unsafe { addr_of_mut!((*inode).i_generation).write_volatile(from.generation) };
        // SAFETY: The inode is alive; both are loops of compare and exchange on one word.
        unsafe {
            b::inode_set_max_iversion_raw(inode, from.version << b::I_VERSION_QUERIED_SHIFT);
            b::inode_set_flags(inode, from.flags, flags::ALL);
        }
        let [_, _, ctime] = self.times();
        if ctime != from.ctime {
            // A time of change that somebody saw stays marked as seen while it is the same. It goes first: who sees the
            // others sees it too.
            // SAFETY: The inode is alive; the times are words that C writes beside readers without a lock.
            unsafe { b::inode_set_ctime(inode, from.ctime.sec, nanoseconds(from.ctime)) };
        }
        // SAFETY: The inode is alive; the times are words that C writes beside readers without a lock.
        unsafe {
            b::inode_set_atime(inode, from.atime.sec, nanoseconds(from.atime));
            b::inode_set_mtime(inode, from.mtime.sec, nanoseconds(from.mtime));
        }
        // SAFETY: The inode is alive. Two words, by which nothing is reached: `stat` may show either of two sizes.
        unsafe { b::inode_set_bytes(inode, length(from.nbytes)) };
        if let Some(size) = from.size {
            self.write_size(size);
        }
    }

    /// The change counter.
    pub(crate) fn version(&self) -> u64 {
        // SAFETY: The inode is alive.
        unsafe { b::inode_peek_iversion(self.as_ptr()) }
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

impl NewInode {
    /// Copies attributes for the first time, with the `size`, whatever the inode is: somebody may have seen the change
    /// counter when the inode was in memory before.
    pub(crate) fn mirror_first(&mut self, from: &Mirror, size: Bytes) {
        self.write_size(size);
        // SAFETY: Nobody else has the inode.
        unsafe { b::inode_set_iversion_queried(self.as_ptr(), from.version) };
        self.copy(from);
    }
}

fn nanoseconds(time: Timespec) -> c_long {
    c_long::try_from(time.nsec).unwrap_or(0)
}
