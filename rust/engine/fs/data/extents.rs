// SPDX-License-Identifier: GPL-2.0
//! File extent items: reading and making them.

use crate::btree::{Allocate, DataRef, Holder};
use crate::disk::{
    Compression, ExtentState, FileExtent, FileOffset, Flaw, InlineExtent, Key, Kind, Logical,
    RegularExtent,
};
use crate::fs::{items, Inode};
use crate::space::DataExtent;
use latch::prelude::*;

/// The last position there is: no item begins behind it.
pub(super) const LAST: FileOffset = FileOffset::new(u64::MAX);

/// Bytes of the file from the item's position on.
pub(super) fn len(extent: &FileExtent<'_>) -> u64 {
    match extent {
        FileExtent::Inline(inline) => inline.ram_bytes,
        FileExtent::Regular(piece) => piece.len,
    }
}

/// What of `len` bytes of an item counts as the file's use of space (`nbytes`).
pub(super) fn counted(extent: &FileExtent<'_>, len: u64) -> u64 {
    match extent {
        FileExtent::Regular(piece) if piece.is_hole() => 0,
        _ => len,
    }
}

/// Bytes of a file that are in an extent as they are: not packed, they are as many as it has on disk. All else tells the
/// two lengths apart.
pub(in crate::fs) const fn plain_len(extent: DataExtent) -> u64 {
    extent.len
}

/// All of a new extent, as a piece of a file that has `ram_len` bytes of it.
pub(in crate::fs) fn whole(
    txn: &dyn Allocate,
    state: ExtentState,
    extent: DataExtent,
    ram_len: u64,
) -> RegularExtent {
    RegularExtent {
        generation: txn.generation(),
        state,
        compression: Compression::None,
        ram_bytes: ram_len,
        disk_addr: extent.logical,
        disk_len: extent.len,
        offset: 0,
        len: ram_len,
    }
}

/// A hole, as a piece of a file.
pub(in crate::fs) fn hole(txn: &dyn Allocate, len: u64) -> RegularExtent {
    RegularExtent {
        generation: txn.generation(),
        state: ExtentState::Written,
        compression: Compression::None,
        ram_bytes: len,
        disk_addr: Logical::new(0),
        disk_len: 0,
        offset: 0,
        len,
    }
}

/// The reference that `piece` at `at` of the file makes to its extent.
pub(in crate::fs) fn reference(inode: &Inode, at: FileOffset, piece: &RegularExtent) -> DataRef {
    let root = inode.subvolume().id();
    DataRef {
        addr: piece.disk_addr,
        len: piece.disk_len,
        holder: Holder::Tree(root),
        root,
        inode: inode.number(),
        offset: piece.extent_start(at.get()),
    }
}

/// Bytes of a small file or of a symbolic link's target, as an item.
pub(in crate::fs) fn inline<'a>(txn: &dyn Allocate, data: &'a [u8]) -> Result<InlineExtent<'a>> {
    Ok(InlineExtent {
        generation: txn.generation(),
        ram_bytes: u64::try_from(data.len())?,
        compression: Compression::None,
        data,
    })
}

/// Reads the item at `key` of an inode.
pub(super) fn parse<'a>(inode: &Inode, key: &Key, item: &'a [u8]) -> Result<FileExtent<'a>> {
    FileExtent::parse(item).map_err(items::flawed(inode.subvolume().tree(), key))
}

/// Where the item at `key` begins in the file.
pub(super) fn start_of(key: &Key) -> FileOffset {
    FileOffset::new(key.offset)
}

/// Where the item at `key` ends in the file.
pub(super) fn end_of(inode: &Inode, key: &Key, extent: &FileExtent<'_>) -> Result<FileOffset> {
    let len = len(extent);
    start_of(key).checked_add(len).ok_or_else(|| {
        let flaw = Flaw::new("file extent goes beyond all positions", len, u64::MAX);
        items::report(inode.subvolume().tree(), key, flaw)
    })
}

/// Whether this is the key of one of the inode's pieces.
pub(super) fn is_extent_of(key: &Key, inode: &Inode) -> bool {
    key.objectid == inode.number() && key.kind == Kind::EXTENT_DATA
}

/// The first end of a sector at `at` or behind it.
pub(super) fn round_up(at: FileOffset, sector: u64) -> FileOffset {
    let mask = sector.saturating_sub(1);
    FileOffset::new(at.get().saturating_add(mask) & !mask)
}

/// Inserts an item at `at` of the file, where there is none. The references are the caller's.
pub(in crate::fs) fn insert(
    inode: &Inode,
    txn: &dyn Allocate,
    at: FileOffset,
    piece: &RegularExtent,
) -> Result {
    let key = inode.extent_key(at);
    let tree = inode.subvolume().tree();
    let fill = |item: &mut [u8]| piece.write_to(item);
    Ok(tree.insert_with(txn, &key, RegularExtent::SIZE, fill)??)
}
