// SPDX-License-Identifier: GPL-2.0

//! stat, setattr, times, and what else every inode has.
//!
//! | module     | what it is                  |
//! |------------|-----------------------------|
//! | `fileattr` | the flags of chattr(1)      |
//! | `xattr`    | extended attributes         |

mod fileattr;
mod xattr;

use crate::io::data::FileIo;
use crate::linux::attributes::{stat_flags, Attributes, Changed, StatExtra};
use crate::linux::inode::LockedInode;
use crate::linux::iomap::{audit, FileData, Patience};
use crate::linux::Inode;
use crate::vfs::changing::change_shown;
use crate::vfs::mount::mount_of;
use crate::vfs::node::{paired, time, timespec};
use crate::vfs::{node, Node, Rbtrfs};
use core::ops::ControlFlow;
use core::sync::atomic::Ordering;
use engine::disk::{Bytes, FileType, InodeFlags};
use engine::fs::{Attributes as Stored, Changes, Times};
use latch::prelude::*;

impl Attributes for Rbtrfs {
    fn stat(inode: &Inode) -> Result<StatExtra> {
        let (mount, this) = (mount_of(inode)?, node(inode)?);
        let attributes = this.inode.attributes();
        let pairs = [
            (InodeFlags::IMMUTABLE, stat_flags::IMMUTABLE),
            (InodeFlags::APPEND, stat_flags::APPEND),
            (InodeFlags::NODUMP, stat_flags::NODUMP),
            (InodeFlags::COMPRESS, stat_flags::COMPRESSED),
        ];
        Ok(StatExtra {
            device: this.subvolume.device,
            subvolume: this.subvolume.subvolume.id().get(),
            btime: timespec(attributes.otime),
            attributes: paired(attributes.flags, &pairs),
            attributes_mask: pairs.iter().fold(0, |sum, (_, shown)| sum | shown),
            block_size: mount.sector_size(),
            bytes: match inode.payload::<FileIo<Node>>() {
                Some(file) => file.bytes(inode.size()),
                None => attributes.nbytes,
            },
        })
    }

    fn check_change(inode: &Inode) -> Result {
        // The VFS has asked whether its super block is read-only.
        node(inode)?.subvolume.subvolume.check_writable()
    }

    fn check_write(inode: &Inode) -> Result {
        let attributes = node(inode)?.inode.attributes();
        // The others are written elsewhere.
        let is_contents = matches!(
            attributes.file_type(),
            Some(FileType::Regular | FileType::Directory | FileType::Symlink)
        );
        if !is_contents {
            return Ok(());
        }
        Self::check_change(inode)?;
        match attributes.flags.contains(InodeFlags::READONLY) {
            true => Err(EACCES),
            false => Ok(()),
        }
    }

    fn settle(inode: &Inode, write: &dyn Fn() -> Result) -> Result {
        match inode.payload::<FileIo<Node>>() {
            Some(file) => {
                let result = file.fixups().settle(write);
                audit::audit::<FileIo<Node>>(inode);
                result
            }
            None => write(),
        }
    }

    fn closed(inode: &Inode) {
        if let (Ok(mount), Ok(this)) = (mount_of(inode), node(inode)) {
            if this.was_emptied.swap(false, Ordering::Relaxed) {
                mount.replaced().add(inode);
            }
        }
    }

    fn sync(inode: &Inode) -> Result {
        let (mount, this) = (mount_of(inode)?, node(inode)?);
        mount.replaced().write_out();
        if mount.has_failed() && inode.has_lost_writes() {
            return Err(EROFS);
        }
        let synced = mount
            .fs()
            .sync_behind(&this.inode, &|| mount.replaced().write_out());
        // Who has no lock may wait for the thaw that comes in between.
        if inode.super_block().hold_unfrozen().is_some() {
            mount.replaced().let_go();
        }
        synced
    }

    fn resize(inode: LockedInode<'_>, size: Bytes) -> Result {
        crate::vfs::file::resize(inode, size)
    }

    fn store(inode: &Inode, change: &dyn Fn() -> Changed) -> Result {
        change_shown(inode, |fs, this, _| {
            let changes = |before: &Stored| changes(before, change());
            fs.inodes().set_attributes(this, changes)
        })
    }

    fn store_acl(
        inode: &Inode,
        name: &[u8],
        acl: Option<&[u8]>,
        change: &dyn Fn() -> Changed,
    ) -> Result {
        change_shown(inode, |fs, this, _| {
            let changes = |before: &Stored| changes(before, change());
            fs.inodes().set_acl(this, name, acl, changes)
        })
    }

    fn note_times(
        inode: &Inode,
        patience: Patience,
        change: &dyn Fn() -> Result<Changed>,
    ) -> Result {
        let times = || {
            let changed = change()?;
            Ok(Times {
                atime: changed.atime.map(time),
                mtime: changed.mtime.map(time),
                ctime: changed.ctime.map(time),
                sequence: Some(inode.version()),
            })
        };
        let this = node(inode)?;
        match patience {
            Patience::Waits => this.inode.note_times_by(times),
            Patience::None => this.inode.try_note_times_by(times),
        }
    }

    fn list_xattrs(inode: &Inode, out: &mut [u8]) -> Result<usize> {
        let (mount, this) = (mount_of(inode)?, node(inode)?);
        let mut len = 0_usize;
        let wants_names = !out.is_empty();
        mount.fs().inodes().list_xattrs(&this.inode, &mut |name| {
            let start = len;
            len = len.saturating_add(name.len()).saturating_add(1);
            if wants_names {
                let room = out.get_mut(start..len).ok_or(ERANGE)?;
                let (end, room) = room.split_last_mut().ok_or(ERANGE)?;
                if room.len() != name.len() {
                    return Err(ERANGE);
                }
                room.copy_from_slice(name);
                *end = 0;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(len)
    }

    fn read_link(inode: &Inode) -> Result<KVec<u8>> {
        mount_of(inode)?
            .fs()
            .inodes()
            .read_link(&node(inode)?.inode)
    }
}

/// What is stored of a change of an inode that was as `before` says.
fn changes(before: &Stored, changed: Changed) -> Changes {
    Changes {
        mode: changed.mode,
        uid: changed.owner.map(|(uid, _)| uid),
        gid: changed.owner.map(|(_, gid)| gid),
        atime: changed.atime.map(time),
        mtime: changed.mtime.map(time),
        ctime: changed.ctime.map(time),
        sequence: Some(before.sequence.wrapping_add(1)),
        ..Changes::default()
    }
}
