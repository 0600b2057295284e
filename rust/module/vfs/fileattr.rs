// SPDX-License-Identifier: GPL-2.0

//! The flags of chattr(1), by the rules of C btrfs.

use super::changing::change_shown;
use super::mount::mount_of;
use super::node::paired;
use super::{node, Rbtrfs};
use crate::linux::fileattr::{flags as fl, Flagged, Scope};
use crate::linux::inode::LockedInode;
use crate::linux::Inode;
use engine::disk::{FileType, InodeFlags};
use engine::fs::Compression;
use latch::prelude::*;

/// Those that are no more than a bit here and a bit there.
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
            change.set(ours, asked & flag != 0);
        }
        let mut compression = Compression::Kept;
        if scope == Scope::All {
            change.set(InodeFlags::DIRSYNC, asked & fl::DIRSYNC != 0);
            let has_data = is_file && !inode.size().is_zero();
            let checksums = mount.fs().makes_checksums();
            change.set_nodatacow(asked & fl::NODATACOW != 0, is_file, has_data, checksums);
            compression = change.set_compression(asked);
            let is_named = matches!(compression, Compression::Named);
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
    fn set(&mut self, flag: InodeFlags, is_on: bool) {
        match is_on {
            true => self.on = self.on.with(flag),
            false => self.off = self.off.with(flag),
        }
    }

    /// A file with data stays as it is. What has no data has no checksums to keep either: they come back as the mount
    /// says.
    fn set_nodatacow(&mut self, is_on: bool, is_file: bool, has_data: bool, checksums: bool) {
        if has_data {
            return;
        }
        self.set(InodeFlags::NODATACOW, is_on);
        if is_file && (is_on || checksums) {
            self.set(InodeFlags::NODATASUM, is_on);
        }
    }

    fn set_compression(&mut self, asked: u32) -> Compression {
        let is_on = asked & fl::COMPRESS != 0;
        let is_off = asked & fl::NOCOMPRESS != 0;
        self.set(InodeFlags::COMPRESS, is_on && !is_off);
        self.set(InodeFlags::NOCOMPRESS, is_off);
        match is_on && !is_off {
            true => Compression::Named,
            false => Compression::Unnamed,
        }
    }
}
