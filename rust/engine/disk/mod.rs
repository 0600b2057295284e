// SPDX-License-Identifier: GPL-2.0
//! The on-disk format.
//!
//! Bytes become types here and nowhere else. `raw` has the structures byte for byte, private to this folder; the typed
//! values beside it are made by parsers that check every member, and write themselves back; [`check_block`] is the gate
//! that every tree block passes, and [`Superblock`] the one for superblocks. Sizes, addresses and counts from the disk
//! are only ever computed with checked or saturating arithmetic, and no slice is indexed by one of them: only the tables of
//! a checksum, which the compiler makes, are indexed at all.
//!
//! | file          | what it has                                                        |
//! |---------------|--------------------------------------------------------------------|
//! | `numbers`, `key`, `uuid`, `ids`, `tree_id`, `flags`, `features` | numbers with meaning |
//! | `raw/`        | structures, byte for byte                                           |
//! | `block`, `edit/` | reading tree blocks: `Header`, `Leaf`, `Node`; and changing them  |
//! | `items/`      | items as typed values, to read and to write                         |
//! | `reference`   | what names a reference to an extent                                 |
//! | `cache_file/` | the pages of a free space cache's file                              |
//! | `superblock/` | the superblock, its gate and its bytes                              |
//! | `packing`     | structures taken out of an item's bytes, and put there              |
//! | `check/`      | the gate for tree blocks                                            |
//! | `checksum`, `seal`, `corrupt` | checksums and hashes; what is said of broken bytes   |
//!
//! No locks here, and nothing that allocates but the superblock.

#![deny(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::arithmetic_side_effects
)]

mod block;
mod cache_file;
mod check;
mod checksum;
mod corrupt;
pub mod edit;
mod features;
mod flags;
mod ids;
mod items;
mod key;
mod numbers;
mod packing;
#[cfg(not(feature = "raw"))]
mod raw;
// Tests on the host make broken bytes.
#[cfg(feature = "raw")]
pub mod raw;
mod reference;
mod seal;
mod superblock;
#[cfg(test)]
mod tests;
mod tree_id;
mod uuid;

pub use block::{leaf_area, max_pointers, Child, Header, Leaf, Node, HEADER_SIZE, ITEM_HEAD};
pub use cache_file::{write_cache, CacheBounds, CachePages};
pub use check::{check_block, check_block_to_write, BlockContext, Format};
pub use checksum::{
    crc32c, data_ref_hash, extref_hash, name_hash, ChecksumKind, Checksums, Digest, CHECKSUM_FIELD,
};
pub(crate) use corrupt::ensure;
pub use corrupt::{Bug, Corrupt, Flaw, Site};
pub use features::{CompatRo, Incompat};
pub use flags::{BlockGroupFlags, ExtentFlags, FileType, InodeFlags, SuperFlags};
pub use ids::*;
pub use items::{
    keyed_ref, BlockGroupItem, CacheHeader, ChunkItem, Compression, DevExtent, DevItem, DirEntries,
    DirEntry, EntryTarget, ExtentHead, ExtentItem, ExtentState, FileExtent, FileRef, FreeSpaceForm,
    FreeSpaceInfo, InlineExtent, InlineRef, InlineRefs, InodeExtref, InodeExtrefs, InodeItem,
    InodeRef, InodeRefs, NewChunk, QuotaStatus, RegularExtent, RootExtension, RootItem,
    RootPointer, RootRef, Stripe, Timespec, UuidItem,
};
pub use key::{Key, Kind};
pub use numbers::{DeviceId, Generation, ObjectId, WORD};
pub use raw::FREE_SPACE_BITMAP_SIZE;
pub use reference::Reference;
pub use seal::{check_seal, seal, seal_block};
pub use superblock::{
    RootBackup, Superblock, SuperblockBytes, SuperblockError, SystemChunks, SUPERBLOCK_LOG_PLACES,
    SUPERBLOCK_MAGIC, SUPERBLOCK_PLACES, SUPERBLOCK_SIZE,
};
pub use tree_id::TreeId;
pub use units::{Bytes, FileOffset, Logical, Physical, ZoneOffset};
pub use uuid::Uuid;
