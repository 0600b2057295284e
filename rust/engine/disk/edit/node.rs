// SPDX-License-Identifier: GPL-2.0
//! Editing a node's bytes: pointers in key order behind the header.

use super::{area, area_mut, count, set_count, shift};
use crate::disk::raw::RawKeyPtr;
use crate::disk::{Bug, Child, Key, Node};
use core::ops::Range;

const NO_POINTER: Bug = Bug::new("node has no pointer in a slot that is to change");
const NO_ROOM: Bug = Bug::new("node has no room for the pointers that are put into it");

const POINTER: usize = RawKeyPtr::SIZE;

/// How many pointers fit.
pub fn capacity(block: &[u8]) -> usize {
    area(block).map_or(0, |area| area.len() / POINTER)
}

/// Inserts a pointer before `slot`. The caller has seen that it fits.
pub fn insert(block: &mut [u8], slot: usize, child: Child) -> Result<(), Bug> {
    open(block, slot, 1)?;
    set(block, slot, child)
}

/// Sets the pointer in `slot`.
pub fn set(block: &mut [u8], slot: usize, child: Child) -> Result<(), Bug> {
    *pointers_mut(block)?.get_mut(slot).ok_or(NO_POINTER)? = child.into();
    Ok(())
}

/// Gives the pointer in `slot` another key.
pub fn set_key(block: &mut [u8], slot: usize, key: &Key) -> Result<(), Bug> {
    pointers_mut(block)?.get_mut(slot).ok_or(NO_POINTER)?.key = (*key).into();
    Ok(())
}

/// Removes the pointers in `slots`.
pub fn remove(block: &mut [u8], slots: Range<usize>) -> Result<(), Bug> {
    let total = count(block);
    let left = total.checked_sub(slots.len()).ok_or(NO_POINTER)?;
    let area = area_mut(block)?;
    shift(
        area,
        bytes_of(&(slots.end..total)),
        slots.start.saturating_mul(POINTER),
    )?;
    set_count(block, left)
}

/// Copies the pointers in `slots` of one node to another, before its slot `at`. The caller has seen that they fit.
pub fn copy(from: &[u8], slots: Range<usize>, to: &mut [u8], at: usize) -> Result<(), Bug> {
    let pointers = Node::new(from)
        .raw_pointers()
        .get(slots.clone())
        .ok_or(NO_POINTER)?;
    open(to, at, slots.len())?;
    let targets = pointers_mut(to)?.get_mut(at..).ok_or(NO_POINTER)?;
    for (target, pointer) in targets.iter_mut().zip(pointers) {
        *target = *pointer;
    }
    Ok(())
}

/// Moves the pointers in `slots` of one node to another, before its slot `at`. The caller has seen that they fit.
pub fn transfer(from: &mut [u8], slots: Range<usize>, to: &mut [u8], at: usize) -> Result<(), Bug> {
    copy(from, slots.clone(), to, at)?;
    remove(from, slots)
}

/// Opens a gap of `pointers` before `slot`; they are stale until the caller sets them.
fn open(block: &mut [u8], slot: usize, pointers: usize) -> Result<(), Bug> {
    let total = count(block);
    let grown = total.saturating_add(pointers);
    if slot > total {
        return Err(NO_POINTER);
    }
    if grown > capacity(block) {
        return Err(NO_ROOM);
    }
    let area = area_mut(block)?;
    shift(
        area,
        bytes_of(&(slot..total)),
        slot.saturating_add(pointers).saturating_mul(POINTER),
    )?;
    set_count(block, grown)
}

fn pointers_mut(block: &mut [u8]) -> Result<&mut [RawKeyPtr], Bug> {
    let total = count(block);
    let area = area_mut(block)?;
    RawKeyPtr::slice_mut(area, total).ok_or(NO_POINTER)
}

fn bytes_of(slots: &Range<usize>) -> Range<usize> {
    slots.start.saturating_mul(POINTER)..slots.end.saturating_mul(POINTER)
}
