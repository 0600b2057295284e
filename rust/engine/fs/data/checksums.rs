// SPDX-License-Identifier: GPL-2.0
//! Checksums of file data: items of the checksum tree, each with the sums of consecutive sectors.

use super::Data;
use crate::btree::{Allocate, Cursor, Reach, Sought, Tree, Writer};
use crate::disk::{leaf_area, Bug, Bytes, InodeFlags, Key, Kind, Logical, ObjectId, ITEM_HEAD};
use crate::fs::{items, Inode};
use core::cmp::Ordering;
use latch::prelude::*;

/// The most sums that an item has (C: `MAX_CSUM_ITEMS`, which takes a page's bytes as a count).
const MAX_SUMS: usize = 4096;

/// The checksums of consecutive sectors.
#[derive(Debug)]
pub struct SectorSums {
    size: usize,
    sums: KVec<u8>,
    present: KVec<bool>,
}

impl SectorSums {
    /// Room for `sectors` sums, none there yet.
    fn new(size: usize, sectors: usize) -> Result<Self> {
        let mut sums = KVec::new();
        sums.resize(size.checked_mul(sectors).ok_or(ENOMEM)?, 0, GFP_KERNEL)?;
        let mut present = KVec::new();
        present.resize(sectors, false, GFP_KERNEL)?;
        Ok(Self {
            size,
            sums,
            present,
        })
    }

    /// How many sectors were asked for.
    pub fn sectors(&self) -> usize {
        self.present.len()
    }

    /// The checksum of the n-th sector; `None` where the disk has none: the data cannot be trusted (`EIO`).
    pub fn get(&self, sector: usize) -> Option<&[u8]> {
        if !*self.present.get(sector)? {
            return None;
        }
        let start = sector.checked_mul(self.size)?;
        self.sums.get(start..start.checked_add(self.size)?)
    }

    /// The sums that the disk has, as runs of neighbours: the first sector of each, and its sums back to back.
    pub(in crate::fs) fn runs(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut from = 0_usize;
        core::iter::from_fn(move || {
            let is_there = |at: &usize| self.present.get(*at).is_some_and(|present| *present);
            let first = (from..self.sectors()).find(is_there)?;
            let end = (first..self.sectors()).find(|at| !is_there(at));
            from = end.unwrap_or(self.sectors());
            let bytes = first.checked_mul(self.size)?..from.checked_mul(self.size)?;
            Some((first, self.sums.get(bytes)?))
        })
    }

    /// Takes the sums from `item` for sectors from `sector` on; `skip` of its sums come before those.
    fn take(&mut self, sector: usize, item: &[u8], skip: usize) {
        let from = item.get(skip.saturating_mul(self.size)..).unwrap_or(&[]);
        let start = sector.saturating_mul(self.size);
        let to = self.sums.get_mut(start..).unwrap_or(&mut []);
        let len = from.len().min(to.len());
        if let (Some(to), Some(from)) = (to.get_mut(..len), from.get(..len)) {
            to.copy_from_slice(from);
        }
        let count = from.len().checked_div(self.size).unwrap_or(0);
        for present in self.present.iter_mut().skip(sector).take(count) {
            *present = true;
        }
    }
}

/// The key of the sums from this address on.
fn key(logical: Logical) -> Key {
    Key {
        objectid: ObjectId::EXTENT_CSUM,
        kind: Kind::EXTENT_CSUM,
        offset: logical.get(),
    }
}

/// Where the data begin that an item at this key has sums of.
const fn start_of(key: &Key) -> Logical {
    Logical::new(key.offset)
}

/// Whether the item at this key has sums.
fn is_sums(key: &Key) -> bool {
    key.kind == Kind::EXTENT_CSUM && key.objectid == ObjectId::EXTENT_CSUM
}

impl Data<'_> {
    /// The checksums of the data at `[logical, logical + len)`, whole sectors. `None`: the file has none
    /// ([`InodeFlags::NODATASUM`]).
    pub fn checksums(
        &self,
        inode: &Inode,
        logical: Logical,
        len: Bytes,
    ) -> Result<Option<SectorSums>> {
        self.checksums_within(inode, logical, len, Reach::Device)
    }

    /// The checksums as [`Self::checksums`] gives them; tree blocks are looked for as far as `reach` goes.
    pub fn checksums_within(
        &self,
        inode: &Inode,
        logical: Logical,
        len: Bytes,
        reach: Reach,
    ) -> Result<Option<SectorSums>> {
        match inode.attributes().flags.contains(InodeFlags::NODATASUM) {
            true => Ok(None),
            false => self.sums_of(logical, len, reach).map(Some),
        }
    }

    /// What the checksum tree has of `[logical, logical + len)`, whole sectors.
    pub(in crate::fs) fn sums_of(
        &self,
        logical: Logical,
        len: Bytes,
        reach: Reach,
    ) -> Result<SectorSums> {
        let sector_size = self.fs.sector_size();
        let sectors = usize::try_from(len.count(sector_size))?;
        let mut sums = SectorSums::new(self.fs.format().checksum.size(), sectors)?;
        let end = logical.saturating_add(len);
        let mut cursor = Cursor::reaching(self.fs.checksum_tree(), reach).up_to(key(end));
        if cursor.seek_floor(&key(logical))? == Sought::Missing {
            cursor.seek(&key(logical))?;
        }
        while let Some((found, item)) = cursor.item() {
            if found >= key(end) {
                break;
            }
            if is_sums(&found) {
                let start = start_of(&found);
                let skip = logical.saturating_since(start).count(sector_size);
                let sector = start.saturating_since(logical).count(sector_size);
                sums.take(usize::try_from(sector)?, item, usize::try_from(skip)?);
            }
            cursor.next()?;
        }
        Ok(sums)
    }

    /// Inserts the sums of newly written data. The range was just allocated, but may have sums of data that is gone, as
    /// old drivers left them (`btrfs check`: "there are no extents for csum range"): these are written over.
    pub(in crate::fs) fn insert_checksums(
        &self,
        txn: &dyn Allocate,
        logical: Logical,
        sums: &[u8],
    ) -> Result {
        let layout = Layout {
            size: self.fs.format().checksum.size(),
            sector: self.fs.sector_size(),
            longest: longest(self.fs.format().node_size, self.fs.format().checksum.size()),
        };
        let mut at = logical;
        let mut rest = sums;
        while !rest.is_empty() {
            let taken = insert_some(self.fs.checksum_tree(), txn, &layout, at, rest)?;
            at = at.saturating_add(layout.covers(taken));
            rest = rest.get(taken..).unwrap_or(&[]);
        }
        Ok(())
    }
}

/// How sums lie in items.
struct Layout {
    /// Bytes of a sum.
    size: usize,
    /// Bytes of data for each.
    sector: Bytes,
    /// Bytes of the longest item.
    longest: usize,
}

impl Layout {
    /// Bytes of data that these bytes of sums are for.
    fn covers(&self, bytes: usize) -> Bytes {
        let sums = Bytes::from(bytes).count(self.size.into());
        self.sector.saturating_mul(sums)
    }

    /// The whole sums in so many bytes, in bytes.
    fn whole(&self, bytes: usize) -> usize {
        bytes.saturating_sub(bytes.checked_rem(self.size).unwrap_or(0))
    }

    /// The part of `sums`, for the data from `at` on, that are of data before the item at `next`, if that has sums.
    fn until<'s>(&self, next: Option<Key>, at: Logical, sums: &'s [u8]) -> &'s [u8] {
        let next = next.filter(is_sums);
        let free = next.map_or(Bytes::MAX, |next| start_of(&next).saturating_since(at));
        let len = self.bytes_for(free).min(sums.len());
        sums.get(..len).unwrap_or(sums)
    }

    /// Bytes of the sums for so much data.
    fn bytes_for(&self, data: Bytes) -> usize {
        usize::try_from(data.count(self.sector))
            .unwrap_or(usize::MAX)
            .saturating_mul(self.size)
    }
}

/// Bytes of the longest item (C: `MAX_CSUM_ITEMS`).
fn longest(node_size: u32, size: usize) -> usize {
    let area = usize::try_from(leaf_area(node_size)).unwrap_or(0);
    let room = area.saturating_sub(ITEM_HEAD.saturating_mul(2));
    let sums = room
        .checked_div(size)
        .unwrap_or(0)
        .saturating_sub(1)
        .min(MAX_SUMS);
    sums.saturating_mul(size)
}

/// Inserts some of `sums` for the data at `at`: over what an item has there already, behind the item that ends there,
/// or as an item; never beyond where the next one begins, whichever leaf that is in. Gives how many bytes.
fn insert_some(
    tree: &Tree,
    txn: &dyn Allocate,
    layout: &Layout,
    at: Logical,
    sums: &[u8],
) -> Result<usize> {
    let mut writer = Writer::new(tree, txn);
    let sums = match writer.seek_floor(&key(at))? {
        Sought::Found => {
            let sums = layout.until(writer.bound_here()?, at, sums);
            let taken = put_here(&mut writer, layout, at, sums)?;
            if taken > 0 {
                return Ok(taken);
            }
            sums
        }
        Sought::Missing => {
            writer.seek(&key(at))?;
            let next = writer.item()?.map(|(next, _)| next);
            layout.until(next, at, sums)
        }
    };
    let len = sums.len().min(layout.longest);
    put(Some(writer.insert_here(&key(at), len)?), sums)?;
    Ok(len)
}

/// Puts some of `sums` into the item that the writer stands at, the last one that begins at `at` or before. Gives how
/// many bytes: none, if that item neither has sums of what is at `at` nor ends there.
fn put_here(writer: &mut Writer<'_>, layout: &Layout, at: Logical, sums: &[u8]) -> Result<usize> {
    let room = writer.room_here()?;
    let (before, item) = items::here(writer)?;
    if !is_sums(&before) {
        return Ok(0);
    }
    let used = item.len();
    let skip = layout.bytes_for(at.saturating_since(start_of(&before)));
    // Whoever removes sums next to these must not get between reading the item and making it longer.
    let longest = used.saturating_add(room).min(layout.longest.max(used));
    let end = match skip.cmp(&used) {
        Ordering::Less => used,
        Ordering::Equal => longest,
        Ordering::Greater => 0,
    };
    let taken = layout.whole(end.saturating_sub(skip)).min(sums.len());
    if taken > 0 {
        let end = skip.saturating_add(taken);
        let item = writer.resize_here(used.max(end))?;
        put(item.get_mut(skip..end), sums)?;
    }
    Ok(taken)
}

/// Fills a part of an item with the first of `sums`.
fn put(to: Option<&mut [u8]>, sums: &[u8]) -> Result<(), Bug> {
    const SHORT: Bug = Bug::new("checksum item is shorter than it was made");
    let to = to.ok_or(SHORT)?;
    to.copy_from_slice(sums.get(..to.len()).ok_or(SHORT)?);
    Ok(())
}
