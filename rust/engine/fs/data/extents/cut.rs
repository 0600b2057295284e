// SPDX-License-Identifier: GPL-2.0
//! Taking a range out of a file: items in it go, items that reach into it are cut; and putting a piece in
//! its place.

use super::{counted, end_of, is_extent_of, len, parse, reference, round_up, start_of, LAST};
use crate::btree::{Allocate, Sought, Writer};
use crate::disk::{
    Bytes, Compression, FileExtent, FileOffset, Flaw, InlineExtent, Key, RegularExtent,
};
use crate::fs::filesystem::or_abort;
use crate::fs::{items, Inode};
use crate::txn::Handle;
use core::ops::Range;
use latch::prelude::*;

/// The rest of a piece behind its first `cut` bytes.
fn behind(piece: &RegularExtent, cut: Bytes) -> RegularExtent {
    let offset = piece.offset.saturating_add(cut);
    RegularExtent {
        offset,
        len: piece.len.saturating_sub(cut),
        ..*piece
    }
}

/// Moves `writer` to the first item that may reach into the file from `at` on.
fn seek(writer: &mut Writer<'_>, inode: &Inode, at: FileOffset) -> Result {
    let key = inode.extent_key(at);
    let before = writer.seek_floor(&key)? == Sought::Found
        && writer
            .item()?
            .is_some_and(|(found, _)| is_extent_of(&found, inode));
    if !before {
        writer.seek(&key)?;
    }
    Ok(())
}

/// What [`drop_range`] did.
pub(in crate::fs) struct Dropped {
    /// Bytes that no longer count as the file's (`nbytes`).
    pub bytes: Bytes,
    /// The range is done up to here.
    pub reached: FileOffset,
    /// Items that were changed for it.
    pub items: usize,
}

impl Dropped {
    /// Counts one more item that is changed, with the bytes that it loses.
    fn add(&mut self, bytes: Bytes) {
        self.items = self.items.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Passes `result` on; an error also gives the transaction up, if something was changed before it.
    fn poisoned<R>(&self, txn: &dyn Allocate, result: Result<R>) -> Result<R> {
        match self.items {
            0 => result,
            _ => poisoned(txn, result),
        }
    }
}

/// Takes `range` out of the file: items in it go, items that reach into it are cut, and their extents lose or gain
/// references; at most `limit` items. The extents lock is held. An error before the first change is nothing but that; one
/// behind it gives the transaction up.
pub(in crate::fs) fn drop_range(
    inode: &Inode,
    txn: &dyn Allocate,
    range: Range<FileOffset>,
    limit: usize,
) -> Result<Dropped> {
    let mut writer = Writer::new(inode.subvolume().tree(), txn);
    drop_items(&mut writer, inode, range, limit)
}

/// Takes `range` out of the file as [`drop_range`] does, by a writer of the inode's tree that the caller has.
pub(in crate::fs::data) fn drop_items(
    writer: &mut Writer<'_>,
    inode: &Inode,
    range: Range<FileOffset>,
    limit: usize,
) -> Result<Dropped> {
    let mut dropped = Dropped {
        bytes: Bytes::ZERO,
        reached: range.end,
        items: 0,
    };
    let done = drop_one_by_one(writer, inode, range, limit, &mut dropped);
    dropped.poisoned(writer.txn(), done)?;
    Ok(dropped)
}

/// Passes `result` on; an error also gives the transaction up, as something was changed before it.
fn poisoned<R>(txn: &dyn Allocate, result: Result<R>) -> Result<R> {
    result.inspect_err(|error| txn.poison(*error))
}

/// Takes `range` out of the file, and tells in `dropped` how far it came, also where it fails.
fn drop_one_by_one(
    writer: &mut Writer<'_>,
    inode: &Inode,
    range: Range<FileOffset>,
    limit: usize,
    dropped: &mut Dropped,
) -> Result {
    seek(writer, inode, range.start)?;
    let end = inode.extent_key(range.end);
    let last = end.predecessor().unwrap_or(end);
    while let Some((key, item)) = writer.item_up_to(&last)? {
        if !is_extent_of(&key, inode) {
            break;
        }
        let extent = parse(inode, &key, item)?;
        let (start, end) = (start_of(&key), end_of(inode, &key, &extent)?);
        if end <= range.start && start < range.start {
            writer.next()?;
            continue;
        }
        let from = start.max(range.start);
        if dropped.items >= limit {
            dropped.reached = from;
            break;
        }
        let to = end.min(range.end);
        dropped.add(counted(&extent, to.saturating_since(from)));
        cut(writer, inode, key, from..to)?;
    }
    Ok(())
}

/// Takes what lies behind `size` (whole sectors, or all of it) out of the file, last items first, at most `limit` of
/// them. [`Dropped::reached`] is where the file's items end now, `size` if that is all. The extents lock is held.
///
/// An item that cannot be read ends the batch; it is an error where nothing was changed before it. An error behind the first
/// change gives the transaction up.
pub(in crate::fs) fn drop_tail(
    inode: &Inode,
    handle: &Handle,
    size: FileOffset,
    sector: Bytes,
    limit: usize,
) -> Result<Dropped> {
    let mut writer = Writer::new(inode.subvolume().tree(), handle);
    let kept = round_up(size, sector);
    let mut dropped = Dropped {
        bytes: Bytes::ZERO,
        reached: LAST,
        items: 0,
    };
    for _ in 0..limit {
        let last = match seek_last(&mut writer, inode) {
            Ok(Some(last)) => last,
            Ok(None) => {
                dropped.reached = size;
                break;
            }
            Err(error) if dropped.items == 0 => return Err(error),
            // The next batch begins with it.
            Err(_) => break,
        };
        if last.start < kept {
            let cut = cut_last(&mut writer, inode, last.key, size..kept);
            dropped.add(or_abort(handle, cut)?);
            dropped.reached = size;
            break;
        }
        dropped.add(last.counted);
        dropped.reached = last.start;
        or_abort(
            handle,
            cut(&mut writer, inode, last.key, last.start..last.end),
        )?;
    }
    Ok(dropped)
}

/// A file's last item.
struct Last {
    key: Key,
    start: FileOffset,
    end: FileOffset,
    /// The bytes of it that count as the file's (`nbytes`).
    counted: Bytes,
}

/// Moves `writer` to the file's last item, if it has one.
fn seek_last(writer: &mut Writer<'_>, inode: &Inode) -> Result<Option<Last>> {
    if writer.seek_floor(&inode.extent_key(LAST))? == Sought::Missing {
        return Ok(None);
    }
    let (key, item) = items::here(writer)?;
    if !is_extent_of(&key, inode) {
        return Ok(None);
    }
    let extent = parse(inode, &key, item)?;
    let (start, end) = (start_of(&key), end_of(inode, &key, &extent)?);
    Ok(Some(Last {
        key,
        start,
        end,
        counted: counted(&extent, end.saturating_since(start)),
    }))
}

/// Cuts the item that the writer stands at and that begins before the file's new end. `ends` are the new size and that
/// up to whole sectors. Gives the bytes that no longer count.
fn cut_last(
    writer: &mut Writer<'_>,
    inode: &Inode,
    key: Key,
    ends: Range<FileOffset>,
) -> Result<Bytes> {
    let (_, item) = items::here(writer)?;
    let extent = parse(inode, &key, item)?;
    let end = start_of(&key).saturating_add(len(&extent));
    let inline = match extent {
        FileExtent::Inline(inline) => inline,
        FileExtent::Regular(_) if end <= ends.end => return Ok(Bytes::ZERO),
        FileExtent::Regular(_) => {
            let bytes = counted(&extent, end.saturating_since(ends.end));
            cut(writer, inode, key, ends.end..end)?;
            return Ok(bytes);
        }
    };
    let len = ends.start.saturating_since(start_of(&key));
    let ram_bytes = inline.ram_bytes;
    if len >= ram_bytes {
        return Ok(Bytes::ZERO);
    }
    if inline.compression != Compression::None {
        return Err(EOPNOTSUPP);
    }
    let item_len = InlineExtent::HEAD.saturating_add(usize::try_from(len)?);
    InlineExtent::shorten(writer.resize_here(item_len)?)?;
    Ok(ram_bytes.saturating_sub(len))
}

/// Takes `range` out of the item that the writer stands at, all of which is within the item. Moves on.
fn cut(writer: &mut Writer<'_>, inode: &Inode, key: Key, range: Range<FileOffset>) -> Result {
    let (_, item) = items::here(writer)?;
    let extent = parse(inode, &key, item)?;
    let end = start_of(&key).saturating_add(len(&extent));
    let (front, back) = (start_of(&key) < range.start, range.end < end);
    let piece = match extent {
        FileExtent::Regular(piece) => piece,
        FileExtent::Inline(inline) if front || back => {
            return Err(uncuttable(inode, &key, inline.ram_bytes))
        }
        FileExtent::Inline(_) => return writer.remove_here(),
    };
    let txn = writer.txn();
    if !front && !back {
        writer.remove_here()?;
        return match piece.is_hole() {
            true => Ok(()),
            false => txn.release_data(&reference(inode, start_of(&key), &piece)),
        };
    }
    let behind = behind(&piece, range.end.saturating_since(start_of(&key)));
    let behind_key = inode.extent_key(range.end);
    if !front {
        writer.rekey_here(&behind_key)?;
        behind.write_to(items::here_mut(writer)?)?;
        writer.next()?;
        return Ok(());
    }
    let len = range.start.saturating_since(start_of(&key));
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

/// Who changes a file has asked before ([`Data::check_inline`](crate::fs::Data)).
#[cold]
fn uncuttable(inode: &Inode, key: &Key, bytes: Bytes) -> Error {
    let what = "inline extent grew longer than it was found to be";
    items::report(
        inode.subvolume().tree(),
        key,
        Flaw::new(what, bytes.get(), 0),
    )
}

/// Puts `piece` at `at` of the file in place of what is there. Gives the bytes that no longer count as the file's. The
/// references to the new extent are the caller's; the extents lock is held. An error before the first change is nothing but
/// that; one behind it gives the transaction up.
pub(in crate::fs) fn replace(
    inode: &Inode,
    txn: &dyn Allocate,
    at: FileOffset,
    piece: &RegularExtent,
) -> Result<Bytes> {
    let end = at.checked_add(piece.len).ok_or(EFBIG)?;
    let key = inode.extent_key(at);
    let mut writer = Writer::new(inode.subvolume().tree(), txn);
    if let Some(old) = same_place(&mut writer, inode, &key, piece)? {
        piece.write_to(items::here_mut(&mut writer)?)?;
        if old.is_hole() {
            return Ok(Bytes::ZERO);
        }
        poisoned(txn, txn.release_data(&reference(inode, at, &old)))?;
        return Ok(old.len);
    }
    let dropped = drop_items(&mut writer, inode, at..end, usize::MAX)?;
    let room = writer.insert_here(&key, RegularExtent::SIZE);
    let item = dropped.poisoned(txn, room)?;
    poisoned(txn, piece.write_to(item).map_err(Error::from))?;
    Ok(dropped.bytes)
}

/// The piece that stands where `piece` goes, all of it and no more: overwriting in the same units is common.
fn same_place(
    writer: &mut Writer<'_>,
    inode: &Inode,
    key: &Key,
    piece: &RegularExtent,
) -> Result<Option<RegularExtent>> {
    if writer.seek(key)? == Sought::Missing {
        return Ok(None);
    }
    let (key, item) = items::here(writer)?;
    Ok(match parse(inode, &key, item)? {
        FileExtent::Regular(old) if old.len == piece.len => Some(old),
        _ => None,
    })
}
