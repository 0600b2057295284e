// SPDX-License-Identifier: GPL-2.0

//! What an inode owns, and how the VFS's inode mirrors the engine's.

use crate::io::data::FileIo;
use crate::linux::inode::{InodeKey, Mirror, Mirrored, Timespec};
use crate::linux::Inode;
use core::ops::BitOr;
use core::sync::atomic::AtomicBool;
use engine::disk::{InodeFlags, ObjectId};
use engine::fs::{Attributes, Subvolume, Time};
use engine::registry::Registered;
use kernel::sync::Arc;
use latch::prelude::*;

/// What an inode owns.
pub(crate) struct Node {
    /// The engine's inode: the truth for what goes to disk.
    pub(crate) inode: Arc<engine::fs::Inode>,
    /// The subvolume that it is in.
    pub(crate) subvolume: ViewInUse,
    /// A file was cut to nothing, and nobody who wrote to it has closed it since.
    pub(crate) was_emptied: AtomicBool,
}

/// A subvolume with what the VFS shows of it.
pub(crate) struct SubvolumeView {
    /// The engine's subvolume.
    pub(crate) subvolume: Subvolume,
    /// The `st_dev` of its inodes.
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

/// What the place of an absent subvolume owns: it has no inode of the engine, so no call that asks for one changes another's.
pub(crate) struct AbsentSubvolume {
    /// The subvolume of the directory that it stands in.
    pub(super) shown_in: ViewInUse,
}

/// The subvolume that `inode` is shown in.
pub(super) fn subvolume_of(inode: &Inode) -> Result<&ViewInUse> {
    match inode.payload::<AbsentSubvolume>() {
        Some(place) => Ok(&place.shown_in),
        None => node(inode).map(|node| &node.subvolume),
    }
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

/// What the VFS finds an inode by.
pub(super) fn key(view: &SubvolumeView, number: ObjectId) -> InodeKey {
    InodeKey {
        subvolume: view.subvolume.id().get(),
        number: number.get(),
    }
}

impl Node {
    /// Makes the VFS's inode agree with the engine's.
    pub(crate) fn refresh(&self, inode: &Inode) {
        inode.mirror(self);
    }
}

impl Mirrored for Node {
    fn show(&self, show: &mut dyn FnMut(&Mirror)) {
        self.inode.show(|attributes| show(&mirror_of(attributes)));
    }
}

/// What the VFS's inode shows of these attributes.
pub(super) fn mirror_of(attributes: &Attributes) -> Mirror {
    Mirror {
        mode: attributes.mode,
        uid: attributes.uid,
        gid: attributes.gid,
        nlink: attributes.nlink,
        nbytes: attributes.nbytes,
        size: (!attributes.is_regular()).then_some(attributes.size),
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

/// What stands beside those of an inode's flags that are set.
pub(super) fn paired<T: Copy + Default + BitOr<Output = T>>(
    flags: InodeFlags,
    pairs: &[(InodeFlags, T)],
) -> T {
    let set = pairs.iter().filter(|(ours, _)| flags.contains(*ours));
    set.fold(T::default(), |sum, (_, other)| sum | *other)
}
