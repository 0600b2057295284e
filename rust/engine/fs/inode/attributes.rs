// SPDX-License-Identifier: GPL-2.0
//! What an inode says of itself, and what may be changed of it.

use crate::disk::{Bytes, FileType, InodeFlags, InodeItem, Timespec as Time};

impl InodeItem {
    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.file_type() == Some(FileType::Directory)
    }

    /// Whether this is a regular file.
    pub fn is_regular(&self) -> bool {
        self.file_type() == Some(FileType::Regular)
    }

    /// Takes over what `changes` names.
    pub(in crate::fs) fn apply(&mut self, changes: &Changes) {
        fn set<T: Copy>(to: &mut T, from: Option<T>) {
            if let Some(value) = from {
                *to = value;
            }
        }
        set(&mut self.mode, changes.mode);
        set(&mut self.uid, changes.uid);
        set(&mut self.gid, changes.gid);
        set(&mut self.atime, changes.atime);
        set(&mut self.mtime, changes.mtime);
        set(&mut self.ctime, changes.ctime);
        set(&mut self.otime, changes.otime);
        self.sequence = self.sequence.max(changes.sequence.unwrap_or(0));
        set(&mut self.flags, changes.flags);
    }

    /// Notes that names, attributes or contents changed.
    pub(in crate::fs) fn touch(&mut self, now: Time) {
        self.ctime = now;
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Counts `added` bytes as the file's in place of `dropped` ones.
    pub(in crate::fs) fn exchange_bytes(&mut self, dropped: Bytes, added: Bytes) {
        self.nbytes = self.nbytes.saturating_sub(dropped).saturating_add(added);
    }

    /// Notes that the contents changed.
    pub(in crate::fs) fn touch_contents(&mut self, now: Time) {
        self.mtime = now;
        self.touch(now);
    }
}

/// What `set_attributes` changes; `None` stays. Size goes by truncate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// Type and permission bits; the type must not change.
    pub mode: Option<u32>,
    /// The owner's user id.
    pub uid: Option<u32>,
    /// The owner's group id.
    pub gid: Option<u32>,
    /// When it was read last.
    pub atime: Option<Time>,
    /// Last change of contents.
    pub mtime: Option<Time>,
    /// Last change of attributes.
    pub ctime: Option<Time>,
    /// Creation (utimes of send streams).
    pub otime: Option<Time>,
    /// Change counter: it never goes back, a lower one is passed over.
    pub sequence: Option<u64>,
    /// The flags of the inode.
    pub flags: Option<InodeFlags>,
}

/// Times and change counter, noted in memory until the next change of the inode goes out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// When it was read last.
    pub atime: Option<Time>,
    /// Last change of contents.
    pub mtime: Option<Time>,
    /// Last change of attributes.
    pub ctime: Option<Time>,
    /// Change counter, as in [`Changes`].
    pub sequence: Option<u64>,
}
