// SPDX-License-Identifier: GPL-2.0
//! File extent items: reading and making them.
//!
//! | module   | what it has                                       |
//! |----------|---------------------------------------------------|
//! | `cut`    | taking a range out of a file                      |
//! | `gaps`   | holes that have items of their own                |
//! | `inline` | that an inline extent has no more than a sector   |

pub(in crate::fs) mod cut;
pub(super) mod gaps;
mod inline;

use crate::btree::{Allocate, DataRef, Holder};
use crate::disk::{
    Bytes, Compression, ExtentState, FileExtent, FileOffset, Flaw, InlineExtent, Key, Kind,
    Logical, RegularExtent,
};
use crate::fs::{items, Inode};
use crate::space::DataExtent;
use latch::prelude::*;

/// The last position there is: no item begins behind it.
pub(super) const LAST: FileOffset = FileOffset::new(u64::MAX);

/// Bytes of the file from the item's position on.
pub(super) fn len(extent: &FileExtent<'_>) -> Bytes {
    match extent {
        FileExtent::Inline(inline) => inline.ram_bytes,
        FileExtent::Regular(piece) => piece.len,
    }
}

/// What of `len` bytes of an item counts as the file's use of space (`nbytes`).
pub(super) fn counted(extent: &FileExtent<'_>, len: Bytes) -> Bytes {
    match extent {
        FileExtent::Regular(piece) if piece.is_hole() => Bytes::ZERO,
        _ => len,
    }
}

/// Bytes of a file that are in an extent as they are: not packed, they are as many as it has on disk. All else tells the
/// two lengths apart.
pub(in crate::fs) const fn plain_len(extent: DataExtent) -> Bytes {
    extent.len
}

/// All of a new extent, as a piece of a file that has `ram_len` bytes of it.
pub(in crate::fs) fn whole(
    txn: &dyn Allocate,
    state: ExtentState,
    extent: DataExtent,
    ram_len: Bytes,
) -> RegularExtent {
    RegularExtent {
        generation: txn.generation(),
        state,
        compression: Compression::None,
        ram_bytes: ram_len,
        disk_addr: extent.logical,
        disk_len: extent.len,
        offset: Bytes::ZERO,
        len: ram_len,
    }
}

/// A hole, as a piece of a file.
pub(in crate::fs) fn hole(txn: &dyn Allocate, len: Bytes) -> RegularExtent {
    RegularExtent {
        generation: txn.generation(),
        state: ExtentState::Written,
        compression: Compression::None,
        ram_bytes: len,
        disk_addr: Logical::new(0),
        disk_len: Bytes::ZERO,
        offset: Bytes::ZERO,
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
        offset: piece.extent_start(at),
    }
}

/// Bytes of a small file or of a symbolic link's target, as an item.
pub(in crate::fs) fn inline<'a>(txn: &dyn Allocate, data: &'a [u8]) -> Result<InlineExtent<'a>> {
    Ok(InlineExtent {
        generation: txn.generation(),
        ram_bytes: data.len().into(),
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
        let flaw = Flaw::new("file extent goes beyond all positions", len.get(), u64::MAX);
        items::report(inode.subvolume().tree(), key, flaw)
    })
}

/// Whether this is the key of one of the inode's pieces.
pub(super) fn is_extent_of(key: &Key, inode: &Inode) -> bool {
    key.objectid == inode.number() && key.kind == Kind::EXTENT_DATA
}

/// The first end of a sector at `at` or behind it.
pub(super) fn round_up(at: FileOffset, sector: Bytes) -> FileOffset {
    FileOffset::after(at.before().round_up(sector))
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
