// SPDX-License-Identifier: GPL-2.0

//! What an inode owns, and how the VFS's inode is made from the engine's.

use super::{Mount, Rbtrfs};
use crate::io::data::FileIo;
use crate::linux::inode::{Found, InodeKey, Made, Mirror, NewInode, Timespec};
use crate::linux::{Inode, SuperBlock};
use core::ops::BitOr;
use core::ptr;
use engine::disk::{FileType, Flaw, InodeFlags, ObjectId, Place};
use engine::fs::{Attributes, FileSystem, Now, Subvolume, Time};
use engine::registry::Registered;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use latch::prelude::*;

/// What an inode owns.
pub(crate) struct Node {
    /// The engine's inode: the truth for what goes to disk.
    pub(crate) inode: Arc<engine::fs::Inode>,
    /// Its subvolume.
    pub(crate) subvolume: ViewInUse,
}

/// A subvolume with what the VFS shows of it.
pub(crate) struct SubvolumeView {
    /// The engine's subvolume.
    pub(crate) subvolume: Subvolume,
    /// Its `st_dev`.
    pub(crate) device: u32,
}

/// A use of one, which all inodes of the subvolume share.
pub(crate) type ViewInUse = Registered<ObjectId, SubvolumeView>;

/// What `inode` owns. `ESTALE` for an inode that could not be read.
pub(crate) fn node(inode: &Inode) -> Result<&Node> {
    match inode.payload::<FileIo<Node>>() {
        Some(file) => Ok(&file.node),
        None => inode.payload::<Node>().ok_or(ESTALE),
    }
}

/// The mount that `inode` belongs to.
pub(super) fn mount_of(inode: &Inode) -> Result<&Mount> {
    mount(inode.super_block())
}

/// The mount behind a super block.
pub(super) fn mount(sb: &SuperBlock) -> Result<&Mount> {
    sb.payload::<Mount>().ok_or(EINVAL)
}

/// The engine's notion of a moment.
pub(super) fn time(time: Timespec) -> Time {
    Time {
        sec: time.sec,
        nsec: time.nsec,
    }
}

/// The VFS's notion of a moment.
pub(super) fn timespec(time: Time) -> Timespec {
    Timespec {
        sec: time.sec,
        nsec: time.nsec,
    }
}

impl Mount {
    /// The inode `number` of a subvolume, from memory or from disk.
    pub(super) fn inode(
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
    pub(super) fn adopt(
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
    pub(super) fn fill(
        &self,
        mut new: NewInode,
        inode: Arc<engine::fs::Inode>,
        view: &ViewInUse,
    ) -> Result<NewInode> {
        let attributes = inode.attributes();
        let node = Node {
            inode: inode.clone(),
            subvolume: view.clone(),
        };
        let rdev = u32::try_from(attributes.rdev).unwrap_or(0);
        let no_type = || {
            let flaw = Flaw::new("inode's mode names no type", attributes.mode.into(), 0);
            let place = Place::Inode(view.subvolume.id(), inode.number());
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
        new.set_size(shown_size(&attributes));
        new.mirror_first(&mirror_of(&attributes));
        match kind {
            FileType::Regular => {
                new.set_payload(FileIo::new(self.data_path().clone(), inode, node)?)?;
            }
            _ => new.set_payload(node)?,
        }
        Ok(new)
    }

    /// The directory at the top of a subvolume.
    pub(super) fn top_of(&self, sb: &SuperBlock, subvolume: Subvolume) -> Result<ARef<Inode>> {
        let view = self.view(sb, subvolume)?;
        let number = view.subvolume.root_directory();
        self.inode(sb, &view, number)
    }
}

/// What the VFS finds an inode by.
pub(super) fn key(view: &SubvolumeView, number: ObjectId) -> InodeKey {
    InodeKey {
        subvolume: view.subvolume.id().get(),
        number: number.get(),
    }
}

impl Node {
    /// Makes the VFS's inode agree with the engine's. The size of a regular file is the VFS's own matter.
    pub(crate) fn refresh(&self, inode: &Inode) {
        self.inode.show(|attributes| {
            inode.mirror(&mirror_of(attributes));
            if !attributes.is_regular() {
                inode.set_size(shown_size(attributes));
            }
        });
    }
}

/// The size that the VFS shows. That of a directory may be any number: old drivers let it fall below zero, and nothing
/// goes by it.
fn shown_size(attributes: &Attributes) -> i64 {
    i64::try_from(attributes.size).unwrap_or(i64::MAX)
}

fn mirror_of(attributes: &Attributes) -> Mirror {
    Mirror {
        mode: attributes.mode,
        uid: attributes.uid,
        gid: attributes.gid,
        nlink: attributes.nlink,
        nbytes: attributes.nbytes,
        generation: attributes.generation.get() as u32,
        version: attributes.sequence,
        flags: vfs_flags(attributes.flags),
        atime: timespec(attributes.atime),
        mtime: timespec(attributes.mtime),
        ctime: timespec(attributes.ctime),
    }
}

/// `S_*` flags of an inode by its own.
fn vfs_flags(flags: InodeFlags) -> u32 {
    use crate::linux::inode::flags;
    let pairs = [
        (InodeFlags::SYNC, flags::SYNC),
        (InodeFlags::IMMUTABLE, flags::IMMUTABLE),
        (InodeFlags::APPEND, flags::APPEND),
        (InodeFlags::NOATIME, flags::NOATIME),
        (InodeFlags::DIRSYNC, flags::DIRSYNC),
    ];
    paired(flags, &pairs)
}

/// The inodes that a call may change, with what they own. It says when each changes, and shows what became of them.
pub(super) struct Changing<'a, const N: usize>(pub(super) [(&'a Inode, &'a Node); N]);

impl<const N: usize> Changing<'_, N> {
    /// Shows what became of them, also after an error.
    pub(super) fn show(&self) {
        for (inode, node) in &self.0 {
            node.refresh(inode);
        }
    }
}

impl<const N: usize> Now for Changing<'_, N> {
    fn of(&self, changed: &engine::fs::Inode) -> Time {
        let mut all = self.0.iter();
        match all.find(|(_, node)| ptr::eq(&*node.inode, changed)) {
            Some((inode, _)) => time(inode.now()),
            None => self.of_new(),
        }
    }

    fn of_new(&self) -> Time {
        let any = self.0.first().map(|(inode, _)| inode.current_time());
        time(any.unwrap_or_default())
    }
}

/// Changes something of an inode by `change`, and shows what became of it, after an error too.
pub(super) fn change_shown(
    inode: &Inode,
    change: impl FnOnce(&FileSystem, &engine::fs::Inode, &dyn Now) -> Result,
) -> Result {
    let (mount, this) = (mount_of(inode)?, node(inode)?);
    let changing = Changing([(inode, this)]);
    let changed = change(mount.fs(), &this.inode, &changing);
    changing.show();
    changed?;
    mount.throttle();
    Ok(())
}

/// What stands beside those of an inode's flags that are set.
pub(super) fn paired<T: Copy + Default + BitOr<Output = T>>(
    flags: InodeFlags,
    pairs: &[(InodeFlags, T)],
) -> T {
    let set = pairs.iter().filter(|(ours, _)| flags.contains(*ours));
    set.fold(T::default(), |sum, (_, other)| sum | *other)
}
