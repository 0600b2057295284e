// SPDX-License-Identifier: GPL-2.0
//! Devices, and what chunks have of them.

use crate::disk::corrupt::{ensure, ensure_eq, ensure_max, Bug, Flaw};
use crate::disk::packing::{put, whole, whole_mut};
use crate::disk::raw::{RawDevExtent, RawDevItem};
use crate::disk::{Bytes, DeviceId, Key, Kind, Logical, ObjectId, Physical, Uuid};

/// A device (C: `struct btrfs_dev_item`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevItem {
    /// The device's number, which is not zero.
    pub devid: DeviceId,
    /// Bytes that may be used; zero while it is being removed.
    pub total_bytes: Bytes,
    /// Bytes in chunks.
    pub bytes_used: Bytes,
    /// The device's UUID.
    pub uuid: Uuid,
    /// The file system's (metadata) UUID.
    pub fsid: Uuid,
}

impl TryFrom<&RawDevItem> for DevItem {
    type Error = Flaw;

    /// The members that nobody uses are not judged: tools left all kinds of values there.
    fn try_from(raw: &RawDevItem) -> Result<Self, Flaw> {
        let item = Self {
            devid: DeviceId::new(raw.devid.get()),
            total_bytes: raw.total_bytes.into(),
            bytes_used: raw.bytes_used.into(),
            uuid: raw.uuid,
            fsid: raw.fsid,
        };
        ensure(
            item.devid.get() > 0,
            "device has no number",
            item.devid.get(),
            1,
        )?;
        ensure_max(
            "device uses more than it has",
            item.bytes_used.get(),
            item.total_bytes.get(),
        )?;
        Ok(item)
    }
}

impl DevItem {
    /// Bytes of the item.
    pub const SIZE: usize = RawDevItem::SIZE;

    /// Writes the members into an item; those that nobody uses stay as they are.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        self.fill(whole_mut(bytes)?);
        Ok(())
    }

    /// Writes the members where a superblock has the device that it stands on.
    pub(in crate::disk) fn fill(&self, raw: &mut RawDevItem) {
        raw.devid.set(self.devid.get());
        raw.total_bytes.set(self.total_bytes.get());
        raw.bytes_used.set(self.bytes_used.get());
        raw.uuid = self.uuid;
        raw.fsid = self.fsid;
    }

    /// The key of a device's item.
    pub const fn key(devid: DeviceId) -> Key {
        Key::new(ObjectId::DEV_ITEMS.get(), Kind::DEV_ITEM, devid.get())
    }

    /// Reads an item.
    pub fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        whole::<RawDevItem>(bytes, "device item has a wrong size")?.try_into()
    }
}

/// A range of a device that a chunk uses (C: `struct btrfs_dev_extent`), keyed (device, its start).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevExtent {
    /// The first byte on the device.
    pub start: Physical,
    /// How many bytes it has; they are not zero.
    pub len: Bytes,
    /// The chunk's address.
    pub chunk: Logical,
}

impl DevExtent {
    /// The key of the extent that begins at a byte of a device.
    pub const fn key(devid: DeviceId, start: Physical) -> Key {
        Key::new(devid.get(), Kind::DEV_EXTENT, start.get())
    }

    /// Bytes of the item.
    pub const SIZE: usize = RawDevExtent::SIZE;

    /// Writes the item; its start on the device is the key's.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let raw = RawDevExtent {
            chunk_tree: ObjectId::CHUNK_TREE.get().into(),
            chunk_objectid: ObjectId::FIRST_CHUNK_TREE.get().into(),
            chunk_offset: self.chunk.get().into(),
            len: self.len.into(),
            // C leaves it zero as well.
            chunk_tree_uuid: Uuid::default(),
        };
        put(bytes, &raw)
    }

    /// Reads an item.
    pub fn parse(key: &Key, bytes: &[u8]) -> Result<Self, Flaw> {
        let raw: &RawDevExtent = whole(bytes, "device extent has a wrong size")?;
        let tree = raw.chunk_tree.get();
        ensure_eq("device extent names another chunk tree", tree, 3)?;
        ensure_eq(
            "device extent names no chunk",
            raw.chunk_objectid.get(),
            256,
        )?;
        ensure(
            key.objectid.get() > 0,
            "device extent is on no device",
            0,
            1,
        )?;
        let (start, len) = (Physical::new(key.offset), Bytes::from(raw.len));
        ensure(len > Bytes::ZERO, "device extent is empty", len.get(), 1)?;
        ensure(
            start.checked_add(len).is_some(),
            "device extent is too long",
            len.get(),
            u64::MAX,
        )?;
        let chunk = Logical::new(raw.chunk_offset.get());
        Ok(Self { start, len, chunk })
    }
}
