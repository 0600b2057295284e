// SPDX-License-Identifier: GPL-2.0
//! The latches of tree blocks: their guards, and what the lock checker is told of them.

use crate::btree::{BlockBytes, BlockInfo, BlockRef};
use crate::disk::ObjectId;
use latch::prelude::*;
use latch::{Latched, Nesting, ReadGuard, Side, TreeKind, WriteGuard};

/// A block latched for reading.
pub(in crate::btree) type Reading = ReadGuard<BlockInfo, KBox<dyn BlockBytes>>;

/// A block latched for writing.
pub(in crate::btree) type Writing = WriteGuard<BlockInfo, KBox<dyn BlockBytes>>;

/// A block latched in either way.
pub(in crate::btree) enum Held {
    /// The block is locked for reading.
    Read(Reading),
    /// The block is locked for writing.
    Write(Writing),
}

/// How a block is latched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::btree) enum Mode {
    /// The block is shared with other readers.
    Read,
    /// The task has the block alone.
    Write,
}

impl Held {
    /// Locks `block` in this mode.
    pub(in crate::btree) fn lock(block: &BlockRef, mode: Mode, nesting: Nesting) -> Self {
        match mode {
            Mode::Read => Self::Read(Latched::read(block, nesting)),
            Mode::Write => Self::Write(Latched::write(block, nesting)),
        }
    }

    /// The block's bytes.
    pub(in crate::btree) fn bytes(&self) -> &[u8] {
        match self {
            Self::Read(guard) => guard.bytes(),
            Self::Write(guard) => guard.bytes(),
        }
    }

    /// What is locked.
    pub(in crate::btree) fn block(&self) -> &BlockRef {
        match self {
            Self::Read(guard) => guard.latched(),
            Self::Write(guard) => guard.latched(),
        }
    }
}

/// Locks `block` for reading unless a writer is in the way.
pub(in crate::btree) fn try_reading(block: &BlockRef) -> Option<Reading> {
    Latched::try_read(block)
}

/// The lock class of the latches of a tree's blocks.
pub(in crate::btree) fn kind(tree: ObjectId) -> TreeKind {
    match tree {
        ObjectId::ROOT_TREE => TreeKind::Root,
        ObjectId::CHUNK_TREE => TreeKind::Chunk,
        ObjectId::EXTENT_TREE => TreeKind::Extent,
        ObjectId::DEV_TREE => TreeKind::Device,
        ObjectId::CSUM_TREE => TreeKind::Checksums,
        ObjectId::QUOTA_TREE => TreeKind::Quota,
        ObjectId::UUID_TREE => TreeKind::Uuid,
        ObjectId::FREE_SPACE_TREE => TreeKind::FreeSpace,
        ObjectId::BLOCK_GROUP_TREE => TreeKind::BlockGroups,
        ObjectId::TREE_LOG => TreeKind::Log,
        id if id.is_subvolume() => TreeKind::Files,
        _ => TreeKind::Other,
    }
}

/// Where the latch of a block of `tree` stands among the locks.
pub(in crate::btree) const fn nesting(tree: TreeKind, level: u8, side: Side) -> Nesting {
    Nesting { tree, level, side }
}
