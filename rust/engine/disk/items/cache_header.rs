// SPDX-License-Identifier: GPL-2.0
//! The item that leads to a block group's free space cache.

use crate::disk::corrupt::{ensure, Bug, Flaw};
use crate::disk::packing::{put, whole};
use crate::disk::raw::RawCacheHeader;
use crate::disk::{Generation, Key, Kind, Logical, ObjectId};

/// What the root tree has of a block group's free space cache (C: `struct btrfs_free_space_header`), keyed by the
/// group's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheHeader {
    /// The file's inode, in the root tree.
    pub inode: ObjectId,
    /// The transaction that wrote the file; 0 if that did not come to its end.
    pub generation: Generation,
    /// Entries in the file.
    pub entries: u64,
    /// Bitmaps among them.
    pub bitmaps: u64,
}

impl CacheHeader {
    /// Bytes of the item.
    pub const SIZE: usize = RawCacheHeader::SIZE;

    /// Where the item of the group at `group` is.
    pub const fn key(group: Logical) -> Key {
        Key::new(ObjectId::FREE_SPACE.get(), Kind::CACHE_HEADER, group.get())
    }

    /// Reads an item.
    pub fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let raw: &RawCacheHeader = whole(bytes, "free space cache header has a wrong size")?;
        let location = raw.location.get();
        let of_inode = Key::new(location.objectid.get(), Kind::INODE_ITEM, 0);
        ensure(
            location == of_inode && location.objectid.is_free(),
            "cache header leads to no inode",
            location.objectid.get(),
            ObjectId::FIRST_FREE.get(),
        )?;
        Ok(Self {
            inode: location.objectid,
            generation: Generation::new(raw.generation.get()),
            entries: raw.num_entries.get(),
            bitmaps: raw.num_bitmaps.get(),
        })
    }

    /// Writes the item.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let raw = RawCacheHeader {
            location: Key::new(self.inode.get(), Kind::INODE_ITEM, 0).into(),
            generation: self.generation.get().into(),
            num_entries: self.entries.into(),
            num_bitmaps: self.bitmaps.into(),
        };
        put(bytes, &raw)
    }
}
