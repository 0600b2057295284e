// SPDX-License-Identifier: GPL-2.0
//! The file of a free space cache, as far as it is to be removed: nothing is believed that would take others' data along.

use crate::btree::{Allocate, DataRef, Holder, Tree};
use crate::disk::{
    BlockGroupFlags, CacheHeader, ExtentFlags, ExtentItem, FileExtent, FileType, Flaw, InlineRef,
    InodeItem, Key, Kind, ObjectId, Reference,
};
use crate::txn::shared::Shared;
use core::ops::ControlFlow;
use latch::prelude::*;

/// The most items that a file may have. C asks for an extent in one piece.
const MOST_ITEMS: u32 = 64;
/// How many items are looked at for the extent before another.
const MOST_STEPS: u32 = 16;

/// A file that belongs to a cache and to nobody else.
pub(super) struct CacheFile {
    inode: ObjectId,
    extents: KVec<DataRef>,
    items: u32,
}

/// Why a file stays.
pub(super) enum Doubt {
    /// It is not what a cache has.
    Flaw(Flaw),
    /// It could not be looked at.
    Failed(Error),
}

impl From<Flaw> for Doubt {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

impl From<Error> for Doubt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Doubt {
    /// Says that of the cache at `key` the header alone goes.
    pub(super) fn tell(&self, key: &Key) {
        let group = key.offset;
        match self {
            Self::Flaw(flaw) => pr_warn!("the cache file of block group {group} stays: {flaw}\n"),
            Self::Failed(error) => {
                let errno = error.to_errno();
                pr_warn!(
                    "the cache file of block group {group} stays: it cannot be read ({errno})\n"
                );
            }
        }
    }
}

impl CacheFile {
    /// Finds the file that a header leads to; `None` where nothing is.
    pub(super) fn find(shared: &Shared, header: &CacheHeader) -> Result<Option<Self>, Doubt> {
        let mut file = Self {
            inode: header.inode,
            extents: KVec::new(),
            items: 0,
        };
        let mut doubt = None;
        let of = |kind, offset| Key::new(header.inode.get(), Kind::new(kind), offset);
        let all = of(0, 0)..=of(u8::MAX, u64::MAX);
        shared.trees.root().scan(all, |key, bytes| {
            doubt = file.take(&key, bytes).err();
            Ok(match doubt {
                None => ControlFlow::Continue(()),
                Some(_) => ControlFlow::Break(()),
            })
        })?;
        doubt.map_or(Ok(()), Err)?;
        for data in &file.extents {
            check_owner(shared, data)?;
        }
        Ok((file.items > 0).then_some(file))
    }

    /// How many items it has.
    pub(super) fn items(&self) -> u32 {
        self.items
    }

    /// Removes the file.
    pub(super) fn remove(self, root: &Tree, txn: &dyn Allocate) -> Result {
        for data in &self.extents {
            txn.release_data(data)?;
        }
        let piece = |offset| Key::new(self.inode.get(), Kind::EXTENT_DATA, offset);
        root.remove_range(txn, &piece(0), &piece(u64::MAX), usize::MAX)?;
        root.remove(txn, &Key::new(self.inode.get(), Kind::INODE_ITEM, 0))
    }

    /// Takes the next item.
    fn take(&mut self, key: &Key, bytes: &[u8]) -> Result<(), Doubt> {
        match self.items {
            0 => check_inode(key, bytes)?,
            1..MOST_ITEMS => self.take_piece(key, bytes)?,
            _ => {
                let limit = u64::from(MOST_ITEMS);
                return Err(Flaw::new("a cache file is in many pieces", limit, limit).into());
            }
        }
        self.items = self.items.saturating_add(1);
        Ok(())
    }

    /// Takes a piece, which is all that a cache's inode has.
    fn take_piece(&mut self, key: &Key, bytes: &[u8]) -> Result<(), Doubt> {
        if key.kind != Kind::EXTENT_DATA {
            let (found, expected) = (key.kind.get(), Kind::EXTENT_DATA.get());
            let what = "a cache's inode has something else";
            return Err(Flaw::new(what, found.into(), expected.into()).into());
        }
        let FileExtent::Regular(extent) = FileExtent::parse(bytes)? else {
            return Err(Flaw::missing("a piece of a cache file has no extent").into());
        };
        if extent.disk_addr.get() == 0 {
            return Ok(());
        }
        let data = DataRef {
            addr: extent.disk_addr,
            len: extent.disk_len,
            holder: Holder::Tree(ObjectId::ROOT_TREE),
            root: ObjectId::ROOT_TREE,
            inode: self.inode,
            offset: key.offset.wrapping_sub(extent.offset),
        };
        let noted = self.extents.push(data, GFP_NOFAIL);
        Ok(noted.map_err(Error::from)?)
    }
}

/// Checks the first item of a cache's inode: it is that of a file without a name.
fn check_inode(key: &Key, bytes: &[u8]) -> Result<(), Doubt> {
    if key.kind != Kind::INODE_ITEM || key.offset != 0 {
        return Err(Flaw::missing("a cache file has no inode").into());
    }
    let inode = InodeItem::parse(bytes)?;
    let is_file = inode.file_type() == Some(FileType::Regular);
    match is_file && inode.nlink <= 1 {
        true => Ok(()),
        false => {
            let what = "a cache's inode is none of a cache";
            Err(Flaw::new(what, inode.mode.into(), 0o100600).into())
        }
    }
}

/// Checks that an extent is in a block group of data, overlaps no other, and is referenced by this file once and by nothing else.
fn check_owner(shared: &Shared, data: &DataRef) -> Result<(), Doubt> {
    let extents = shared.trees.required(ObjectId::EXTENT_TREE)?;
    let (addr, len) = (data.addr.get(), data.len);
    let nowhere = Flaw::new("a cache file is not in a block group of data", addr, len);
    let group = group_of(shared, data).ok_or(nowhere)?;
    let last = addr.saturating_add(len).saturating_sub(1);
    let item = Key::new(addr, Kind::EXTENT_ITEM, len);
    let is_own = extents.get(&item, |bytes| is_only(bytes, data.reference()))?;
    let others = Flaw::new("a cache file's extent has other references", addr, len);
    is_own.filter(|own| *own).ok_or(others)?;
    let behind = extents.floor(&last_at(last), |key, _| key.objectid.get())?;
    match behind == Some(addr) && !is_reached(&extents, group, addr)? {
        true => Ok(()),
        false => Err(Flaw::new("a cache file's extent overlaps another", addr, len).into()),
    }
}

/// The start of the block group of data that has all of an extent.
fn group_of(shared: &Shared, data: &DataRef) -> Option<u64> {
    let mapping = shared.volume.find(data.addr, data.len)?;
    let chunk = shared.volume.chunk_from(mapping.chunk)?;
    let end = data.addr.checked_add(data.len)?;
    let fits = chunk.logical == mapping.chunk && end <= chunk.logical.checked_add(chunk.len)?;
    let is_data = chunk.flags.contains(BlockGroupFlags::DATA);
    (fits && is_data && data.len > 0).then_some(chunk.logical.get())
}

/// Whether an extent of the group before `addr` reaches beyond it. Between them only references and the group's own item may be.
fn is_reached(extents: &Tree, group: u64, addr: u64) -> Result<bool> {
    let mut at = last_at(addr.saturating_sub(1));
    for _ in 0..MOST_STEPS {
        let found = extents.floor(&at, |key, _| key)?;
        let Some(key) = found.filter(|key| key.objectid.get() >= group && addr > group) else {
            return Ok(false);
        };
        match key.kind {
            Kind::EXTENT_ITEM => {
                return Ok(key.objectid.get().saturating_add(key.offset) > addr);
            }
            kind if kind > Kind::METADATA_ITEM => {
                at = Key::new(key.objectid.get(), Kind::METADATA_ITEM, u64::MAX);
            }
            _ => return Ok(true),
        }
    }
    Ok(true)
}

fn last_at(addr: u64) -> Key {
    Key::new(addr, Kind::new(u8::MAX), u64::MAX)
}

/// Whether the item of an extent of file data has this reference once, and no other.
fn is_only(item: &[u8], reference: Reference) -> bool {
    let Ok(item) = ExtentItem::parse(Kind::EXTENT_ITEM, item) else {
        return false;
    };
    let mut refs = item.inline_refs;
    let first = refs.next().and_then(|inline| inline.ok());
    item.refs == 1
        && item.flags.contains(ExtentFlags::DATA)
        && first == Some(InlineRef::new(reference, 1))
}
