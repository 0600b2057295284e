// SPDX-License-Identifier: GPL-2.0
//! What is known of the cache of a block group, and of the group.

use crate::disk::{Bytes, CacheBounds, Logical, ObjectId};
use crate::space::free::ranges::FreeRanges;
use crate::space::Class;
use latch::prelude::*;

/// What a block group has when its cache is written.
pub(in crate::space) struct Measured {
    pub(in crate::space) class: Class,
    pub(in crate::space) total: Bytes,
    pub(in crate::space) used: Bytes,
    /// How much is in the longest piece that is free.
    pub(in crate::space) longest: Bytes,
}

/// What is kept of one group.
pub(in crate::space) struct Cache {
    /// The group's first byte.
    pub(super) start: Logical,
    /// The first byte behind it.
    pub(super) end: Logical,
    /// What a cache says, of a group that is worth one.
    pub(super) kept: Option<Kept>,
    pub(super) file: File,
    pub(super) standing: CacheFate,
}

pub(super) struct Kept {
    pub(super) bounds: CacheBounds,
    /// All that has no extent item, but for superblock copies.
    pub(super) free: FreeRanges,
    /// Bytes of those.
    pub(super) superblocks: Bytes,
}

/// Whether what the tree says of a cache would be believed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CacheFate {
    /// The cache is void, or there is none.
    Void,
    /// The cache may be valid.
    Valid,
}

/// The file of a cache.
pub(super) enum File {
    /// Nobody looked for one yet, or it could not be told; its header is void then, and none is made.
    Unknown,
    /// There is none.
    None,
    /// It has a place that is its own.
    Here(CachePieces),
    /// It is not one to write to. Its header is void, and goes when the cache is to be written, with the file if that is the
    /// cache's own.
    Bad,
}

/// Where a cache is written.
pub(super) struct CachePieces {
    pub(super) inode: ObjectId,
    pub(super) pieces: KVec<(Logical, Bytes)>,
}

impl Cache {
    /// Measures a group, of which `free` is free and all else has an extent item or a superblock copy.
    pub(in crate::space) fn new(
        span: (Logical, Logical),
        sector_size: Bytes,
        free: &FreeRanges,
        superblocks: Bytes,
    ) -> Result<Self> {
        let (start, len) = (span.0, span.1.saturating_since(span.0));
        let bounds = CacheBounds::new(
            start,
            len.get(),
            u32::try_from(sector_size.get()).unwrap_or(0),
        );
        // A file of the group at zero could not be told from one that is nobody's, see `CacheFile::is_of`.
        let bounds = bounds.filter(|_| start > Logical::new(0));
        let kept = match bounds.filter(CacheBounds::is_worth_it) {
            None => None,
            Some(bounds) => {
                let mut copy = FreeRanges::new(start, len, sector_size, GFP_NOFAIL)?;
                free.iter()
                    .try_for_each(|(from, to)| copy.insert(from, to))?;
                Some(Kept {
                    bounds,
                    free: copy,
                    superblocks,
                })
            }
        };
        Ok(Self {
            start,
            end: span.1,
            kept,
            file: File::Unknown,
            standing: CacheFate::Valid,
        })
    }

    /// Others may remove what the tree has of it.
    pub(in crate::space) fn forget_file(&mut self) {
        self.file = File::Unknown;
        self.standing = CacheFate::Valid;
    }

    /// The length of its file; none without one.
    fn file_len(&self) -> Bytes {
        let File::Here(place) = &self.file else {
            return Bytes::ZERO;
        };
        let lens = place.pieces.iter().map(|&(_, len)| len);
        lens.fold(Bytes::ZERO, Bytes::saturating_add)
    }

    /// Whether its file may stay where it is. That of a group of data keeps another from being given back where it is in it, so
    /// it goes when its own has room.
    pub(super) fn stays(&self, group: &Measured) -> bool {
        match (&self.file, &self.kept) {
            (File::Bad, _) => false,
            (File::Here(_), Some(kept)) => {
                let is_near = group.class != Class::Data || self.bytes_within() == self.file_len();
                is_near || group.longest < Bytes::new(kept.bounds.file_len())
            }
            _ => true,
        }
    }

    /// How many bytes of its file are in the group that it is of.
    pub(super) fn bytes_within(&self) -> Bytes {
        let File::Here(place) = &self.file else {
            return Bytes::ZERO;
        };
        let inside = |&&(addr, len): &&(Logical, Bytes)| {
            self.start <= addr && addr.saturating_add(len) <= self.end
        };
        let pieces = place.pieces.iter().filter(inside);
        pieces.fold(Bytes::ZERO, |sum, &(_, len)| sum.saturating_add(len))
    }

    /// A range has no extent item any more.
    pub(in crate::space) fn freed(&mut self, from: Logical, to: Logical) -> Result {
        match &mut self.kept {
            Some(kept) => kept.free.insert(from, to),
            None => Ok(()),
        }
    }

    /// A range has an extent item now. `EEXIST` if it had.
    pub(in crate::space) fn allocated(&mut self, from: Logical, to: Logical) -> Result {
        match &mut self.kept {
            Some(kept) => kept.free.remove(from, to),
            None => Ok(()),
        }
    }
}
