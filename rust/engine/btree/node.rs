// SPDX-License-Identifier: GPL-2.0
//! Editing a node's bytes, and what nodes and leaves have in common: the header.
//!
//! All calls check first and change then: after an error nothing has moved. Errors are `EUCLEAN` and mean a bug or
//! broken memory, since blocks passed the gate.

use crate::disk::raw::{RawHeader, RawKeyPtr};
use crate::disk::{Child, Key, Node};
use core::ops::Range;
use latch::prelude::*;

const POINTER: usize = RawKeyPtr::SIZE;

/// How many pointers fit.
pub(super) fn capacity(block: &[u8]) -> usize {
    RawHeader::split(block).map_or(0, |(_, area)| area.len() / POINTER)
}

/// How many items or pointers the header says there are.
pub(super) fn count(block: &[u8]) -> usize {
    RawHeader::split(block).map_or(0, |(header, _)| {
        usize::try_from(header.nritems.get()).unwrap_or(0)
    })
}

/// Sets the number of items or pointers.
pub(super) fn set_count(block: &mut [u8], count: usize) -> Result {
    let count = u32::try_from(count).map_err(|_| EUCLEAN)?;
    header_mut(block)?.nritems.set(count);
    Ok(())
}

/// The block's header, to change.
pub(super) fn header_mut(block: &mut [u8]) -> Result<&mut RawHeader> {
    RawHeader::split_mut(block)
        .map(|(header, _)| header)
        .ok_or(EUCLEAN)
}

/// Moves bytes within `area`; unlike `copy_within` it cannot panic.
pub(super) fn shift(area: &mut [u8], from: Range<usize>, to: usize) -> Result {
    let len = from.end.checked_sub(from.start).ok_or(EUCLEAN)?;
    let room = area.len().checked_sub(len).ok_or(EUCLEAN)?;
    if from.end > area.len() || to > room {
        return Err(EUCLEAN);
    }
    area.copy_within(from.start..from.end, to);
    Ok(())
}

/// Inserts a pointer before `slot`. The caller has seen that it fits.
pub(super) fn insert(block: &mut [u8], slot: usize, child: Child) -> Result {
    open(block, slot, 1)?;
    set(block, slot, child)
}

/// Sets the pointer in `slot`.
pub(super) fn set(block: &mut [u8], slot: usize, child: Child) -> Result {
    *pointers_mut(block)?.get_mut(slot).ok_or(EUCLEAN)? = child.into();
    Ok(())
}

/// Gives the pointer in `slot` another key.
pub(super) fn set_key(block: &mut [u8], slot: usize, key: &Key) -> Result {
    pointers_mut(block)?.get_mut(slot).ok_or(EUCLEAN)?.key = (*key).into();
    Ok(())
}

/// Removes the pointers in `slots`.
pub(super) fn remove(block: &mut [u8], slots: Range<usize>) -> Result {
    let total = count(block);
    let left = total.checked_sub(slots.len()).ok_or(EUCLEAN)?;
    let (_, area) = RawHeader::split_mut(block).ok_or(EUCLEAN)?;
    shift(
        area,
        bytes_of(&(slots.end..total)),
        slots.start.saturating_mul(POINTER),
    )?;
    set_count(block, left)
}

/// Copies the pointers in `slots` of one node to another, before its slot `at`. The caller has seen that they fit.
pub(super) fn copy(from: &[u8], slots: Range<usize>, to: &mut [u8], at: usize) -> Result {
    let pointers = Node::new(from)
        .raw_pointers()
        .get(slots.clone())
        .ok_or(EUCLEAN)?;
    open(to, at, slots.len())?;
    let targets = pointers_mut(to)?.get_mut(at..).ok_or(EUCLEAN)?;
    for (target, pointer) in targets.iter_mut().zip(pointers) {
        *target = *pointer;
    }
    Ok(())
}

/// Moves the pointers in `slots` of one node to another, before its slot `at`. The caller has seen that they fit.
pub(super) fn transfer(from: &mut [u8], slots: Range<usize>, to: &mut [u8], at: usize) -> Result {
    copy(from, slots.clone(), to, at)?;
    remove(from, slots)
}

/// Opens a gap of `pointers` before `slot`; they are stale until the caller sets them.
fn open(block: &mut [u8], slot: usize, pointers: usize) -> Result {
    let total = count(block);
    let grown = total.saturating_add(pointers);
    if slot > total || grown > capacity(block) {
        return Err(EUCLEAN);
    }
    let (_, area) = RawHeader::split_mut(block).ok_or(EUCLEAN)?;
    shift(
        area,
        bytes_of(&(slot..total)),
        slot.saturating_add(pointers).saturating_mul(POINTER),
    )?;
    set_count(block, grown)
}

fn pointers_mut(block: &mut [u8]) -> Result<&mut [RawKeyPtr]> {
    let total = count(block);
    let (_, area) = RawHeader::split_mut(block).ok_or(EUCLEAN)?;
    RawKeyPtr::slice_mut(area, total).ok_or(EUCLEAN)
}

fn bytes_of(slots: &Range<usize>) -> Range<usize> {
    slots.start.saturating_mul(POINTER)..slots.end.saturating_mul(POINTER)
}
