// SPDX-License-Identifier: GPL-2.0

//! The inodes of a mount: how the VFS's is made from the engine's.

use super::Mount;
use crate::io::data::FileIo;
use crate::linux::inode::{Found, Made, NewInode};
use crate::linux::{Inode, SuperBlock};
use crate::vfs::node::{key, mirror_of, node, Node, ViewInUse};
use crate::vfs::Rbtrfs;
use core::sync::atomic::AtomicBool;
use engine::disk::{FileType, Flaw, ObjectId, Site};
use engine::fs::Subvolume;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use latch::prelude::*;

impl Mount {
    /// The inode `number` of a subvolume, from memory or from disk.
    pub(in crate::vfs) fn inode(
        &self,
        sb: &SuperBlock,
        view: &ViewInUse,
        number: ObjectId,
    ) -> Result<ARef<Inode>> {
        match sb.inode(key(view, number))? {
            Found::Cached(inode) => Ok(inode),
            Found::New(new) => {
                let inode = self.fs().inodes().get(&view.subvolume, number)?;
                Ok(self.fill(new, inode, view)?.publish())
            }
        }
    }

    /// The VFS's inode for one that the engine just made. Who guessed its number may have found it already.
    pub(in crate::vfs) fn adopt(
        &self,
        sb: &SuperBlock,
        view: &ViewInUse,
        inode: Arc<engine::fs::Inode>,
    ) -> Result<Made> {
        match sb.inode(key(view, inode.number()))? {
            Found::New(new) => self.fill(new, inode, view).map(Made::New),
            Found::Cached(found) => {
                let generation = |inode: &engine::fs::Inode| inode.attributes().generation;
                match generation(&node(&found)?.inode) == generation(&inode) {
                    true => Ok(Made::Found(found)),
                    false => Err(EBUSY),
                }
            }
        }
    }

    /// Makes a new VFS inode from the engine's.
    pub(in crate::vfs) fn fill(
        &self,
        mut new: NewInode,
        inode: Arc<engine::fs::Inode>,
        view: &ViewInUse,
    ) -> Result<NewInode> {
        let attributes = inode.attributes();
        let node = Node {
            inode: inode.clone(),
            subvolume: view.clone(),
            was_emptied: AtomicBool::new(false),
        };
        let rdev = u32::try_from(attributes.rdev).unwrap_or(0);
        let no_type = || {
            let flaw = Flaw::new("inode's mode names no type", attributes.mode.into(), 0);
            let place = Site::Inode(view.subvolume.id(), inode.number());
            flaw.at(place).report()
        };
        let kind = attributes.file_type().ok_or_else(no_type)?;
        match kind {
            FileType::Directory => new.set_directory::<Rbtrfs>(),
            FileType::Regular => new.set_regular::<Rbtrfs, FileIo<Node>>(),
            FileType::Symlink => new.set_symlink::<Rbtrfs>(),
            FileType::Xattr => return Err(no_type()),
            FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => {
                new.set_special::<Rbtrfs>(attributes.mode, rdev);
            }
        }
        // That of a directory may be any number: old drivers let it fall below zero, and nothing goes by it.
        new.mirror_first(&mirror_of(&attributes), attributes.size);
        match kind {
            FileType::Regular => {
                new.set_payload(FileIo::new(self.data_path().clone(), inode, node)?)?;
            }
            _ => new.set_payload(node)?,
        }
        Ok(new)
    }

    /// The directory at the top of a subvolume.
    pub(in crate::vfs) fn top_of(
        &self,
        sb: &SuperBlock,
        subvolume: Subvolume,
    ) -> Result<ARef<Inode>> {
        let view = self.view(sb, subvolume)?;
        let number = view.subvolume.root_directory();
        self.inode(sb, &view, number)
    }
}
