// SPDX-License-Identifier: GPL-2.0
//! Removing checksums of data that is gone from the checksum tree.
//!
//! An item holds the checksums of consecutive sectors from the address in its key on; items do not overlap. Who
//! changes one does so with its leaf locked from reading it to changing it: several tasks do at the same time.

use super::refs::Layout;
use crate::btree::{Allocate, Tree, Writer};
use crate::disk::{Key, Kind, Logical, ObjectId};
use latch::prelude::*;

/// Which addresses an item has checksums of.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
}

/// Removes the checksums of `len` bytes at `addr`, as far as there are any.
pub(super) fn delete(
    tree: &Tree,
    txn: &dyn Allocate,
    layout: &Layout,
    addr: Logical,
    len: u64,
) -> Result {
    let gone = Span {
        start: addr.get(),
        end: addr.saturating_add(len).get(),
    };
    let mut writer = Writer::new(tree, txn);
    if cut_before(&mut writer, layout, gone)? {
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
            return keep_tail(&mut writer, layout, span, gone.end);
        }
        match writer.remove_here() {
            // Data behind the range got its checksums into the item just now: look again.
            Err(error) if error == EAGAIN => continue,
            removed => removed?,
        }
    }
}

/// Cuts the item that begins before the range and reaches into it; whether that was all there is to do.
fn cut_before(writer: &mut Writer<'_>, layout: &Layout, gone: Span) -> Result<bool> {
    if !writer.seek_floor(&key(gone.start))? {
        return Ok(false);
    }
    let Some(span) = span_here(writer, layout)? else {
        return Ok(false);
    };
    if span.start >= gone.start || span.end <= gone.start {
        return Ok(false);
    }
    if span.end <= gone.end {
        writer.resize_here(bytes_for(layout, span.start, gone.start))?;
        return Ok(false);
    }
    let tail = copy_from(writer, bytes_for(layout, span.start, gone.end))?;
    writer.resize_here(bytes_for(layout, span.start, gone.start))?;
    let room = writer.insert_here(&key(gone.end), tail.len())?;
    if room.len() != tail.len() {
        return Err(EUCLEAN);
    }
    room.copy_from_slice(&tail);
    Ok(true)
}

/// The item begins in the range and ends behind it: what is behind stays, under another key.
fn keep_tail(writer: &mut Writer<'_>, layout: &Layout, span: Span, from: u64) -> Result {
    let skip = bytes_for(layout, span.start, from);
    let (_, bytes) = writer.item_mut()?.ok_or(EUCLEAN)?;
    let left = bytes.len().checked_sub(skip).ok_or(EUCLEAN)?;
    bytes.copy_within(skip.., 0);
    writer.resize_here(left)?;
    writer.rekey_here(&key(from))
}

/// The bytes of the item from `at` on.
fn copy_from(writer: &mut Writer<'_>, at: usize) -> Result<KVec<u8>> {
    let (_, bytes) = writer.item()?.ok_or(EUCLEAN)?;
    let tail = bytes.get(at..).ok_or(EUCLEAN)?;
    let mut copy = KVec::with_capacity(tail.len(), GFP_KERNEL)?;
    copy.extend_from_slice(tail, GFP_KERNEL)?;
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
        .ok_or(EUCLEAN)?;
    let len = sectors.saturating_mul(layout.sector_size.into());
    Ok(Some(Span {
        start: found.offset,
        end: found.offset.saturating_add(len),
    }))
}

/// Bytes that the checksums of the addresses from `start` to `end` take.
fn bytes_for(layout: &Layout, start: u64, end: u64) -> usize {
    let sectors = end
        .saturating_sub(start)
        .checked_div(layout.sector_size.into())
        .unwrap_or(0);
    usize::try_from(sectors)
        .unwrap_or(usize::MAX)
        .saturating_mul(layout.checksum_len)
}

fn key(addr: u64) -> Key {
    Key::new(ObjectId::EXTENT_CSUM.get(), Kind::EXTENT_CSUM, addr)
}
