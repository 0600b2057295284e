// SPDX-License-Identifier: GPL-2.0
//! Trees and their root items.

use crate::disk::corrupt::{ensure, Bug, Flaw};
use crate::disk::ids::{HIGHEST_LEVEL, MAX_LEVELS};
use crate::disk::packing::{len64, whole_mut};
use crate::disk::raw::{
    RawRootItem, INODE_ROOT_ITEM_INIT, OLD_ROOT_ITEM_SIZE, ROOT_DEAD, ROOT_READ_ONLY,
};
use crate::disk::{Bytes, Generation, Key, Logical, ObjectId, Timespec, Uuid};
use zerocopy::FromBytes;

/// Where a tree starts, as its root item or the superblock has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootPointer {
    /// The root block's address.
    pub addr: Logical,
    /// The root block's height above the leaves.
    pub level: u8,
    /// The transaction that wrote the root block.
    pub generation: Generation,
}

/// A tree (C: `struct btrfs_root_item`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootItem {
    /// The transaction that changed the tree last: its root block's generation.
    pub generation: Generation,
    /// The inode of the root directory; zero for trees without files.
    pub root_dir: ObjectId,
    /// The root block.
    pub addr: Logical,
    /// The root block's level.
    pub level: u8,
    /// Bytes of the tree's own blocks.
    pub bytes_used: Bytes,
    /// The generation of the last snapshot: older blocks may be shared.
    pub last_snapshot: Generation,
    /// The bits of a subvolume that is read-only, or dead: [`Self::is_read_only`].
    pub flags: u64,
    /// Zero when the subvolume is to be dropped.
    pub refs: u32,
    /// Where an interrupted drop is, and at which level.
    pub drop_progress: Option<(Key, u8)>,
    /// What kernels since 3.6 keep of subvolumes; `None` when an older one wrote last.
    pub extended: Option<RootExtension>,
}

/// What newer root items have in addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootExtension {
    /// The subvolume's UUID.
    pub uuid: Uuid,
    /// The UUID of the subvolume it is a snapshot of.
    pub parent_uuid: Uuid,
    /// The UUID of the subvolume it was received from.
    pub received_uuid: Uuid,
    /// The transaction that wrote an inode last.
    pub ctransid: Generation,
    /// The transaction that created it.
    pub otransid: Generation,
    /// The transaction that sent it.
    pub stransid: Generation,
    /// The transaction that received it.
    pub rtransid: Generation,
    /// When an inode was written last.
    pub ctime: Timespec,
    /// When it was made.
    pub otime: Timespec,
    /// When it was sent.
    pub stime: Timespec,
    /// When it was received.
    pub rtime: Timespec,
}

impl RootItem {
    /// Whether the subvolume refuses changes.
    pub const fn is_read_only(&self) -> bool {
        self.flags & ROOT_READ_ONLY != 0
    }
}

impl RootItem {
    /// Bytes of an item as it is written today. Old ones are shorter.
    pub const SIZE: usize = RawRootItem::SIZE;

    /// Where the tree starts.
    pub const fn pointer(&self) -> RootPointer {
        RootPointer {
            addr: self.addr,
            level: self.level,
            generation: self.generation,
        }
    }

    /// Writes where the tree starts and how much it takes into an item of today's size; the rest stays as it is.
    pub fn write_root(
        bytes: &mut [u8],
        pointer: RootPointer,
        bytes_used: Bytes,
    ) -> Result<(), Bug> {
        let raw: &mut RawRootItem = whole_mut(bytes)?;
        raw.addr.set(pointer.addr.get());
        raw.level = pointer.level;
        raw.generation.set(pointer.generation.get());
        raw.generation_v2.set(pointer.generation.get());
        raw.bytes_used.set(bytes_used.get());
        Ok(())
    }

    /// Writes when an inode of the tree was written last into an item of today's size.
    pub fn write_changed(
        bytes: &mut [u8],
        generation: Generation,
        time: Timespec,
    ) -> Result<(), Bug> {
        let raw: &mut RawRootItem = whole_mut(bytes)?;
        raw.ctransid.set(generation.get());
        raw.ctime = time.into();
        Ok(())
    }

    /// A new subvolume's item before [`Self::write_to`]: what C puts into the inode in it, of which it asks one flag.
    /// Without that it takes the item's flags for rubbish.
    pub fn blank(node_size: u32) -> Result<[u8; Self::SIZE], Bug> {
        let mut bytes = [0; Self::SIZE];
        let raw: &mut RawRootItem = whole_mut(&mut bytes)?;
        raw.inode.generation.set(1);
        raw.inode.size.set(3);
        raw.inode.nbytes.set(node_size.into());
        raw.inode.nlink.set(1);
        raw.inode.mode.set(0o040_755);
        raw.inode.flags.set(INODE_ROOT_ITEM_INIT);
        Ok(bytes)
    }

    /// An old item as one of today's size. What old ones lack is zero.
    pub fn grown(bytes: &[u8]) -> Result<[u8; Self::SIZE], Flaw> {
        ensure(
            bytes.len() == OLD_ROOT_ITEM_SIZE,
            "root item has a wrong size",
            len64(bytes),
            439,
        )?;
        let mut full = [0; Self::SIZE];
        if let Some((front, _)) = full.split_at_mut_checked(bytes.len()) {
            front.copy_from_slice(bytes);
        }
        Ok(full)
    }

    /// Writes the members into an item of today's size; what is not among them, such as the inode, stays as it is.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let raw: &mut RawRootItem = whole_mut(bytes)?;
        raw.generation.set(self.generation.get());
        raw.root_dir.set(self.root_dir.get());
        raw.addr.set(self.addr.get());
        raw.level = self.level;
        raw.bytes_used.set(self.bytes_used.get());
        raw.last_snapshot.set(self.last_snapshot.get());
        raw.flags.set(self.flags);
        raw.refs.set(self.refs);
        let (progress, level) = self.drop_progress.unwrap_or((Key::MIN, 0));
        raw.drop_progress = progress.into();
        raw.drop_level = level;
        if let Some(extended) = &self.extended {
            extended.fill(raw);
            raw.generation_v2 = raw.generation;
        }
        Ok(())
    }

    /// Reads an item, of today's size or the old one.
    pub fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        match RawRootItem::ref_from_bytes(bytes) {
            Ok(raw) => raw.try_into(),
            // Kept apart: a copy of that size is for the few old items alone.
            Err(_) => old_root_item(bytes),
        }
    }
}

#[inline(never)]
fn old_root_item(bytes: &[u8]) -> Result<RootItem, Flaw> {
    let full = RootItem::grown(bytes)?;
    let raw: &RawRootItem = zerocopy::transmute_ref!(&full);
    raw.try_into()
}

impl TryFrom<&RawRootItem> for RootItem {
    type Error = Flaw;

    fn try_from(raw: &RawRootItem) -> Result<Self, Flaw> {
        let (level, drop_level) = (raw.level, raw.drop_level);
        ensure(
            level < MAX_LEVELS,
            "root's level is too high",
            level.into(),
            HIGHEST_LEVEL.into(),
        )?;
        ensure(
            drop_level < MAX_LEVELS,
            "root's drop level is too high",
            drop_level.into(),
            HIGHEST_LEVEL.into(),
        )?;
        let progress = raw.drop_progress.get();
        let dropping = progress.objectid.get() != 0;
        ensure(
            !dropping || drop_level > 0,
            "root is dropped at level 0",
            drop_level.into(),
            1,
        )?;
        let known = ROOT_READ_ONLY | ROOT_DEAD;
        ensure(
            raw.flags.get() & !known == 0,
            "root has unknown flags",
            raw.flags.get(),
            known,
        )?;
        // An older kernel changed the item and left what it did not know.
        let current = raw.generation_v2.get() == raw.generation.get();
        Ok(Self {
            generation: Generation::new(raw.generation.get()),
            root_dir: ObjectId::new(raw.root_dir.get()),
            addr: Logical::new(raw.addr.get()),
            level,
            bytes_used: raw.bytes_used.into(),
            last_snapshot: Generation::new(raw.last_snapshot.get()),
            flags: raw.flags.get(),
            refs: raw.refs.get(),
            drop_progress: dropping.then_some((progress, drop_level)),
            extended: current.then(|| raw.into()),
        })
    }
}

impl RootExtension {
    fn fill(&self, raw: &mut RawRootItem) {
        raw.uuid = self.uuid;
        raw.parent_uuid = self.parent_uuid;
        raw.received_uuid = self.received_uuid;
        raw.ctransid.set(self.ctransid.get());
        raw.otransid.set(self.otransid.get());
        raw.stransid.set(self.stransid.get());
        raw.rtransid.set(self.rtransid.get());
        raw.ctime = self.ctime.into();
        raw.otime = self.otime.into();
        raw.stime = self.stime.into();
        raw.rtime = self.rtime.into();
    }
}

impl From<&RawRootItem> for RootExtension {
    fn from(raw: &RawRootItem) -> Self {
        Self {
            uuid: raw.uuid,
            parent_uuid: raw.parent_uuid,
            received_uuid: raw.received_uuid,
            ctransid: Generation::new(raw.ctransid.get()),
            otransid: Generation::new(raw.otransid.get()),
            stransid: Generation::new(raw.stransid.get()),
            rtransid: Generation::new(raw.rtransid.get()),
            ctime: raw.ctime.into(),
            otime: raw.otime.into(),
            stime: raw.stime.into(),
            rtime: raw.rtime.into(),
        }
    }
}

/// The key of a tree's root item, checked (C: `check_root_key`).
pub(in crate::disk) fn check_root_key(key: &Key) -> Result<(), Flaw> {
    ensure(key.objectid.get() != 0, "root has no id", 0, 1)?;
    let of_subvolume = ObjectId::new(key.offset).is_subvolume();
    let reloc = key.objectid == ObjectId::TREE_RELOC;
    ensure(
        !reloc || of_subvolume,
        "relocation tree is of no subvolume",
        key.offset,
        256,
    )
}
