// SPDX-License-Identifier: GPL-2.0
//! The steps of a history.

use super::contents::Contents;
use super::snapshot::show;

/// A file of the history, in the order they were made. The root directory is [`ROOT`].
pub type Id = u64;

/// The root directory.
pub const ROOT: Id = 0;

/// A name in a directory or of an extended attribute.
pub type Name = Vec<u8>;

/// What a file is.
#[derive(Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A character device with this number, as stored.
    Device(u64),
    /// A named pipe.
    Fifo,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File => f.write_str("File"),
            Self::Directory => f.write_str("Directory"),
            Self::Symlink(target) => write!(f, "Symlink({})", show(target)),
            Self::Device(number) => write!(f, "Device({number})"),
            Self::Fifo => f.write_str("Fifo"),
        }
    }
}

/// A name in a directory.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory.
    pub dir: Id,
    /// The name.
    pub name: Name,
}

impl Place {
    /// The name in the root directory of a file that is called by its number.
    pub fn numbered(id: Id) -> Self {
        Self {
            dir: ROOT,
            name: format!("file {id}").into_bytes(),
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.dir, show(&self.name))
    }
}

/// How to rename.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// What stands at the new name is replaced.
    Replace,
    /// Nothing may stand at the new name.
    NoReplace,
    /// As [`Self::Replace`], with a whiteout, this file, left behind.
    Whiteout(Id),
    /// Both names are taken and swapped.
    Exchange,
}

/// Whether somebody has a file open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It stays when its last name goes, until [`Op::Close`].
    Yes,
    /// It goes with its last name.
    No,
}

/// Whether an extended attribute must exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrMode {
    /// No matter.
    Any,
    /// It must not.
    Create,
    /// It must.
    Replace,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Makes a file.
    Create {
        /// The new file.
        id: Id,
        /// Where.
        at: Place,
        /// What.
        kind: Kind,
        /// Permission bits.
        mode: u32,
    },
    /// Makes a regular file without a name, open.
    CreateUnnamed {
        /// The new file.
        id: Id,
        /// Where it could have been.
        dir: Id,
    },
    /// Gives a file one more name.
    Link {
        /// The file.
        id: Id,
        /// The name.
        at: Place,
    },
    /// Takes a name away, not of a directory.
    Unlink {
        /// The name.
        at: Place,
        /// Whether the file is in use.
        open: Open,
    },
    /// The last user of a file without a name is done.
    Close {
        /// The file.
        id: Id,
    },
    /// Removes a directory.
    Rmdir {
        /// The name.
        at: Place,
    },
    /// Renames.
    Rename {
        /// The old name.
        from: Place,
        /// The new name.
        to: Place,
        /// What happens at both.
        how: How,
    },
    /// Writes bytes that `seed` tells.
    Write {
        /// The file.
        id: Id,
        /// Where.
        offset: u64,
        /// How many.
        len: u64,
        /// See [`Contents::pattern`].
        seed: u64,
    },
    /// Sets the size.
    Truncate {
        /// The file.
        id: Id,
        /// The size.
        size: u64,
    },
    /// Makes a range zero.
    PunchHole {
        /// The file.
        id: Id,
        /// Where.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// Allocates a range without changing what is read; may raise the size.
    Preallocate {
        /// The file.
        id: Id,
        /// Where.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// Sets an extended attribute.
    SetXattr {
        /// The file.
        id: Id,
        /// The full name.
        name: Name,
        /// The value's bytes.
        value: Vec<u8>,
        /// Whether it must exist.
        mode: XattrMode,
    },
    /// Removes an extended attribute.
    RemoveXattr {
        /// The file.
        id: Id,
        /// The full name.
        name: Name,
    },
    /// Sets permission bits and owner.
    SetAttributes {
        /// The file.
        id: Id,
        /// Permission bits.
        mode: u32,
        /// Owner and group.
        owner: u32,
    },
    /// Makes everything durable.
    Sync,
    /// Makes one file durable.
    Fsync {
        /// The file.
        id: Id,
    },
    /// Forgets what can be read again.
    DropCaches,
    /// Unmounts and mounts; closes all files.
    Remount,
}

impl Op {
    /// Makes a regular file, called by its number.
    pub fn create_numbered(id: Id) -> Self {
        Self::Create {
            id,
            at: Place::numbered(id),
            kind: Kind::File,
            mode: 0o644,
        }
    }

    /// Takes the name of such a file away, which nobody has open.
    pub fn unlink_numbered(id: Id) -> Self {
        Self::Unlink {
            at: Place::numbered(id),
            open: Open::No,
        }
    }

    /// Writes bytes that the file's number tells.
    pub fn write(id: Id, offset: u64, len: u64) -> Self {
        Self::Write {
            id,
            offset,
            len,
            seed: id,
        }
    }

    /// The bytes of a [`Self::Write`].
    pub fn bytes(len: u64, seed: u64) -> Vec<u8> {
        Contents::pattern(len, seed)
    }
}
