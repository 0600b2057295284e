// SPDX-License-Identifier: GPL-2.0
//! The file of a free space cache: an inode without a name, and its extents.

use super::owner;
use crate::btree::{Allocate, DataRef, Holder, Tree};
use crate::disk::{
    Bytes, CacheHeader, Compression, ExtentState, FileExtent, FileOffset, FileType, Flaw,
    InodeItem, Key, Kind, Logical, ObjectId, RegularExtent,
};
use crate::space::free::doubt::Doubt;
use crate::volume::Volume;
use core::ops::ControlFlow;
use latch::prelude::*;

/// The most items that a file may have. C asks for an extent in one piece.
const MOST_ITEMS: u32 = 64;
/// The file of a cache.
pub(crate) struct CacheFile {
    number: ObjectId,
    inode: InodeItem,
    /// The file's pieces, ascending, with their offsets; holes are left out.
    pieces: KVec<(FileOffset, RegularExtent)>,
    items: u32,
}

impl CacheFile {
    /// Finds the file that a header leads to; `None` where nothing is.
    pub(crate) fn find(root: &Tree, header: &CacheHeader) -> Result<Option<Self>, Doubt> {
        let mut file = Self {
            number: header.inode,
            inode: InodeItem::default(),
            pieces: KVec::new(),
            items: 0,
        };
        let mut doubt = None;
        let of = |kind, offset| Key::new(header.inode.get(), Kind::new(kind), offset);
        let all = of(0, 0)..=of(u8::MAX, u64::MAX);
        root.scan(all, |key, bytes| {
            doubt = file.take(&key, bytes).err();
            Ok(match doubt {
                None => ControlFlow::Continue(()),
                Some(_) => ControlFlow::Break(()),
            })
        })?;
        doubt.map_or(Ok(()), Err)?;
        Ok((file.items > 0).then_some(file))
    }

    /// Checks that its extents are its own.
    pub(crate) fn check_owner(&self, extents: &Tree, volume: &Volume) -> Result<(), Doubt> {
        self.extents()
            .try_for_each(|data| owner::check(extents, volume, &data))
    }

    /// How many items it has.
    pub(crate) fn items(&self) -> u32 {
        self.items
    }

    /// The file's inode item.
    pub(super) fn inode(&self) -> &InodeItem {
        &self.inode
    }

    /// Whether it may be of the block group at `start`, by its inode. Whoever writes a cache notes that there, C but for its next
    /// change of the inode: there is zero from then on.
    pub(super) fn is_of(&self, start: Logical) -> bool {
        let noted = self.inode.block_group;
        noted == 0 || noted == start.get()
    }

    /// Removes the file.
    pub(crate) fn remove(&self, root: &Tree, txn: &dyn Allocate) -> Result {
        for data in self.extents() {
            txn.release_data(&data)?;
        }
        let number = self.number.get();
        let piece = |offset| Key::new(number, Kind::EXTENT_DATA, offset);
        root.remove_range(txn, &piece(0), &piece(u64::MAX), usize::MAX)?;
        root.remove(txn, &Key::new(number, Kind::INODE_ITEM, 0))
    }

    /// Where the file's bytes are, piece after piece, all of them as they were written and in block groups of data.
    pub(super) fn places(&self, volume: &Volume) -> Result<KVec<(Logical, Bytes)>, Doubt> {
        let mut places = KVec::new();
        let mut at = FileOffset::new(0);
        for (&(offset, extent), data) in self.pieces.iter().zip(self.extents()) {
            let is_plain = extent.state == ExtentState::Written
                && extent.compression == Compression::None
                && offset == at
                && extent.offset.saturating_add(extent.len) <= extent.disk_len;
            let what = "a cache file is not in whole pieces";
            let place = extent.address_of(Bytes::ZERO).filter(|_| is_plain);
            let place = place.ok_or(Flaw::new(what, offset.get(), at.get()))?;
            let nowhere = Flaw::new("a cache file is not in a block group of data", at.get(), 0);
            owner::group_of(volume, &data).ok_or(nowhere)?;
            let noted = places.push((place, extent.len), GFP_NOFAIL);
            noted.map_err(Error::from)?;
            at = at.saturating_add(extent.len);
        }
        match at >= FileOffset::after(self.inode.size) {
            true => Ok(places),
            false => {
                Err(Flaw::new("a cache file is too short", at.get(), self.inode.size.get()).into())
            }
        }
    }

    /// The file's references to extents.
    fn extents(&self) -> impl Iterator<Item = DataRef> + '_ {
        self.pieces.iter().map(|&(offset, extent)| DataRef {
            addr: extent.disk_addr,
            len: extent.disk_len,
            holder: Holder::Tree(ObjectId::ROOT_TREE),
            root: ObjectId::ROOT_TREE,
            inode: self.number,
            offset: extent.extent_start(offset),
        })
    }

    /// Takes the next item.
    fn take(&mut self, key: &Key, bytes: &[u8]) -> Result<(), Doubt> {
        match self.items {
            0 => self.inode = take_inode(key, bytes)?,
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
        if extent.is_hole() {
            return Ok(());
        }
        let noted = self
            .pieces
            .push((FileOffset::new(key.offset), extent), GFP_NOFAIL);
        Ok(noted.map_err(Error::from)?)
    }
}

/// Reads the first item of a cache's inode: it is that of a file without a name.
fn take_inode(key: &Key, bytes: &[u8]) -> Result<InodeItem, Doubt> {
    if key.kind != Kind::INODE_ITEM || key.offset != 0 {
        return Err(Flaw::missing("a cache file has no inode").into());
    }
    let inode = InodeItem::parse(bytes)?;
    let is_file = inode.file_type() == Some(FileType::Regular);
    match is_file && inode.nlink <= 1 {
        true => Ok(inode),
        false => {
            let what = "a cache's inode is none of a cache";
            Err(Flaw::new(what, inode.mode.into(), 0o100600).into())
        }
    }
}
