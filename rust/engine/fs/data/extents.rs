// SPDX-License-Identifier: GPL-2.0
//! File extent items: reading them, making them, and taking a range out of a file.

use crate::btree::{Allocate, DataRef, Holder, Writer};
use crate::disk::{
    Compression, ExtentState, FileExtent, Flaw, InlineExtent, Key, Kind, Logical, RegularExtent,
};
use crate::fs::{items, Inode};
use crate::space::DataExtent;
use core::ops::{ControlFlow, Range};
use latch::prelude::*;

/// Bytes of the file from the item's position on.
pub(in crate::fs) fn len(extent: &FileExtent<'_>) -> u64 {
    match extent {
        FileExtent::Inline(inline) => inline.ram_bytes,
        FileExtent::Regular(piece) => piece.len,
    }
}

/// What of `len` bytes of an item counts as the file's use of space (`nbytes`).
fn counted(extent: &FileExtent<'_>, len: u64) -> u64 {
    match extent {
        FileExtent::Regular(piece) if piece.is_hole() => 0,
        _ => len,
    }
}

/// All of a new extent, as a piece of a file.
pub(in crate::fs) fn whole(
    txn: &dyn Allocate,
    state: ExtentState,
    extent: DataExtent,
) -> RegularExtent {
    RegularExtent {
        generation: txn.generation(),
        state,
        compression: Compression::None,
        ram_bytes: extent.len,
        disk_addr: extent.logical,
        disk_len: extent.len,
        offset: 0,
        len: extent.len,
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
pub(in crate::fs) fn reference(inode: &Inode, at: u64, piece: &RegularExtent) -> DataRef {
    let root = inode.subvolume().id();
    DataRef {
        addr: piece.disk_addr,
        len: piece.disk_len,
        holder: Holder::Tree(root),
        root,
        inode: inode.number(),
        offset: at.wrapping_sub(piece.offset),
    }
}

/// The rest of a piece behind its first `cut` bytes.
fn behind(piece: &RegularExtent, cut: u64) -> RegularExtent {
    let offset = piece.offset.saturating_add(cut);
    RegularExtent {
        offset,
        len: piece.len.saturating_sub(cut),
        ..*piece
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
fn parse<'a>(inode: &Inode, key: &Key, item: &'a [u8]) -> Result<FileExtent<'a>> {
    FileExtent::parse(item).map_err(items::flawed(inode.subvolume().tree(), key))
}

/// Where the item at `key` ends in the file.
fn end_of(inode: &Inode, key: &Key, extent: &FileExtent<'_>) -> Result<u64> {
    let len = len(extent);
    key.offset.checked_add(len).ok_or_else(|| {
        let flaw = Flaw::new("file extent goes beyond all positions", len, u64::MAX);
        items::report(inode.subvolume().tree(), key, flaw)
    })
}

/// Inserts an item at `at` of the file, where there is none. The references are the caller's.
pub(in crate::fs) fn insert(
    inode: &Inode,
    txn: &dyn Allocate,
    at: u64,
    piece: &RegularExtent,
) -> Result {
    let key = inode.key_of(Kind::EXTENT_DATA, at);
    let tree = inode.subvolume().tree();
    let fill = |item: &mut [u8]| piece.write_to(item);
    Ok(tree.insert_with(txn, &key, RegularExtent::SIZE, fill)??)
}

/// Moves `writer` to the first item that may reach into the file from `at` on.
fn seek(writer: &mut Writer<'_>, inode: &Inode, at: u64) -> Result {
    let key = inode.key_of(Kind::EXTENT_DATA, at);
    let before = writer.seek_floor(&key)?
        && writer
            .item()?
            .is_some_and(|(found, _)| is_extent_of(&found, inode));
    if !before {
        writer.seek(&key)?;
    }
    Ok(())
}

fn is_extent_of(key: &Key, inode: &Inode) -> bool {
    key.objectid == inode.number() && key.kind == Kind::EXTENT_DATA
}

/// What [`drop_range`] did.
pub(in crate::fs) struct Dropped {
    /// Bytes that no longer count as the file's (`nbytes`).
    pub bytes: u64,
    /// The range is done up to here.
    pub reached: u64,
}

/// Takes `range` out of the file: items in it go, items that reach into it are cut, and their extents lose or gain
/// references; at most `limit` items. The extents lock is held; an error leaves things half done.
pub(in crate::fs) fn drop_range(
    inode: &Inode,
    txn: &dyn Allocate,
    range: Range<u64>,
    limit: usize,
) -> Result<Dropped> {
    let mut writer = Writer::new(inode.subvolume().tree(), txn);
    drop_items(&mut writer, inode, range, limit)
}

/// Puts `piece` at `at` of the file in place of what is there. Gives the bytes that no longer count as the file's. The
/// references to the new extent are the caller's; the extents lock is held; an error leaves things half done.
pub(in crate::fs) fn replace(
    inode: &Inode,
    txn: &dyn Allocate,
    at: u64,
    piece: &RegularExtent,
) -> Result<u64> {
    let end = at.checked_add(piece.len).ok_or(EFBIG)?;
    let key = inode.key_of(Kind::EXTENT_DATA, at);
    let mut writer = Writer::new(inode.subvolume().tree(), txn);
    if let Some(old) = same_place(&mut writer, inode, &key, piece)? {
        piece.write_to(items::here_mut(&mut writer)?)?;
        if old.is_hole() {
            return Ok(0);
        }
        txn.release_data(&reference(inode, at, &old))?;
        return Ok(old.len);
    }
    let dropped = drop_items(&mut writer, inode, at..end, usize::MAX)?;
    piece.write_to(writer.insert_here(&key, RegularExtent::SIZE)?)?;
    Ok(dropped.bytes)
}

/// The piece that stands where `piece` goes, all of it and no more: overwriting in the same units is common.
fn same_place(
    writer: &mut Writer<'_>,
    inode: &Inode,
    key: &Key,
    piece: &RegularExtent,
) -> Result<Option<RegularExtent>> {
    if !writer.seek(key)? {
        return Ok(None);
    }
    let (key, item) = items::here(writer)?;
    Ok(match parse(inode, &key, item)? {
        FileExtent::Regular(old) if old.len == piece.len => Some(old),
        _ => None,
    })
}

fn drop_items(
    writer: &mut Writer<'_>,
    inode: &Inode,
    range: Range<u64>,
    limit: usize,
) -> Result<Dropped> {
    seek(writer, inode, range.start)?;
    let (mut bytes, mut items) = (0_u64, 0_usize);
    while let Some((key, item)) = writer.item()? {
        if !is_extent_of(&key, inode) || key.offset >= range.end {
            break;
        }
        let extent = parse(inode, &key, item)?;
        let end = end_of(inode, &key, &extent)?;
        if end <= range.start && key.offset < range.start {
            writer.next()?;
            continue;
        }
        if items >= limit {
            return Ok(Dropped {
                bytes,
                reached: key.offset.max(range.start),
            });
        }
        items = items.saturating_add(1);
        let from = key.offset.max(range.start);
        let to = end.min(range.end);
        bytes = bytes.saturating_add(counted(&extent, to.saturating_sub(from)));
        cut(writer, inode, key, from..to)?;
    }
    Ok(Dropped {
        bytes,
        reached: range.end,
    })
}

/// Takes what lies behind `size` (whole sectors, or all of it) out of the file, last items first, at most `limit` of
/// them. [`Dropped::reached`] is where the file's items end now, `size` if that is all. The extents lock is held; an
/// error leaves things half done.
pub(in crate::fs) fn drop_tail(
    inode: &Inode,
    txn: &dyn Allocate,
    size: u64,
    sector: u64,
    limit: usize,
) -> Result<Dropped> {
    let mut writer = Writer::new(inode.subvolume().tree(), txn);
    let last = inode.key_of(Kind::EXTENT_DATA, u64::MAX);
    let kept = round_up(size, sector);
    let (mut bytes, mut reached) = (0_u64, u64::MAX);
    for _ in 0..limit {
        if !writer.seek_floor(&last)? {
            return Ok(Dropped {
                bytes,
                reached: size,
            });
        }
        let (key, item) = items::here(&mut writer)?;
        if !is_extent_of(&key, inode) {
            return Ok(Dropped {
                bytes,
                reached: size,
            });
        }
        let extent = parse(inode, &key, item)?;
        let end = end_of(inode, &key, &extent)?;
        if key.offset < kept {
            bytes = bytes.saturating_add(cut_last(&mut writer, inode, key, size..kept)?);
            return Ok(Dropped {
                bytes,
                reached: size,
            });
        }
        bytes = bytes.saturating_add(counted(&extent, end.saturating_sub(key.offset)));
        reached = key.offset;
        cut(&mut writer, inode, key, key.offset..end)?;
    }
    Ok(Dropped { bytes, reached })
}

/// Cuts the item that the writer stands at and that begins before the file's new end. `ends` are the new size and that
/// up to whole sectors. Gives the bytes that no longer count.
fn cut_last(writer: &mut Writer<'_>, inode: &Inode, key: Key, ends: Range<u64>) -> Result<u64> {
    let (_, item) = items::here(writer)?;
    let extent = parse(inode, &key, item)?;
    let end = key.offset.saturating_add(len(&extent));
    let inline = match extent {
        FileExtent::Inline(inline) => inline,
        FileExtent::Regular(_) if end <= ends.end => return Ok(0),
        FileExtent::Regular(_) => {
            let bytes = counted(&extent, end.saturating_sub(ends.end));
            cut(writer, inode, key, ends.end..end)?;
            return Ok(bytes);
        }
    };
    let len = ends.start.saturating_sub(key.offset);
    let ram_bytes = inline.ram_bytes;
    if len >= ram_bytes {
        return Ok(0);
    }
    if inline.compression != Compression::None {
        return Err(EOPNOTSUPP);
    }
    let item_len = InlineExtent::HEAD.saturating_add(usize::try_from(len)?);
    InlineExtent::shorten(writer.resize_here(item_len)?)?;
    Ok(ram_bytes.saturating_sub(len))
}

/// Takes `range` out of the item that the writer stands at, all of which is within the item. Moves on.
fn cut(writer: &mut Writer<'_>, inode: &Inode, key: Key, range: Range<u64>) -> Result {
    let (_, item) = items::here(writer)?;
    let extent = parse(inode, &key, item)?;
    let end = key.offset.saturating_add(len(&extent));
    let (front, back) = (key.offset < range.start, range.end < end);
    let piece = match extent {
        FileExtent::Regular(piece) => piece,
        FileExtent::Inline(_) if front || back => return Err(uncuttable(inode)),
        FileExtent::Inline(_) => return writer.remove_here(),
    };
    let txn = writer.txn();
    if !front && !back {
        writer.remove_here()?;
        return match piece.is_hole() {
            true => Ok(()),
            false => txn.release_data(&reference(inode, key.offset, &piece)),
        };
    }
    let behind = behind(&piece, range.end.saturating_sub(key.offset));
    let behind_key = Key {
        offset: range.end,
        ..key
    };
    if !front {
        writer.rekey_here(&behind_key)?;
        behind.write_to(items::here_mut(writer)?)?;
        writer.next()?;
        return Ok(());
    }
    let len = range.start.saturating_sub(key.offset);
    RegularExtent { len, ..piece }.write_to(items::here_mut(writer)?)?;
    if back {
        behind.write_to(writer.insert_here(&behind_key, RegularExtent::SIZE)?)?;
        if !piece.is_hole() {
            txn.share_data(&reference(inode, range.end, &behind))?;
        }
    }
    writer.next()?;
    Ok(())
}

#[cold]
fn uncuttable(inode: &Inode) -> Error {
    let (tree, number) = (inode.subvolume().id(), inode.number());
    pr_err!("tree {tree}: inline extent of inode {number} is longer than a sector\n");
    EOPNOTSUPP
}

/// Gives holes in `range` items of their own, for volumes where a hole must have one.
pub(in crate::fs) fn fill_gaps(
    inode: &Inode,
    txn: &dyn Allocate,
    range: Range<u64>,
    sector: u64,
) -> Result {
    let mut at = range.start;
    while at < range.end {
        let next = gap(inode, at, sector)?;
        let end = next.end.min(range.end);
        if next.start < end {
            insert(
                inode,
                txn,
                next.start,
                &hole(txn, end.saturating_sub(next.start)),
            )?;
        }
        at = next.end;
    }
    Ok(())
}

/// The first range at or behind `at` that no item covers, up to the item behind it. Empty only at the end of all.
pub(in crate::fs) fn gap(inode: &Inode, at: u64, sector: u64) -> Result<Range<u64>> {
    let tree = inode.subvolume().tree();
    let mut start = at;
    let floor = tree.floor(&inode.key_of(Kind::EXTENT_DATA, at), |key, item| {
        is_extent_of(&key, inode).then(|| {
            let extent = parse(inode, &key, item)?;
            Ok::<_, Error>(key.offset.saturating_add(len(&extent)))
        })
    })?;
    if let Some(found) = floor.flatten() {
        start = start.max(round_up(found?, sector));
    }
    let mut end = u64::MAX;
    let first = inode.key_of(Kind::EXTENT_DATA, start);
    let last = inode.key_of(Kind::EXTENT_DATA, u64::MAX);
    tree.scan(first..=last, |key, item| {
        if key.offset > start {
            end = key.offset;
            return Ok(ControlFlow::Break(()));
        }
        let len = len(&parse(inode, &key, item)?);
        start = round_up(key.offset.saturating_add(len), sector).max(start);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(start..end.max(start))
}

/// Up to whole sectors.
fn round_up(bytes: u64, sector: u64) -> u64 {
    let mask = sector.saturating_sub(1);
    bytes.saturating_add(mask) & !mask
}
