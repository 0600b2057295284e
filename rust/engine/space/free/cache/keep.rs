// SPDX-License-Identifier: GPL-2.0
//! Keeping a block group's cache on disk: its file, and when it is void.

use super::file::CacheFile;
use super::sending::Pages;
use super::set;
use super::state::{Cache, CacheFate, CachePieces, File, Kept, Measured};
use crate::btree::{Allocate, DataRef, Holder, Tree};
use crate::disk::{
    ensure, Bug, Bytes, CacheBounds, CacheHeader, Compression, ExtentState, Flaw, Generation,
    InodeFlags, InodeItem, Key, Kind, Logical, ObjectId, RegularExtent,
};
use crate::space::free::data_extent::DataExtent;
use crate::space::free::doubt::Doubt;
use crate::space::numbers::Numbers;
use crate::volume::Volume;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::Mutex;

/// What C gives the inode of a cache. Its data are checked by sums of their own.
const FLAGS: InodeFlags = InodeFlags::NOCOMPRESS
    .with(InodeFlags::PREALLOC)
    .with(InodeFlags::NODATASUM)
    .with(InodeFlags::NODATACOW);

/// Whether free space caches are kept right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// This mount keeps none, whatever a remount asks for.
    Never,
    /// None is kept now: what changes is not made void, so none may be believed.
    NotNow,
    /// Caches are kept: each is void or right.
    Now,
}

/// What keeps the free space caches.
pub(in crate::space) struct Keeper {
    pub(in crate::space) volume: Arc<Volume>,
    /// What leads to caches.
    pub(in crate::space) root: Arc<Tree>,
    pub(in crate::space) extents: Arc<Tree>,
    pub(in crate::space) numbers: Arc<Numbers>,
    /// Held while a file is found to be a group's: headers of two may lead to one.
    pub(in crate::space) files: Mutex<()>,
    /// Whether the superblock says that those which are not void are right.
    pub(in crate::space) on: AtomicBool,
}

/// Finds an extent of so many bytes for the file of a group's cache. `None` where there is no space.
pub(in crate::space) type FindSpace<'a> = &'a dyn Fn(Bytes) -> Result<Option<DataExtent>>;

/// What is to be written of a group's cache.
pub(in crate::space) enum Begun {
    /// The pages of the new cache.
    Pages(Pages),
    /// The file was made, or is gone: groups have to change first.
    Changed,
    /// Enough caches were begun this time: this one is left for another turn.
    Later,
    /// There is nothing to write.
    Nothing,
}

/// What may become of the file of a cache that is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::space) enum Files {
    /// The file may be made, or go.
    Change,
    /// The file stays as it is.
    Stay,
}

impl Keeper {
    /// Whether the superblock says that caches are right.
    pub(in crate::space) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// Makes a group's cache void, if it is not.
    pub(in crate::space) fn void(&self, txn: &dyn Allocate, cache: &mut Cache) -> Result {
        if cache.standing == CacheFate::Void || !self.is_on() {
            return Ok(());
        }
        let _files = self.files.lock();
        if let File::Unknown = cache.file {
            cache.file = self.adopt(txn, cache)?;
        }
        if let File::Here(place) = &cache.file {
            let never = Generation::new(0);
            self.stamp_inode(txn, cache.start, place.inode, never)?;
            self.update_header(txn, cache.start, |header| header.generation = never)?;
        }
        cache.standing = CacheFate::Void;
        Ok(())
    }

    /// Makes the pages of a group; the cache is void from now on. [`Begun::Nothing`] where there is to be none, and [`Begun::Later`]
    /// where `files` keeps it from what it needs. Where caches are not kept any more that is so for all: what the tree has of them is
    /// others' to remove.
    pub(in crate::space) fn begin(
        &self,
        txn: &dyn Allocate,
        cache: &mut Cache,
        group: &Measured,
        files: Files,
        find: FindSpace<'_>,
    ) -> Result<Begun> {
        if !self.is_on() {
            return Ok(Begun::Nothing);
        }
        self.void(txn, cache)?;
        let is_alone = group.used.is_zero() || group.used == cache.bytes_within();
        let otherwise = match cache.stays(group) && !is_alone {
            true => Begun::Nothing,
            false => self.drop_file(txn, cache, files)?,
        };
        if let Begun::Later = otherwise {
            return Ok(otherwise);
        }
        let Some(kept) = cache.kept.as_ref().filter(|_| !is_alone) else {
            return Ok(otherwise);
        };
        let free = kept.free.free();
        let unused = group.total.saturating_sub(group.used);
        if free.is_zero() || free.saturating_add(kept.superblocks) != unused {
            return Ok(otherwise);
        }
        if let File::None = cache.file {
            if files == Files::Stay {
                return Ok(Begun::Later);
            }
            cache.file = self.create(txn, cache.start, &kept.bounds, find)?;
            if let File::Here(_) = cache.file {
                return Ok(Begun::Changed);
            }
            return Ok(otherwise);
        }
        let File::Here(place) = &cache.file else {
            return Ok(Begun::Nothing);
        };
        let by = (place.inode, txn.generation());
        let checksums = self.volume.checksums();
        let filled = fill(cache.start, place, kept, by, checksums).unwrap_or(None);
        Ok(filled.map_or(Begun::Nothing, Begun::Pages))
    }

    /// Drops the file, if there is one. Which changes another group, so only who is counted does it: file after file, each in the
    /// group of the next, could go in one commit else.
    fn drop_file(&self, txn: &dyn Allocate, cache: &mut Cache, files: Files) -> Result<Begun> {
        if let File::None | File::Unknown = cache.file {
            return Ok(Begun::Nothing);
        }
        if files == Files::Stay {
            return Ok(Begun::Later);
        }
        let _files = self.files.lock();
        self.drop_old(txn, cache)?;
        cache.file = File::None;
        Ok(Begun::Changed)
    }

    /// What was sent is on the device and nothing has changed since: the cache is right.
    pub(in crate::space) fn end(
        &self,
        txn: &dyn Allocate,
        cache: &mut Cache,
        sent: CacheHeader,
    ) -> Result {
        let is_there = matches!(&cache.file, File::Here(place) if place.inode == sent.inode);
        if !is_there || !self.is_on() {
            return Ok(());
        }
        cache.standing = CacheFate::Valid;
        self.stamp_inode(txn, cache.start, sent.inode, sent.generation)?;
        self.update_header(txn, cache.start, |header| *header = sent)
    }

    /// Removes the cache of a group that goes.
    pub(in crate::space) fn remove(&self, txn: &dyn Allocate, cache: &Cache) -> Result {
        if !self.is_on() {
            return Ok(());
        }
        let _files = self.files.lock();
        self.drop_old(txn, cache)
    }

    /// Finds the file of a cache that somebody else made. The header of one that is not to be written to is void from now on, and
    /// so it is where that cannot be told, as of what cannot be read.
    fn adopt(&self, txn: &dyn Allocate, cache: &Cache) -> Result<File> {
        let key = CacheHeader::key(cache.start);
        let header = match self.root.get(&key, CacheHeader::parse)? {
            None => return Ok(File::None),
            Some(Ok(header)) => header,
            Some(Err(_)) => {
                self.root.remove(txn, &key)?;
                return Ok(File::None);
            }
        };
        match self.place_of(cache, &header) {
            Ok(pieces) => {
                let inode = header.inode;
                Ok(File::Here(CachePieces { inode, pieces }))
            }
            Err(doubt) => {
                let void = |header: &mut CacheHeader| header.generation = Generation::new(0);
                self.update_header(txn, cache.start, void)?;
                Ok(match doubt {
                    Doubt::Flaw(_) => File::Bad,
                    Doubt::Failed(_) => File::Unknown,
                })
            }
        }
    }

    /// Where the file of a group's header is, if it is one to write to.
    fn place_of(
        &self,
        cache: &Cache,
        header: &CacheHeader,
    ) -> Result<KVec<(Logical, Bytes)>, Doubt> {
        let none = || Flaw::missing("there is no cache file to write to");
        let kept = cache.kept.as_ref().ok_or_else(none)?;
        let file = CacheFile::find(&self.root, header)?.ok_or_else(none)?;
        let inode = file.inode();
        let in_place = InodeFlags::NODATASUM.with(InodeFlags::NODATACOW);
        let fits = inode.size == Bytes::new(kept.bounds.file_len())
            && inode.flags.contains(in_place)
            && file.is_of(cache.start);
        ensure(fits, "a cache file is not as this group's", 1, 0)?;
        file.check_owner(&self.extents, &self.volume)?;
        file.places(&self.volume)
    }

    /// Removes the header of a group, and the file if that is its own. One that cannot be looked at stays.
    fn drop_old(&self, txn: &dyn Allocate, cache: &Cache) -> Result {
        let key = CacheHeader::key(cache.start);
        let Some(header) = self.root.get(&key, CacheHeader::parse)? else {
            return Ok(());
        };
        let file = header
            .map_err(Doubt::from)
            .and_then(|header| self.removable(cache, &header));
        self.root.remove(txn, &key)?;
        match file {
            Ok(Some(file)) => file.remove(&self.root, txn),
            Ok(None) => Ok(()),
            Err(doubt) => {
                let group = cache.start;
                pr_warn!("the cache file of block group {group} stays: {doubt}\n");
                Ok(())
            }
        }
    }

    /// The file that a group's header leads to, if there is one and it is the cache's own.
    fn removable(&self, cache: &Cache, header: &CacheHeader) -> Result<Option<CacheFile>, Doubt> {
        let Some(file) = CacheFile::find(&self.root, header)? else {
            return Ok(None);
        };
        // That was found out before. Of a new file the extent tree does not tell yet.
        let is_known = matches!(&cache.file, File::Here(place) if place.inode == header.inode);
        if !is_known {
            file.check_owner(&self.extents, &self.volume)?;
        }
        let (noted, start) = (file.inode().block_group, cache.start);
        ensure(file.is_of(start), "it is another's", noted, start.get())?;
        Ok(Some(file))
    }

    /// Makes the file of a group, in one piece, and a void header. [`File::None`] where there is no space or no number for one.
    fn create(
        &self,
        txn: &dyn Allocate,
        start: Logical,
        bounds: &CacheBounds,
        find: FindSpace<'_>,
    ) -> Result<File> {
        let len = Bytes::new(bounds.file_len());
        let inode = match self.numbers.take(&self.root) {
            Err(error) if error == ENOSPC => return Ok(File::None),
            taken => taken?,
        };
        let Some(extent) = find(len)? else {
            return Ok(File::None);
        };
        let mut pieces = KVec::new();
        pieces.push((extent.logical, len), GFP_NOFAIL)?;
        self.insert_inode(txn, inode, start, len)?;
        self.insert_extent(txn, inode, extent)?;
        let header = CacheHeader {
            inode,
            generation: Generation::new(0),
            entries: 0,
            bitmaps: 0,
        };
        let key = CacheHeader::key(start);
        let written = self
            .root
            .insert_with(txn, &key, CacheHeader::SIZE, |bytes| header.write_to(bytes));
        written?.map_err(Bug::report)?;
        Ok(File::Here(CachePieces { inode, pieces }))
    }

    fn insert_inode(
        &self,
        txn: &dyn Allocate,
        inode: ObjectId,
        group: Logical,
        len: Bytes,
    ) -> Result {
        let item = InodeItem {
            generation: Generation::new(0),
            transid: txn.generation(),
            size: len,
            nbytes: len,
            block_group: group.get(),
            nlink: 1,
            mode: 0o100600,
            flags: FLAGS,
            ..InodeItem::default()
        };
        let key = Key::new(inode.get(), Kind::INODE_ITEM, 0);
        let written = self
            .root
            .insert_with(txn, &key, InodeItem::SIZE, |bytes| item.write_to(bytes));
        written?.map_err(Bug::report)
    }

    fn insert_extent(&self, txn: &dyn Allocate, inode: ObjectId, extent: DataExtent) -> Result {
        let item = RegularExtent {
            generation: txn.generation(),
            state: ExtentState::Written,
            compression: Compression::None,
            ram_bytes: extent.len,
            disk_addr: extent.logical,
            disk_len: extent.len,
            offset: Bytes::ZERO,
            len: extent.len,
        };
        let key = Key::new(inode.get(), Kind::EXTENT_DATA, 0);
        let written = self
            .root
            .insert_with(txn, &key, RegularExtent::SIZE, |bytes| item.write_to(bytes));
        written?.map_err(Bug::report)?;
        txn.add_data(&DataRef {
            addr: extent.logical,
            len: extent.len,
            holder: Holder::Tree(ObjectId::ROOT_TREE),
            root: ObjectId::ROOT_TREE,
            inode,
            offset: 0,
        })
    }

    /// Gives the inode of a group's cache a generation, and makes it that of no other group.
    fn stamp_inode(
        &self,
        txn: &dyn Allocate,
        group: Logical,
        inode: ObjectId,
        generation: Generation,
    ) -> Result {
        let key = Key::new(inode.get(), Kind::INODE_ITEM, 0);
        self.root.update(txn, &key, |bytes| -> Result {
            let broken = |flaw: crate::disk::Flaw| flaw.in_item(self.root.id(), &key).report();
            let mut item = InodeItem::parse(bytes).map_err(broken)?;
            item.generation = generation;
            item.block_group = group.get();
            item.transid = txn.generation();
            Ok(item.write_to(bytes)?)
        })?
    }

    fn update_header(
        &self,
        txn: &dyn Allocate,
        group: Logical,
        change: impl FnOnce(&mut CacheHeader),
    ) -> Result {
        let key = CacheHeader::key(group);
        self.root.update(txn, &key, |bytes| -> Result {
            let broken = |flaw: crate::disk::Flaw| flaw.in_item(self.root.id(), &key).report();
            let mut header = CacheHeader::parse(bytes).map_err(broken)?;
            change(&mut header);
            Ok(header.write_to(bytes)?)
        })?
    }
}

/// Fills the pages of a cache that have something. An error is that of memory alone: there is no cache then.
fn fill(
    start: Logical,
    place: &CachePieces,
    kept: &Kept,
    by: (ObjectId, Generation),
    checksums: &dyn crate::disk::Checksums,
) -> Result<Option<Pages>> {
    let len = usize::try_from(kept.bounds.file_len()).map_err(|_| EFBIG)?;
    let mut bytes = KVVec::from_elem(0u8, len, GFP_KERNEL)?;
    let header = set::write(kept.bounds, by, &kept.free, &mut bytes, checksums)?;
    let Ok(used) = kept.bounds.used_len(&header) else {
        return Ok(None);
    };
    let mut left = usize::try_from(used).map_err(|_| EFBIG)?;
    let mut pieces = KVec::new();
    for &(addr, len) in place.pieces.iter() {
        let len = usize::try_from(len.get()).unwrap_or(usize::MAX).min(left);
        left = left.saturating_sub(len);
        if len > 0 {
            pieces.push((addr, len), GFP_KERNEL)?;
        }
    }
    Ok(Some(Pages {
        start,
        header,
        bytes,
        pieces,
    }))
}
