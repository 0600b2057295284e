// SPDX-License-Identifier: GPL-2.0
//! Removing checksums of data that is gone from the checksum tree.
//!
//! An item holds the checksums of consecutive sectors from the address in its key on; items do not overlap. Who
//! changes one does so with its leaf locked from reading it to changing it: several tasks add some at the same time. One
//! removes them, as the runner of delayed references is locked; and at every moment those that stay can be read.

use super::layout::Layout;
use crate::btree::{Allocate, Sought, Tree, Writer};
use crate::disk::{Bug, Bytes, Key, Kind, Logical, ObjectId, ITEM_HEAD};
use latch::prelude::*;

const NO_ITEM: Bug = Bug::new("an item of checksums is gone from under its writer");
const OTHER_LENGTH: Bug = Bug::new("an item of checksums has another length than was asked for");
const NO_CHECKSUMS: Bug = Bug::new("a checksum has no bytes");

/// Which addresses an item has checksums of.
#[derive(Clone, Copy)]
struct Span {
    start: Logical,
    end: Logical,
}

/// Removes the checksums of `len` bytes at `addr`, as far as there are any.
pub(super) fn delete(
    tree: &Tree,
    txn: &dyn Allocate,
    layout: &Layout,
    addr: Logical,
    len: Bytes,
) -> Result {
    let gone = Span {
        start: addr,
        end: addr.saturating_add(len),
    };
    let mut writer = Writer::new(tree, txn);
    if cut_before(&mut writer, layout, gone)? == Left::Nothing {
        return Ok(());
    }
    loop {
        writer.seek(&key(gone.start))?;
        let Some(span) = span_here(&mut writer, layout)? else {
            return Ok(());
        };
        if span.start >= gone.end {
            return Ok(());
        }
        if span.end > gone.end {
            let skip = bytes_for(layout, span.start, gone.end);
            match writer.cut_front_here(skip, &key(gone.end)) {
                Err(error) if error == EAGAIN => continue,
                kept => return kept,
            }
        }
        match writer.remove_here() {
            // Data behind the range got its checksums into the item just now: look again.
            Err(error) if error == EAGAIN => continue,
            removed => removed?,
        }
    }
}

/// What else there is to remove.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing: one item had all of it.
    Nothing,
    /// Perhaps items that begin in the range.
    Items,
}

/// Cuts the item that begins before the range and reaches into it. What is behind the range gets an item of its own, with
/// the leaf locked from reading it: nobody sees one without the other, nor changes what was read.
fn cut_before(writer: &mut Writer<'_>, layout: &Layout, gone: Span) -> Result<Left> {
    if writer.seek_floor(&key(gone.start))? == Sought::Missing {
        return Ok(Left::Items);
    }
    loop {
        let Some(span) = span_here(writer, layout)? else {
            return Ok(Left::Items);
        };
        if span.start >= gone.start || span.end <= gone.start {
            return Ok(Left::Items);
        }
        if span.end <= gone.end {
            writer.resize_here(bytes_for(layout, span.start, gone.start))?;
            return Ok(Left::Items);
        }
        let room = writer.room_here()?;
        let freed = bytes_for(layout, gone.start, gone.end).saturating_add(room);
        if freed >= ITEM_HEAD {
            let tail = copy_from(writer, bytes_for(layout, span.start, gone.end))?;
            writer.resize_here(bytes_for(layout, span.start, gone.start))?;
            insert(writer, gone.end, &tail)?;
            return Ok(Left::Nothing);
        }
        let lacking = ITEM_HEAD.saturating_sub(freed);
        // Others may make the item longer meanwhile, and have the room again.
        match writer.make_room_here(room.saturating_add(lacking)) {
            // Nobody makes items that leave no room for a second one. Sums of what is gone do no harm.
            Err(error) if error == EOVERFLOW => return Ok(Left::Nothing),
            made => made?,
        }
    }
}

fn insert(writer: &mut Writer<'_>, addr: Logical, sums: &[u8]) -> Result {
    let room = writer.insert_here(&key(addr), sums.len())?;
    if room.len() != sums.len() {
        return Err(OTHER_LENGTH.into());
    }
    room.copy_from_slice(sums);
    Ok(())
}

/// The bytes of the item from `at` on.
fn copy_from(writer: &mut Writer<'_>, at: usize) -> Result<KVVec<u8>> {
    let (_, bytes) = writer.item()?.ok_or(NO_ITEM)?;
    let tail = bytes.get(at..).ok_or(OTHER_LENGTH)?;
    let mut copy = KVVec::with_capacity(tail.len(), GFP_NOFAIL)?;
    copy.extend_from_slice(tail, GFP_NOFAIL)?;
    Ok(copy)
}

/// The addresses of the item the writer stands at; `None` where it stands at none of checksums.
fn span_here(writer: &mut Writer<'_>, layout: &Layout) -> Result<Option<Span>> {
    let Some((found, bytes)) = writer.item()? else {
        return Ok(None);
    };
    if found.objectid != ObjectId::EXTENT_CSUM || found.kind != Kind::EXTENT_CSUM {
        return Ok(None);
    }
    let sectors = (bytes.len() as u64)
        .checked_div(layout.checksum_len as u64)
        .ok_or(NO_CHECKSUMS)?;
    let start = Logical::new(found.offset);
    let len = Bytes::from(layout.sector_size).saturating_mul(sectors);
    Ok(Some(Span {
        start,
        end: start.saturating_add(len),
    }))
}

/// Bytes that the checksums of the addresses from `start` to `end` take.
fn bytes_for(layout: &Layout, start: Logical, end: Logical) -> usize {
    let sectors = end.saturating_since(start).count(layout.sector_size.into());
    usize::try_from(sectors)
        .unwrap_or(usize::MAX)
        .saturating_mul(layout.checksum_len)
}

fn key(addr: Logical) -> Key {
    Key::new(ObjectId::EXTENT_CSUM.get(), Kind::EXTENT_CSUM, addr.get())
}
