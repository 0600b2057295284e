// SPDX-License-Identifier: GPL-2.0
//! A tree block in memory, and where blocks come from.

use crate::disk::{Bytes, Flaw, Generation, Key, Leaf, Logical, Node, ObjectId, Uuid};
use latch::prelude::*;
use latch::{Latched, LatchedRef};

/// The bytes of a tree block: a folio in the kernel, a vector on the host. Always one node in length.
pub trait BlockBytes: Send + Sync {
    /// The block's bytes.
    fn bytes(&self) -> &[u8];
    /// The block's bytes, to change.
    fn bytes_mut(&mut self) -> &mut [u8];
}

/// What is known of a block without its latch. It never changes: a block that is copied becomes another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// The block's address.
    pub addr: Logical,
    /// Its height above the leaves. That levels fall on the way down is what makes a circle of pointers, as a bad
    /// disk may have it, an error and not a deadlock.
    pub level: u8,
    /// The generation in its header.
    pub generation: Generation,
}

impl BlockInfo {
    /// Compares it with what a pointer says.
    pub(in crate::btree) fn expect(
        &self,
        addr: Logical,
        level: u8,
        generation: Generation,
    ) -> Result {
        if self.addr == addr && self.level == level && self.generation == generation {
            return Ok(());
        }
        Err(self.other(addr, level, generation))
    }

    #[cold]
    fn other(&self, addr: Logical, level: u8, generation: Generation) -> Error {
        let flaw = if self.addr != addr {
            let what = "pointer leads to a block of another address";
            Flaw::new(what, self.addr.get(), addr.get())
        } else if self.level != level {
            let what = "block has another level than its pointer says";
            Flaw::new(what, self.level.into(), level.into())
        } else {
            let what = "block has another generation than its pointer says";
            Flaw::new(what, self.generation.get(), generation.get())
        };
        flaw.in_block(addr).report()
    }
}

/// The first key of a block.
pub(in crate::btree) fn first_key(bytes: &[u8], level: u8) -> Option<Key> {
    if level == 0 {
        Leaf::new(bytes).key(0)
    } else {
        Node::new(bytes).key(0)
    }
}

/// A tree block: its contents stand under a reader-writer latch whose guards own a reference (C: `struct extent_buffer`).
///
/// A parent is locked before its child, the left before the right one, and never a block of another tree with it: see
/// [`latch::Nesting::precedes`].
pub type Block = Latched<BlockInfo, KBox<dyn BlockBytes>>;

/// A reference to a tree block, which lives as long as it has one.
pub type BlockRef = LatchedRef<BlockInfo, KBox<dyn BlockBytes>>;

/// What a pointer says of the block it points at; the block must agree or is corrupt.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The tree the pointer was found in, for the log line and for the checks that depend on the owner; `None` where
    /// that is not known. Among subvolumes the header may name another one: they share blocks.
    pub owner: Option<ObjectId>,
    /// Height above the leaves.
    pub level: u8,
    /// The transaction that wrote the block.
    pub generation: Generation,
    /// The first key, where the parent names it.
    pub first_key: Option<Key>,
}

impl Expected {
    /// What is known of the block at `addr` once it agreed.
    pub fn info(&self, addr: Logical) -> BlockInfo {
        BlockInfo {
            addr,
            level: self.level,
            generation: self.generation,
        }
    }
}

/// What the header of every block says of the file system it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The (metadata) UUID of the file system.
    pub fsid: Uuid,
    /// The UUID of its chunk tree.
    pub chunk_tree_uuid: Uuid,
}

/// How far a write of blocks must go. See `Documentation/metadata-io.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// Background writeback: what cannot go out now is left (C: `WB_SYNC_NONE`).
    Background,
    /// An fsync writes: it gets `EAGAIN` where a hole cannot be filled now (C: `WB_SYNC_ALL`).
    Integrity,
    /// A commit writes, with the transaction blocked: all of it (C: `WB_SYNC_ALL` with `for_sync`).
    Commit,
}

/// How far who reads a tree goes for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The reader goes as far as the device.
    Device,
    /// The reader goes no further than the cache, and waits for nobody: `EAGAIN` where that is not enough.
    Cache,
}

/// The cache of tree blocks, in front of the device.
///
/// The kernel's is the btree inode's page cache; the host's is a map. Every implementation passes what it reads
/// through [`crate::disk::check_block`] and what it writes through [`crate::btree::seal()`].
pub trait Store: Send + Sync {
    /// Bytes in a tree block.
    fn node_size(&self) -> u32;

    /// What new blocks say of the file system.
    fn identity(&self) -> Identity;

    /// The block at `addr`, from the cache or the device. A block that comes from the device passes the gate with
    /// `expected`; with more than one copy, a bad one is repaired from a good one. A cached block is given as it is:
    /// the tree compares it with `expected` when it has it locked.
    fn read(&self, addr: Logical, expected: &Expected) -> Result<BlockRef>;

    /// The block at `addr`, checked as [`Self::read`] does, if it is in memory. Waits for nobody: if it is not, reading it
    /// may have begun, so that who asks again gets on.
    fn try_read(&self, addr: Logical, expected: &Expected) -> Option<BlockRef>;

    /// Starts reading `addr` without waiting. A hint.
    fn read_ahead(&self, addr: Logical, expected: &Expected);

    /// A new block at `info.addr`, all zero, not dirty, without IO. An older block cached there is replaced.
    fn create(&self, info: BlockInfo) -> Result<BlockRef>;

    /// Marks a block that the caller has locked for writing as needing to go to the device. Called once, when the
    /// block enters its tree: it is dirty until [`crate::btree::seal()`] makes it one that never changes again.
    fn mark_dirty(&self, block: &BlockRef);

    /// Tells that the tree no longer needs this block, which was never written. The caller has it locked for writing.
    /// Its contents stay as they are; on sequential zones the address is written all the same.
    fn forget(&self, block: &BlockRef);

    /// Writes the dirty blocks in `[start, start + len)` in ascending order, without waiting for their completion.
    /// `EROFS` after an abort, see [`crate::volume::Volume::check_sending`].
    fn write(&self, start: Logical, len: Bytes, mode: WriteMode) -> Result;

    /// Waits for the writes in `[start, start + len)`; an error if any of them failed since the last call.
    fn wait(&self, start: Logical, len: Bytes) -> Result;

    /// Drops what is cached of `[start, start + len)`, dirty or not: the range is no longer allocated.
    fn discard(&self, start: Logical, len: Bytes);
}
