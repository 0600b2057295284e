// SPDX-License-Identifier: GPL-2.0
//! Tree blocks: header, items of a leaf, pointers of a node.

use super::on_disk;
use crate::disk::{Key, Kind, Uuid};
use zerocopy::little_endian::{U32, U64};
use zerocopy::FromBytes;

on_disk! {
    /// A key (C: `btrfs_disk_key`).
    RawKey: 17 {
        /// What the item belongs to.
        objectid: U64,
        /// What kind of item it is.
        kind: u8,
        /// Which of the items it is that have this objectid and kind.
        offset: U64,
    }

    /// What every tree block begins with (C: `btrfs_header`).
    RawHeader: 101 {
        /// Checksum of all that follows this field.
        checksum: [u8; 32],
        /// The file system's (metadata) UUID.
        fsid: Uuid,
        /// The block's own address.
        addr: U64,
        /// [`HEADER_WRITTEN`], [`HEADER_RELOC`]; the top byte is the backref revision.
        flags: U64,
        /// The chunk tree's UUID.
        chunk_tree_uuid: Uuid,
        /// The transaction that wrote the block.
        generation: U64,
        /// The tree that allocated the block.
        owner: U64,
        /// Items or pointers in use.
        nritems: U32,
        /// Height above the leaves.
        level: u8,
    }

    /// An item of a leaf: its key, and where its bytes are (C: `btrfs_item`).
    RawItem: 25 {
        /// The item's key.
        key: RawKey,
        /// Where the bytes start, counted from the end of the header.
        offset: U32,
        /// How many there are.
        size: U32,
    }

    /// A pointer in a node (C: `btrfs_key_ptr`).
    RawKeyPtr: 33 {
        /// The first key of the child.
        key: RawKey,
        /// The child's address.
        addr: U64,
        /// The generation in the child's header.
        generation: U64,
    }
}

/// The block has been written once: to change it, it must be copied (C: `BTRFS_HEADER_FLAG_WRITTEN`).
pub const HEADER_WRITTEN: u64 = 1;
/// The block belongs to a relocation tree (C: `BTRFS_HEADER_FLAG_RELOC`).
pub const HEADER_RELOC: u64 = 2;
/// The backref revision of all blocks today, in the top byte of the flags (C: `BTRFS_MIXED_BACKREF_REV`).
pub const HEADER_BACKREF_REVISION: u64 = 1 << 56;

impl RawKey {
    /// The key in memory.
    #[inline]
    pub fn get(&self) -> Key {
        Key::new(self.objectid.get(), Kind::new(self.kind), self.offset.get())
    }
}

impl From<Key> for RawKey {
    fn from(key: Key) -> Self {
        Self {
            objectid: key.objectid.get().into(),
            kind: key.kind.get(),
            offset: key.offset.into(),
        }
    }
}

impl RawHeader {
    /// The header of a block and its data area; `None` when the bytes are too few.
    pub fn split(block: &[u8]) -> Option<(&RawHeader, &[u8])> {
        RawHeader::ref_from_prefix(block).ok()
    }

    /// Does what [`Self::split`] does, for who changes the block.
    pub fn split_mut(block: &mut [u8]) -> Option<(&mut RawHeader, &mut [u8])> {
        RawHeader::mut_from_prefix(block).ok()
    }
}

impl RawItem {
    /// The first `count` items of a leaf's data area, to change, and the rest of the area.
    pub fn slice_mut(area: &mut [u8], count: usize) -> Option<(&mut [RawItem], &mut [u8])> {
        <[RawItem]>::mut_from_prefix_with_elems(area, count).ok()
    }
}

impl RawKeyPtr {
    /// The first `count` pointers of a node's data area, to change.
    pub fn slice_mut(area: &mut [u8], count: usize) -> Option<&mut [RawKeyPtr]> {
        let (pointers, _) = <[RawKeyPtr]>::mut_from_prefix_with_elems(area, count).ok()?;
        Some(pointers)
    }
}
