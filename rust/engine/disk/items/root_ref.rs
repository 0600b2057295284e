// SPDX-License-Identifier: GPL-2.0
//! What leads to a subvolume: its name in another, and its UUID.

use crate::disk::corrupt::{ensure_eq, ensure_max, Bug, Flaw};
use crate::disk::packing::{front, len16, len64, put_front, put_strings, split_name};
use crate::disk::raw::RawRootRef;
use crate::disk::{Key, Kind, ObjectId, Uuid};

/// A subvolume's place: of a ROOT_REF, keyed (parent tree, child tree), or a ROOT_BACKREF, keyed the other way
/// (C: `struct btrfs_root_ref`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootRef<'a> {
    /// The directory that has the entry.
    pub dir: ObjectId,
    /// The entry's index.
    pub sequence: u64,
    /// The entry's name.
    pub name: &'a [u8],
}

impl<'a> RootRef<'a> {
    /// Bytes that the place takes in an item.
    pub const fn encoded_len(&self) -> usize {
        RawRootRef::SIZE.saturating_add(self.name.len())
    }

    /// Writes the place to [`Self::encoded_len`] bytes.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let head = RawRootRef {
            dir: self.dir.get().into(),
            sequence: self.sequence.into(),
            name_len: len16(self.name)?.into(),
        };
        put_strings(put_front(bytes, &head)?, self.name, &[])
    }

    /// Reads an item.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let (raw, rest): (&RawRootRef, _) = front(bytes, "root ref is too short")?;
        let (name, rest) = split_name(rest, raw.name_len.get())?;
        ensure_eq("root ref has bytes behind its name", len64(rest), 0)?;
        let dir = ObjectId::new(raw.dir.get());
        ensure_max(
            "root ref's directory is none",
            dir.get(),
            ObjectId::LAST_FREE.get(),
        )?;
        Ok(Self {
            dir,
            sequence: raw.sequence.get(),
            name,
        })
    }
}

/// What the UUID tree says of a subvolume, in an item by the UUID: its id. An item has several where UUIDs are the same.
pub struct UuidItem(pub ObjectId);

impl UuidItem {
    /// Bytes that one id takes.
    pub const SIZE: usize = core::mem::size_of::<u64>();

    /// The key of the subvolume's own UUID.
    pub const fn key(uuid: &Uuid) -> Key {
        let (objectid, offset) = uuid.key_halves();
        Key::new(objectid, Kind::UUID_SUBVOL, offset)
    }

    /// Writes the id to [`Self::SIZE`] bytes.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        put_strings(bytes, &self.0.get().to_le_bytes(), &[])
    }
}
