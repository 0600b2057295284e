// SPDX-License-Identifier: GPL-2.0
//! Block groups and their items.

use crate::disk::corrupt::{ensure, ensure_eq, ensure_max, Bug, Flaw};
use crate::disk::packing::{put, whole};
use crate::disk::raw::RawBlockGroup;
use crate::disk::{BlockGroupFlags, Bytes, Key, Logical, ObjectId};

impl BlockGroupFlags {
    /// How the chunk is kept; nothing for `single`.
    pub const fn profile(self) -> Self {
        self.common(Self::PROFILES)
    }

    /// The rules for chunks and block groups: one type, at most one profile, nothing unknown.
    pub(in crate::disk) fn check(self) -> Result<(), Flaw> {
        let found = self.get();
        let known = Self::TYPES
            .with(Self::PROFILES)
            .without(Self::METADATA_REMAP);
        ensure(
            known.contains(self),
            "block group has unknown flags",
            found,
            known.get(),
        )?;
        let types = self.common(Self::TYPES).get().count_ones();
        ensure_eq("block group has not one type", types.into(), 1)?;
        ensure_max(
            "block group has several profiles",
            self.profile().get().count_ones().into(),
            1,
        )
    }
}

/// A block group (C: `struct btrfs_block_group_item`), keyed (address, length).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockGroupItem {
    /// Bytes in extents.
    pub used: Bytes,
    /// The chunk's flags.
    pub flags: BlockGroupFlags,
}

impl BlockGroupItem {
    /// Bytes of the item.
    pub const SIZE: usize = RawBlockGroup::SIZE;

    /// Writes the item.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        put(bytes, &RawBlockGroup::from(self))
    }

    /// Reads an item.
    pub fn parse(key: &Key, bytes: &[u8]) -> Result<Self, Flaw> {
        let raw: &RawBlockGroup = whole(bytes, "block group item has a wrong size")?;
        let (used, len) = (Bytes::from(raw.used), Bytes::new(key.offset));
        ensure(len > Bytes::ZERO, "block group is empty", len.get(), 1)?;
        let end = Logical::new(key.objectid.get()).checked_add(len);
        ensure(
            end.is_some(),
            "block group goes beyond all addresses",
            len.get(),
            u64::MAX,
        )?;
        ensure_eq("block group names no chunk", raw.chunk_objectid.get(), 256)?;
        ensure_max("block group uses more than it has", used.get(), len.get())?;
        let flags = BlockGroupFlags::new(raw.flags.get());
        flags.check()?;
        Ok(Self { used, flags })
    }
}

impl From<&BlockGroupItem> for RawBlockGroup {
    fn from(item: &BlockGroupItem) -> Self {
        Self {
            used: item.used.into(),
            chunk_objectid: ObjectId::FIRST_CHUNK_TREE.get().into(),
            flags: item.flags.get().into(),
        }
    }
}
