// SPDX-License-Identifier: GPL-2.0
//! Items of subvolumes: inodes, names, attributes, pieces of files; and the checksums of data.

use super::item::Item;
use crate::disk::checksum::NAME_SEED;
use crate::disk::corrupt::{ensure, ensure_eq, ensure_max, Flaw};
use crate::disk::items::directory::is_inode_number;
use crate::disk::packing::{ensure_empty, len64, size64, whole};
use crate::disk::raw::{RawDirItem, RawDirLogItem, RawItem, RawVerityDescriptor};
use crate::disk::{
    extref_hash, leaf_area, DirEntries, FileExtent, FileType, InodeExtrefs, InodeFlags, InodeItem,
    InodeRefs, Kind, ObjectId, MAX_FILE_END,
};

pub(super) fn inode(item: &Item<'_>) -> Result<(), Flaw> {
    let (id, offset) = (item.key.objectid, item.key.offset);
    ensure(
        is_inode_number(id),
        "inode's number is out of range",
        id.get(),
        256,
    )?;
    ensure_eq("inode's key has an offset", offset, 0)?;
    let inode = InodeItem::parse(item.data)?;
    item.check_generation(inode.generation)?;
    item.check_generation(inode.transid)?;
    // Flags in the upper half only hinder those who write.
    let unknown = inode.flags.without(InodeFlags::KNOWN);
    let tolerated = unknown.is_empty() || item.format.is_read_only();
    ensure(
        tolerated,
        "inode has unknown flags",
        inode.flags.get(),
        InodeFlags::KNOWN.get(),
    )
}

pub(super) fn inode_ref(item: &Item<'_>) -> Result<(), Flaw> {
    item.check_same_inode()?;
    let parent = ObjectId::new(item.key.offset);
    let is_parent = parent.is_free() || !item.owner.is_subvolume();
    ensure(
        is_parent,
        "inode ref's directory is none",
        parent.get(),
        256,
    )?;
    ensure(!item.data.is_empty(), "inode ref has no name", 0, 1)?;
    InodeRefs::new(item.data).try_for_each(|name| name.map(|_| ()))
}

pub(super) fn inode_extref(item: &Item<'_>) -> Result<(), Flaw> {
    item.check_same_inode()?;
    ensure(!item.data.is_empty(), "inode extref has no name", 0, 1)?;
    for name in InodeExtrefs::new(item.data) {
        let name = name?;
        let parent = name.parent;
        let is_parent = parent.is_free() || !item.owner.is_subvolume();
        ensure(
            is_parent,
            "inode extref's directory is none",
            parent.get(),
            256,
        )?;
        let hash = extref_hash(parent.get(), name.name);
        ensure_eq("key is not the name's hash", item.key.offset, hash)?;
    }
    Ok(())
}

pub(super) fn directory(item: &Item<'_>) -> Result<(), Flaw> {
    item.check_same_inode()?;
    let kind = item.key.kind;
    let overhead = size64(RawItem::SIZE.saturating_add(RawDirItem::SIZE));
    let most = u64::from(leaf_area(item.format.node_size)).saturating_sub(overhead);
    let mut entries = 0u64;
    for entry in DirEntries::new(item.data) {
        let entry = entry?;
        let is_attribute = entry.kind == FileType::Xattr;
        let fits = is_attribute == (kind == Kind::XATTR_ITEM);
        ensure(
            fits,
            "entry's type does not fit its key",
            entry.kind.get().into(),
            8,
        )?;
        // That of attributes is used by nobody, and mkfs.btrfs --rootdir leaves chance bytes there.
        if !is_attribute {
            item.check_generation(entry.transid)?;
        }
        let len = len64(entry.name).saturating_add(len64(entry.value));
        ensure_max("name and value are too long", len, most)?;
        if kind != Kind::DIR_INDEX {
            let hash = item.checksums.crc32c(NAME_SEED, entry.name);
            ensure_eq("key is not the name's hash", item.key.offset, hash.into())?;
        }
        entries = entries.saturating_add(1);
    }
    ensure(entries > 0, "item has no entry", entries, 1)?;
    // Hashes collide, indexes do not.
    ensure(
        kind != Kind::DIR_INDEX || entries == 1,
        "index has several entries",
        entries,
        1,
    )
}

pub(super) fn directory_log(item: &Item<'_>) -> Result<(), Flaw> {
    let raw: &RawDirLogItem = whole(item.data, "directory log item has a wrong size")?;
    let end = raw.end.get();
    ensure(
        end >= item.key.offset,
        "directory log range ends early",
        end,
        item.key.offset,
    )
}

pub(super) fn orphan(item: &Item<'_>) -> Result<(), Flaw> {
    let id = item.key.objectid;
    ensure(
        id == ObjectId::ORPHAN,
        "orphan's key has another objectid",
        id.get(),
        5,
    )?;
    ensure_empty(item.data, "orphan item has bytes")
}

pub(super) fn verity(item: &Item<'_>) -> Result<(), Flaw> {
    if item.key.offset == 0 {
        let raw: &RawVerityDescriptor = whole(item.data, "verity item has a wrong size")?;
        ensure_eq("verity descriptor is encrypted", raw.encryption.into(), 0)?;
    }
    Ok(())
}

pub(super) fn file_extent(item: &Item<'_>) -> Result<(), Flaw> {
    item.check_same_inode()?;
    let position = item.key.offset;
    item.check_aligned("file extent's position is not aligned", position)?;
    match FileExtent::parse(item.data)? {
        FileExtent::Inline(extent) => {
            ensure_eq("inline extent is not at the file's start", position, 0)?;
            item.check_generation(extent.generation)?;
        }
        FileExtent::Regular(extent) => {
            item.check_generation(extent.generation)?;
            item.check_aligned(
                "file extent's ram_bytes are not aligned",
                extent.ram_bytes.get(),
            )?;
            item.check_aligned("extent's address is not aligned", extent.disk_addr.get())?;
            item.check_aligned("extent's length is not aligned", extent.disk_len.get())?;
            item.check_aligned("position in the extent is not aligned", extent.offset.get())?;
            item.check_aligned("file extent's length is not aligned", extent.len.get())?;
            let end = position.saturating_add(extent.len.get());
            ensure_max("file extent goes beyond all files", end, MAX_FILE_END.get())?;
        }
    }
    match item.sibling() {
        Some((before, data)) => {
            let end = file_extent_end(before.offset, data, item.format.sector_size);
            ensure_max("file extent overlaps the one before", end, position)
        }
        None => Ok(()),
    }
}

/// Where a file extent, which was checked before, ends in its file.
fn file_extent_end(position: u64, data: &[u8], sector_size: u32) -> u64 {
    match FileExtent::parse(data) {
        Ok(FileExtent::Regular(extent)) => position.saturating_add(extent.len.get()),
        Ok(FileExtent::Inline(extent)) => extent
            .ram_bytes
            .checked_round_up(sector_size.into())
            .map_or(u64::MAX, |len| position.saturating_add(len.get())),
        Err(_) => u64::MAX,
    }
}

pub(super) fn checksums(item: &Item<'_>) -> Result<(), Flaw> {
    let id = item.key.objectid;
    let expected = ObjectId::EXTENT_CSUM;
    ensure(
        id == expected,
        "checksums' key has another objectid",
        id.get(),
        expected.get(),
    )?;
    item.check_aligned("checksums' address is not aligned", item.key.offset)?;
    let size = size64(item.format.checksum.size());
    let len = len64(item.data);
    let whole = len > 0 && len.checked_rem(size) == Some(0);
    ensure(whole, "item is not a number of checksums", len, size)?;
    let end = checksums_end(item, item.key.offset, item.data);
    ensure(
        end.is_some(),
        "checksums go beyond all addresses",
        item.key.offset,
        u64::MAX,
    )?;
    match item.sibling() {
        Some((before, data)) => {
            let end = checksums_end(item, before.offset, data).unwrap_or(u64::MAX);
            ensure_max("checksums overlap those before", end, item.key.offset)
        }
        None => Ok(()),
    }
}

/// The end of the range that checksums cover.
fn checksums_end(item: &Item<'_>, addr: u64, data: &[u8]) -> Option<u64> {
    let count = len64(data).checked_div(size64(item.format.checksum.size()))?;
    addr.checked_add(count.checked_mul(item.format.sector_size.into())?)
}
