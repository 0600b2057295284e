// SPDX-License-Identifier: GPL-2.0
//! Editing a leaf's bytes: items in key order behind the header, their data from the end of the block downwards.

use super::{area, area_mut, count, set_count, shift};
use crate::disk::raw::RawItem;
use crate::disk::{Bug, Key, Leaf, ITEM_HEAD};
use core::ops::Range;

const NO_ITEM: Bug = Bug::new("leaf has no item in a slot that is to change");
const NO_DATA: Bug = Bug::new("an item's data lie outside of its leaf");
const NO_ROOM: Bug = Bug::new("leaf has no room for what is put into it");

/// Bytes that the leaf has for items and data, used or not.
pub fn capacity(block: &[u8]) -> usize {
    area(block).map_or(0, <[u8]>::len)
}

/// Where the data of the item before `slot` begin, which is where those of `slot` end.
pub fn data_end(block: &[u8], slot: usize) -> Result<usize, Bug> {
    match slot.checked_sub(1) {
        None => Ok(capacity(block)),
        Some(before) => {
            let bounds = Leaf::new(block).bounds(before).ok_or(NO_ITEM)?;
            Ok(bounds.start)
        }
    }
}

/// Bytes that the items in `slots` take, data and heads.
pub fn weight(block: &[u8], slots: Range<usize>) -> Result<usize, Bug> {
    let data = data_end(block, slots.start)?
        .checked_sub(data_end(block, slots.end)?)
        .ok_or(NO_DATA)?;
    Ok(data.saturating_add(slots.len().saturating_mul(ITEM_HEAD)))
}

/// Bytes in use, data and heads.
pub fn used(block: &[u8]) -> usize {
    capacity(block).saturating_sub(Leaf::new(block).free_space())
}

/// A leaf with less in use is worth merging.
pub fn sparse(block: &[u8]) -> usize {
    capacity(block) / 3
}

/// Inserts an item of `len` zero bytes before `slot`. The caller has seen that it fits.
pub fn insert(block: &mut [u8], slot: usize, key: &Key, len: usize) -> Result<(), Bug> {
    let end = open(block, slot, 1, len)?;
    let start = end.checked_sub(len).ok_or(NO_DATA)?;
    let head = RawItem {
        key: (*key).into(),
        offset: narrow(start)?,
        size: narrow(len)?,
    };
    data_mut(block, start..end)?.fill(0);
    *heads_mut(block)?.get_mut(slot).ok_or(NO_ITEM)? = head;
    Ok(())
}

/// Removes the items in `slots`.
pub fn remove(block: &mut [u8], slots: Range<usize>) -> Result<(), Bug> {
    let total = count(block);
    let gone = data_end(block, slots.start)?
        .checked_sub(data_end(block, slots.end)?)
        .ok_or(NO_DATA)?;
    let low = data_end(block, total)?;
    let kept = low..data_end(block, slots.end)?;
    let left = total.checked_sub(slots.len()).ok_or(NO_DATA)?;
    let area = area_mut(block)?;
    shift(area, kept, low.saturating_add(gone))?;
    shift(
        area,
        bytes_of(&(slots.end..total)),
        slots.start.saturating_mul(ITEM_HEAD),
    )?;
    set_count(block, left)?;
    for item in heads_mut(block)?.get_mut(slots.start..).ok_or(NO_ITEM)? {
        item.offset = narrow(usize_of(item.offset.get()).saturating_add(gone))?;
    }
    Ok(())
}

/// Gives the item in `slot` another length: its first bytes stay, new ones are zero. The caller has seen that it fits.
pub fn resize(block: &mut [u8], slot: usize, len: usize) -> Result<(), Bug> {
    let Range { start, end } = Leaf::new(block).bounds(slot).ok_or(NO_ITEM)?;
    let old = end.saturating_sub(start);
    let low = Leaf::new(block).data_start();
    let (kept, target) = if len > old {
        if Leaf::new(block).free_space() < len.saturating_sub(old) {
            return Err(NO_ROOM);
        }
        (low..end, low.saturating_sub(len.saturating_sub(old)))
    } else {
        (
            low..start.saturating_add(len),
            low.saturating_add(old.saturating_sub(len)),
        )
    };
    let area = area_mut(block)?;
    shift(area, kept, target)?;
    if len > old {
        data_mut(block, end.saturating_sub(len.saturating_sub(old))..end)?.fill(0);
    }
    let heads = heads_mut(block)?.get_mut(slot..).ok_or(NO_ITEM)?;
    for item in heads.iter_mut() {
        item.offset = narrow(
            usize_of(item.offset.get())
                .saturating_add(old)
                .saturating_sub(len),
        )?;
    }
    heads.first_mut().ok_or(NO_ITEM)?.size = narrow(len)?;
    Ok(())
}

/// Gives the item in `slot` another key; the order is the caller's to keep.
pub fn set_key(block: &mut [u8], slot: usize, key: &Key) -> Result<(), Bug> {
    heads_mut(block)?.get_mut(slot).ok_or(NO_ITEM)?.key = (*key).into();
    Ok(())
}

/// The data of the item in `slot`, to change.
pub fn item_mut(block: &mut [u8], slot: usize) -> Option<&mut [u8]> {
    let bounds = Leaf::new(block).bounds(slot)?;
    data_mut(block, bounds).ok()
}

/// Fills an item with as many bytes; nothing if their number differs, which callers rule out.
pub fn fill(item: &mut [u8], bytes: &[u8]) {
    if item.len() == bytes.len() {
        item.copy_from_slice(bytes);
    }
}

/// Copies the items in `slots` of one leaf to another, before its slot `at`. The caller has seen that they fit.
pub fn copy(from: &[u8], slots: Range<usize>, to: &mut [u8], at: usize) -> Result<(), Bug> {
    let (low, high) = (data_end(from, slots.end)?, data_end(from, slots.start)?);
    let len = high.checked_sub(low).ok_or(NO_DATA)?;
    let data = area(from)
        .and_then(|area| area.get(low..high))
        .ok_or(NO_DATA)?;
    let heads = Leaf::new(from)
        .raw_items()
        .get(slots.clone())
        .ok_or(NO_ITEM)?;
    let end = open(to, at, slots.len(), len)?;
    let start = end.checked_sub(len).ok_or(NO_DATA)?;
    fill(data_mut(to, start..end)?, data);
    let targets = heads_mut(to)?.get_mut(at..).ok_or(NO_ITEM)?;
    for (target, head) in targets.iter_mut().zip(heads) {
        *target = *head;
        let within = usize_of(head.offset.get())
            .checked_sub(low)
            .ok_or(NO_DATA)?;
        target.offset = narrow(start.saturating_add(within))?;
    }
    Ok(())
}

/// Moves the items in `slots` of one leaf to another, before its slot `at`. The caller has seen that they fit.
pub fn transfer(from: &mut [u8], slots: Range<usize>, to: &mut [u8], at: usize) -> Result<(), Bug> {
    copy(from, slots.clone(), to, at)?;
    remove(from, slots)
}

/// Opens a gap of `heads` items and `len` data bytes before `slot`. Gives where the gap in the data ends; the heads
/// in the gap are stale until the caller sets them.
fn open(block: &mut [u8], slot: usize, heads: usize, len: usize) -> Result<usize, Bug> {
    let total = count(block);
    let need = heads.saturating_mul(ITEM_HEAD).saturating_add(len);
    if slot > total {
        return Err(NO_ITEM);
    }
    if Leaf::new(block).free_space() < need {
        return Err(NO_ROOM);
    }
    let (low, end) = (data_end(block, total)?, data_end(block, slot)?);
    let area = area_mut(block)?;
    shift(area, low..end, low.saturating_sub(len))?;
    let behind = slot.saturating_add(heads);
    shift(
        area,
        bytes_of(&(slot..total)),
        behind.saturating_mul(ITEM_HEAD),
    )?;
    set_count(block, total.saturating_add(heads))?;
    for item in heads_mut(block)?.get_mut(behind..).ok_or(NO_ITEM)? {
        item.offset = narrow(usize_of(item.offset.get()).saturating_sub(len))?;
    }
    Ok(end)
}

fn heads_mut(block: &mut [u8]) -> Result<&mut [RawItem], Bug> {
    let total = count(block);
    let area = area_mut(block)?;
    Ok(RawItem::slice_mut(area, total).ok_or(NO_ITEM)?.0)
}

fn data_mut(block: &mut [u8], range: Range<usize>) -> Result<&mut [u8], Bug> {
    let area = area_mut(block)?;
    area.get_mut(range).ok_or(NO_DATA)
}

fn bytes_of(slots: &Range<usize>) -> Range<usize> {
    slots.start.saturating_mul(ITEM_HEAD)..slots.end.saturating_mul(ITEM_HEAD)
}

fn narrow(value: usize) -> Result<zerocopy::little_endian::U32, Bug> {
    Ok(u32::try_from(value).map_err(|_| NO_DATA)?.into())
}

/// Lossless: no supported machine has a `usize` below 32 bits.
fn usize_of(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
