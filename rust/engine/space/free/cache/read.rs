// SPDX-License-Identifier: GPL-2.0
//! From a block group to what its cache says is free.

use super::file::CacheFile;
use super::set::{self, Known};
use crate::btree::Tree;
use crate::disk::{ensure, Bytes, CacheBounds, CacheHeader, Flaw, InodeFlags, Logical};
use crate::space::free::doubt::Doubt;
use crate::space::free::ranges::FreeRanges;
use crate::volume::{Chunk, Volume};
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;

/// What a mount made of the caches that it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CachesRead {
    /// They told where their groups are free.
    pub believed: u64,
    /// The extent tree had to, instead.
    pub doubted: u64,
}

/// The caches of a volume that says that they are right.
pub(in crate::space) struct Stored {
    root: Arc<Tree>,
    believed: AtomicU64,
    doubted: AtomicU64,
}

impl Stored {
    /// Makes what reads caches by the tree that leads to them. `None` where not all headers can be read, or one is of no group: they cannot be kept
    /// one by one then, and who drops all finds them by their keys.
    pub(in crate::space) fn of(root: Arc<Tree>, volume: &Volume) -> Option<Self> {
        match check_headers(&root, volume) {
            Ok(()) => Some(Self {
                root,
                believed: AtomicU64::new(0),
                doubted: AtomicU64::new(0),
            }),
            Err(doubt) => {
                pr_debug!("no free space cache is believed: {doubt}\n");
                None
            }
        }
    }

    /// What became of those that were read.
    pub(in crate::space) fn count(&self) -> CachesRead {
        CachesRead {
            believed: self.believed.load(Ordering::Relaxed),
            doubted: self.doubted.load(Ordering::Relaxed),
        }
    }

    /// What of a group of which so many bytes are `unused` has no extent item, by its cache. `None` where there is no cache, or
    /// it is not to be believed: the extent tree knows.
    #[inline(never)]
    pub(in crate::space) fn read(
        &self,
        volume: &Volume,
        chunk: &Chunk,
        unused: Bytes,
    ) -> Option<FreeRanges> {
        let start = chunk.logical;
        let read = self.try_read(volume, chunk, unused);
        let counter = match &read {
            Ok(None) => return None,
            Ok(Some(_)) => &self.believed,
            Err(_) => &self.doubted,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        match read {
            Ok(ranges) => ranges,
            Err(Doubt::Flaw(flaw)) => {
                pr_debug!("block group {start}: the extent tree is read: {flaw}\n");
                None
            }
            Err(Doubt::Failed(error)) => {
                let errno = error.to_errno();
                pr_debug!(
                    "block group {start}: the extent tree is read, not the cache ({errno})\n"
                );
                None
            }
        }
    }

    fn try_read(
        &self,
        volume: &Volume,
        chunk: &Chunk,
        unused: Bytes,
    ) -> Result<Option<FreeRanges>, Doubt> {
        let (start, sector_size) = (chunk.logical, volume.format().sector_size);
        let bounds = CacheBounds::new(start, chunk.len.get(), sector_size);
        let Some((bounds, header)) = bounds.zip(self.header(start)?) else {
            return Ok(None);
        };
        let file = self.file(volume, &bounds, &header)?;
        let (of, what) = (
            file.inode().block_group,
            "cache's inode is of another block group",
        );
        ensure(file.is_of(start), what, of, start.get())?;
        let bytes = read_pages(volume, &file, &bounds, &header)?;
        let superblocks = volume.superblock_ranges(chunk)?;
        let known = Known {
            unused,
            superblocks: &superblocks,
        };
        let mut ranges = FreeRanges::new(start, chunk.len, sector_size.into(), GFP_KERNEL)?;
        let checksums = volume.checksums();
        set::read(bounds, &header, &bytes, known, checksums, &mut ranges)?;
        Ok(Some(ranges))
    }

    /// The header of the cache of the group at `start`, if there is one.
    fn header(&self, start: Logical) -> Result<Option<CacheHeader>, Doubt> {
        let found = self
            .root
            .get(&CacheHeader::key(start), CacheHeader::parse)?;
        Ok(found.transpose()?)
    }

    /// The file that a header leads to, if it was written to its end, by the transaction that the header says.
    fn file(
        &self,
        volume: &Volume,
        bounds: &CacheBounds,
        header: &CacheHeader,
    ) -> Result<CacheFile, Doubt> {
        let none = Flaw::missing("cache header leads to no inode");
        let file = CacheFile::find(&self.root, header)?.ok_or(none)?;
        let (inode, of) = (file.inode(), header.generation.get());
        let newest = volume.superblock().generation.get();
        ensure(of > 0, "cache was not written to its end", of, 1)?;
        ensure(of <= newest, "cache is of the future", of, newest)?;
        let of_inode = inode.generation.get();
        let what = "cache's inode is of another generation";
        ensure(of_inode == of, what, of_inode, of)?;
        let (len, expected) = (inode.size, bounds.file_len());
        let what = "cache file has a wrong length";
        ensure(len == Bytes::new(expected), what, len.get(), expected)?;
        let (flags, in_place) = (
            inode.flags.get(),
            InodeFlags::NODATACOW.with(InodeFlags::NODATASUM),
        );
        let what = "cache file is not written in place";
        ensure(inode.flags.contains(in_place), what, flags, in_place.get())?;
        Ok(file)
    }
}

/// Checks that all headers can be read, and are of block groups that are there.
fn check_headers(root: &Tree, volume: &Volume) -> Result<(), Doubt> {
    let key = |start| CacheHeader::key(Logical::new(start));
    let mut stray = None;
    root.scan(key(0)..=key(u64::MAX), |key, _| {
        let start = Logical::new(key.offset);
        let chunk = volume.chunk_from(start);
        if chunk.is_some_and(|chunk| chunk.logical == start) {
            return Ok(ControlFlow::Continue(()));
        }
        stray = Some(key.offset);
        Ok(ControlFlow::Break(()))
    })?;
    match stray {
        None => Ok(()),
        Some(start) => Err(Flaw::new("cache header is of no block group", start, 0).into()),
    }
}

/// Reads the pages of a file that have something; the others are left zero. How many bytes that takes, the group bounds.
fn read_pages(
    volume: &Volume,
    file: &CacheFile,
    bounds: &CacheBounds,
    header: &CacheHeader,
) -> Result<KVVec<u8>, Doubt> {
    let too_long = |_| Doubt::Failed(EFBIG);
    let used = usize::try_from(bounds.used_len(header)?).map_err(too_long)?;
    let len = usize::try_from(bounds.file_len()).map_err(too_long)?;
    let places = file.places(volume)?;
    let mut bytes = KVVec::from_elem(0u8, len, GFP_KERNEL).map_err(Error::from)?;
    let mut rest = bytes.get_mut(..used).unwrap_or(&mut []);
    for &(addr, len) in places.iter() {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
        let (now, later) = rest.split_at_mut(len);
        if !now.is_empty() {
            volume.data().read(addr, now)?;
        }
        rest = later;
    }
    Ok(bytes)
}
