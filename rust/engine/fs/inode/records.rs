// SPDX-License-Identifier: GPL-2.0
//! Items that hold several records back to back: names whose hashes collide, names of one inode in one directory.

use crate::btree::{Allocate, Tree, Writer};
use crate::disk::raw::{RawDirItem, RawInodeExtref, RawInodeRef, RawItem, RawRootRef};
use crate::disk::{leaf_area, Key};
use core::marker::PhantomData;
use core::ops::Range;
use latch::prelude::*;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// What stands before a record's name.
pub(in crate::fs) trait Head:
    FromBytes + KnownLayout + Immutable + Unaligned
{
    /// Bytes of the name behind it.
    fn name_len(&self) -> usize;

    /// Bytes of the value behind the name.
    fn data_len(&self) -> usize {
        0
    }
}

impl Head for RawDirItem {
    fn name_len(&self) -> usize {
        self.name_len.get().into()
    }

    fn data_len(&self) -> usize {
        self.data_len.get().into()
    }
}

impl Head for RawInodeRef {
    fn name_len(&self) -> usize {
        self.name_len.get().into()
    }
}

impl Head for RawInodeExtref {
    fn name_len(&self) -> usize {
        self.name_len.get().into()
    }
}

impl Head for RawRootRef {
    fn name_len(&self) -> usize {
        self.name_len.get().into()
    }
}

/// One record of an item.
pub(in crate::fs) struct Record<'a, H> {
    /// What stands before the name.
    pub head: &'a H,
    /// The name.
    pub name: &'a [u8],
    /// The value behind it.
    pub data: &'a [u8],
    /// Where in the item it all is.
    pub range: Range<usize>,
}

/// The records of an item, first to last. What does not fit the item ends it; the gate lets no such item pass.
pub(in crate::fs) struct Records<'a, H> {
    item: &'a [u8],
    at: usize,
    head: PhantomData<H>,
}

impl<'a, H> Records<'a, H> {
    /// The records in `item`.
    pub(in crate::fs) fn new(item: &'a [u8]) -> Self {
        Self {
            item,
            at: 0,
            head: PhantomData,
        }
    }
}

impl<'a, H: Head + 'a> Iterator for Records<'a, H> {
    type Item = Record<'a, H>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.item.get(self.at..)?;
        let (head, rest) = H::ref_from_prefix(rest).ok()?;
        let (name, rest) = rest.split_at_checked(head.name_len())?;
        let (data, rest) = rest.split_at_checked(head.data_len())?;
        let end = self.item.len().checked_sub(rest.len())?;
        let range = self.at..end;
        self.at = end;
        Some(Record {
            head,
            name,
            data,
            range,
        })
    }
}

/// Whether a record of `len` bytes more fits into the item that has `used` bytes now (C: `EOVERFLOW`).
pub(in crate::fs) fn fits(node_size: u32, used: usize, len: usize) -> bool {
    let limit = usize::try_from(leaf_area(node_size)).unwrap_or(0);
    used.saturating_add(len).saturating_add(RawItem::SIZE) <= limit
}

/// Adds a record of `len` bytes to the item at `key`, or makes the item. `fill` gets zeros to write over. `EOVERFLOW`
/// when no leaf can hold the item: nothing was changed then.
pub(in crate::fs) fn append(
    tree: &Tree,
    txn: &dyn Allocate,
    key: &Key,
    len: usize,
    fill: impl FnOnce(&mut [u8]) -> Result,
) -> Result {
    let mut writer = Writer::new(tree, txn);
    if !writer.seek(key)? {
        return fill(writer.insert_here(key, len)?);
    }
    let used = writer.item()?.map_or(0, |(_, item)| item.len());
    if !fits(tree.store().node_size(), used, len) {
        return Err(EOVERFLOW);
    }
    let item = writer.resize_here(used.saturating_add(len))?;
    fill(item.get_mut(used..).ok_or(EUCLEAN)?)
}

/// Takes the first record that is `wanted` out of the item at `key`, and the item with its last one. What `read` made
/// of it, or `None` if there was none: nothing was changed then.
pub(in crate::fs) fn remove<H: Head, R>(
    tree: &Tree,
    txn: &dyn Allocate,
    key: &Key,
    wanted: impl Fn(&Record<'_, H>) -> bool,
    read: impl FnOnce(&Record<'_, H>) -> R,
) -> Result<Option<R>> {
    let mut writer = Writer::new(tree, txn);
    if !writer.seek(key)? {
        return Ok(None);
    }
    let (_, item) = writer.item()?.ok_or(EUCLEAN)?;
    let Some(record) = Records::<H>::new(item).find(wanted) else {
        return Ok(None);
    };
    let (range, len) = (record.range.clone(), item.len());
    let found = read(&record);
    if range.len() == len {
        writer.remove_here()?;
        return Ok(Some(found));
    }
    let (_, item) = writer.item_mut()?.ok_or(EUCLEAN)?;
    let tail = item.get_mut(range.start..).ok_or(EUCLEAN)?;
    // What stands behind it moves down; the end is cut off.
    tail.copy_within(range.len().min(tail.len()).., 0);
    writer.resize_here(len.saturating_sub(range.len()))?;
    Ok(Some(found))
}
