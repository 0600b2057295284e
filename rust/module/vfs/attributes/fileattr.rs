// SPDX-License-Identifier: GPL-2.0

//! The flags of chattr(1), by the rules of C btrfs.

use crate::linux::fileattr::{flags as fl, Flagged, Scope};
use crate::linux::inode::LockedInode;
use crate::linux::Inode;
use crate::vfs::changing::change_shown;
use crate::vfs::mount::mount_of;
use crate::vfs::node::paired;
use crate::vfs::{node, Rbtrfs};
use engine::disk::{FileType, InodeFlags};
use engine::fs::PropertyChange;
use latch::prelude::*;

/// The flags that are no more than a bit here and a bit there.
const PLAIN: [(InodeFlags, u32); 5] = [
    (InodeFlags::SYNC, fl::SYNC),
    (InodeFlags::IMMUTABLE, fl::IMMUTABLE),
    (InodeFlags::APPEND, fl::APPEND),
    (InodeFlags::NODUMP, fl::NODUMP),
    (InodeFlags::NOATIME, fl::NOATIME),
];

/// All that may be asked for.
const KNOWN: u32 = fl::SYNC
    | fl::IMMUTABLE
    | fl::APPEND
    | fl::NODUMP
    | fl::NOATIME
    | fl::DIRSYNC
    | fl::NODATACOW
    | fl::COMPRESS
    | fl::NOCOMPRESS;

impl Flagged for Rbtrfs {
    fn flags(inode: &Inode) -> Result<u32> {
        Ok(shown(node(inode)?.inode.attributes().flags))
    }

    fn set_flags(inode: LockedInode<'_>, asked: u32, scope: Scope) -> Result {
        let (mount, this) = (mount_of(&inode)?, node(&inode)?);
        let attributes = this.inode.attributes();
        let is_file = attributes.file_type() == Some(FileType::Regular);
        let asked = match is_file {
            true => asked & !fl::DIRSYNC,
            false => asked,
        };
        check(shown(attributes.flags), asked)?;
        if !mount.volume().rules().rewrites_in_place() && asked & fl::NODATACOW != 0 {
            return Err(EPERM);
        }
        let mut change = Change::default();
        for (ours, flag) in PLAIN {
            change.set(ours, Wish::of(asked, flag));
        }
        let mut compression = PropertyChange::Kept;
        if scope == Scope::All {
            change.set(InodeFlags::DIRSYNC, Wish::of(asked, fl::DIRSYNC));
            let data = match (is_file, inode.size().is_zero()) {
                (false, _) => Contents::OfOthers,
                (true, false) => Contents::Written,
                (true, true) if mount.fs().makes_checksums() => Contents::Summed,
                (true, true) => Contents::Unsummed,
            };
            change.set_nodatacow(Wish::of(asked, fl::NODATACOW), data);
            compression = change.set_compression(asked);
            let is_named = matches!(compression, PropertyChange::Named);
            let no_sums = InodeFlags::NODATACOW.with(InodeFlags::NODATASUM);
            if is_named && !attributes.flags.common(no_sums).is_empty() {
                return Err(EINVAL);
            }
        }
        let (set, clear) = (change.on, change.off);
        change_shown(&inode, |fs, this, now| {
            fs.inodes().set_flags(this, clear, set, compression, now)
        })
    }
}

/// The flags of chattr(1) that C shows for these (`btrfs_inode_flags_to_fsflags`).
fn shown(flags: InodeFlags) -> u32 {
    let others = [
        (InodeFlags::DIRSYNC, fl::DIRSYNC),
        (InodeFlags::NODATACOW, fl::NODATACOW),
        (InodeFlags::VERITY, fl::VERITY),
    ];
    let compression = match (
        flags.contains(InodeFlags::NOCOMPRESS),
        flags.contains(InodeFlags::COMPRESS),
    ) {
        (true, _) => fl::NOCOMPRESS,
        (false, true) => fl::COMPRESS,
        (false, false) => 0,
    };
    paired(flags, &PLAIN) | paired(flags, &others) | compression
}

/// `EOPNOTSUPP` for what there is not, `EINVAL` for what does not go together (C: `check_fsflags`).
fn check(old: u32, asked: u32) -> Result {
    if asked & !KNOWN != 0 {
        return Err(EOPNOTSUPP);
    }
    let compressions = fl::COMPRESS | fl::NOCOMPRESS;
    let excluded = asked & compressions == compressions
        || asked & fl::NODATACOW != 0 && (asked & fl::COMPRESS != 0 || old & compressions != 0)
        || old & fl::NODATACOW != 0 && asked & compressions != 0;
    match excluded {
        true => Err(EINVAL),
        false => Ok(()),
    }
}

/// What a flag is asked to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    On,
    Off,
}

impl Wish {
    /// What the word `asked` wishes of `flag`.
    fn of(asked: u32, flag: u32) -> Self {
        match asked & flag {
            0 => Self::Off,
            _ => Self::On,
        }
    }
}

/// The file data that an inode's flags speak of.
#[derive(Clone, Copy, Debug)]
enum Contents {
    /// The inode is no file: its flags are for the files that are made in it.
    OfOthers,
    /// The file has data.
    Written,
    /// The file has none yet, and what is written to it gets checksums by the mount's options.
    Summed,
    /// The file has none yet, and the mount's options make no checksums.
    Unsummed,
}

/// Flags that go on and off.
struct Change {
    on: InodeFlags,
    off: InodeFlags,
}

impl Default for Change {
    fn default() -> Self {
        Self {
            on: InodeFlags::NONE,
            off: InodeFlags::NONE,
        }
    }
}

impl Change {
    fn set(&mut self, flag: InodeFlags, wish: Wish) {
        match wish {
            Wish::On => self.on = self.on.with(flag),
            Wish::Off => self.off = self.off.with(flag),
        }
    }

    /// A file with data stays as it is. What has no data has no checksums to keep either: they come back as the mount
    /// says.
    fn set_nodatacow(&mut self, wish: Wish, data: Contents) {
        match (data, wish) {
            (Contents::Written, _) => return,
            (Contents::Summed, _) | (Contents::Unsummed, Wish::On) => {
                self.set(InodeFlags::NODATASUM, wish);
            }
            (Contents::Unsummed, Wish::Off) | (Contents::OfOthers, _) => {}
        }
        self.set(InodeFlags::NODATACOW, wish);
    }

    fn set_compression(&mut self, asked: u32) -> PropertyChange {
        let never = Wish::of(asked, fl::NOCOMPRESS);
        let always = match never {
            Wish::On => Wish::Off,
            Wish::Off => Wish::of(asked, fl::COMPRESS),
        };
        self.set(InodeFlags::COMPRESS, always);
        self.set(InodeFlags::NOCOMPRESS, never);
        match always {
            Wish::On => PropertyChange::Named,
            Wish::Off => PropertyChange::Unnamed,
        }
    }
}
