// SPDX-License-Identifier: GPL-2.0
//! Keys: the order of everything in a tree.

use super::{Logical, ObjectId};
use core::ops::{Range, RangeInclusive};
use kernel::fmt;

/// The kind of an item: the middle part of its key (C: `key.type`, `BTRFS_*_KEY`).
///
/// Any byte can be met on a disk, so this is a number with names and not an `enum`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Kind(u8);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Kind {
            $($(#[$doc])* pub const $name: Kind = Kind($value);)*

            /// Gives the byte its meaning.
            pub const fn new(value: u8) -> Self {
                Self(value)
            }

            /// The byte as the disk has it.
            pub const fn get(self) -> u8 {
                self.0
            }

            /// The kind's name, or `None` where the format defines none.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// The header of a free space cache (v1), under its own objectid; elsewhere without meaning.
    CACHE_HEADER = 0;
    /// An inode's attributes.
    INODE_ITEM = 1;
    /// A name of an inode: (inode, parent directory).
    INODE_REF = 12;
    /// A name of an inode, hashed, for when [`Self::INODE_REF`] is full.
    INODE_EXTREF = 13;
    /// An extended attribute.
    XATTR_ITEM = 24;
    /// The item describes a file under fs-verity.
    VERITY_DESC_ITEM = 36;
    /// fs-verity Merkle tree.
    VERITY_MERKLE_ITEM = 37;
    /// An inode to clean up at the next mount.
    ORPHAN_ITEM = 48;
    /// Directory log, old form: the log tree only.
    DIR_LOG_ITEM = 60;
    /// Directory log, range of known indexes: the log tree only.
    DIR_LOG_INDEX = 72;
    /// A directory entry under the hash of its name.
    DIR_ITEM = 84;
    /// A directory entry under its index, the order of readdir.
    DIR_INDEX = 96;
    /// A piece of a file.
    EXTENT_DATA = 108;
    /// Checksums of data.
    EXTENT_CSUM = 128;
    /// The item has a tree's root.
    ROOT_ITEM = 132;
    /// A subvolume's place, seen from the subvolume.
    ROOT_BACKREF = 144;
    /// A subvolume's place, seen from its parent.
    ROOT_REF = 156;
    /// An extent with its reference count.
    EXTENT_ITEM = 168;
    /// A tree block's extent with the level as the key's offset (skinny metadata).
    METADATA_ITEM = 169;
    /// Owner of an extent (simple quotas).
    EXTENT_OWNER_REF = 172;
    /// A tree block referenced by its tree.
    TREE_BLOCK_REF = 176;
    /// A data extent referenced by a file.
    EXTENT_DATA_REF = 178;
    /// A tree block referenced by its parent block.
    SHARED_BLOCK_REF = 182;
    /// A data extent referenced by a leaf.
    SHARED_DATA_REF = 184;
    /// A block group.
    BLOCK_GROUP_ITEM = 192;
    /// Free space tree: a block group's summary.
    FREE_SPACE_INFO = 198;
    /// Free space tree: a free range.
    FREE_SPACE_EXTENT = 199;
    /// Free space tree: a bitmap.
    FREE_SPACE_BITMAP = 200;
    /// A range of a device that a chunk uses.
    DEV_EXTENT = 204;
    /// The item describes a device.
    DEV_ITEM = 216;
    /// A chunk: where a logical range lies.
    CHUNK_ITEM = 228;
    /// RAID stripe tree entry.
    RAID_STRIPE = 230;
    /// The item is of the remap tree.
    IDENTITY_REMAP = 234;
    /// The item is of the remap tree.
    REMAP = 235;
    /// The item is of the remap tree.
    REMAP_BACKREF = 236;
    /// The item has the state of quotas.
    QGROUP_STATUS = 240;
    /// The item has what a quota group uses.
    QGROUP_INFO = 242;
    /// The item has a limit of a quota group.
    QGROUP_LIMIT = 244;
    /// The item relates two quota groups.
    QGROUP_RELATION = 246;
    /// Something temporary (balance state).
    TEMPORARY_ITEM = 248;
    /// Something persistent (device statistics).
    PERSISTENT_ITEM = 249;
    /// Device replace state.
    DEV_REPLACE = 250;
    /// A subvolume by UUID.
    UUID_SUBVOL = 251;
    /// A received subvolume by UUID.
    UUID_RECEIVED_SUBVOL = 252;
    /// A string, for development.
    STRING_ITEM = 253;
}

/// A key: items are ordered by `objectid`, then `kind`, then `offset` (C: `struct btrfs_key`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What the item belongs to.
    pub objectid: ObjectId,
    /// What kind of item it is.
    pub kind: Kind,
    /// Which one among those, by the kind's own rule.
    pub offset: u64,
}

impl Key {
    /// The lowest key of all.
    pub const MIN: Key = Key::new(0, Kind::new(0), 0);
    /// The highest key of all.
    pub const MAX: Key = Key::new(u64::MAX, Kind::new(u8::MAX), u64::MAX);

    /// A key from its parts.
    pub const fn new(objectid: u64, kind: Kind, offset: u64) -> Self {
        Self {
            objectid: ObjectId::new(objectid),
            kind,
            offset,
        }
    }

    /// The next key in order, or `None` after the highest.
    pub const fn successor(self) -> Option<Key> {
        if let Some(offset) = self.offset.checked_add(1) {
            return Some(Key { offset, ..self });
        }
        if let Some(kind) = self.kind.get().checked_add(1) {
            return Some(Key {
                kind: Kind::new(kind),
                offset: 0,
                ..self
            });
        }
        match self.objectid.next() {
            Some(objectid) => Some(Key {
                objectid,
                kind: Kind::new(0),
                offset: 0,
            }),
            None => None,
        }
    }
}

impl Key {
    /// All keys of items that stand at these addresses. The range is not empty.
    pub fn at_addresses(range: Range<Logical>) -> RangeInclusive<Key> {
        let last = range.end.get().saturating_sub(1);
        Key::new(range.start.get(), Kind::new(0), 0)..=Key::new(last, Kind::new(u8::MAX), u64::MAX)
    }

    /// The key before this one in order, or `None` before the lowest.
    pub fn predecessor(self) -> Option<Key> {
        if let Some(offset) = self.offset.checked_sub(1) {
            return Some(Key { offset, ..self });
        }
        if let Some(kind) = self.kind.get().checked_sub(1) {
            return Some(Key {
                kind: Kind::new(kind),
                offset: u64::MAX,
                ..self
            });
        }
        let objectid = self.objectid.get().checked_sub(1)?;
        Some(Key::new(objectid, Kind::new(u8::MAX), u64::MAX))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.name() {
            Some(name) => write!(f, "({} {} {})", self.objectid.get(), name, self.offset),
            None => write!(
                f,
                "({} {} {})",
                self.objectid.get(),
                self.kind.get(),
                self.offset
            ),
        }
    }
}
