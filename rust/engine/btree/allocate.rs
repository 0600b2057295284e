// SPDX-License-Identifier: GPL-2.0
//! What the trees ask of the transaction that changes them.

use crate::disk::{Bytes, Generation, Key, Logical, ObjectId, Reference, TreeId};
use latch::prelude::*;

/// Who holds a reference to a tree block or a data extent: the tree, by its id (`*_REF` keyed by root), or the block
/// that points at it, by its address (`SHARED_*`, used below blocks with the full-backref flag).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// The tree with this id.
    Tree(ObjectId),
    /// The tree block at this address.
    Parent(Logical),
}

impl Holder {
    /// The reference that it has to a tree block.
    pub const fn to_block(self) -> Reference {
        match self {
            Self::Tree(root) => Reference::TreeBlock(root),
            Self::Parent(parent) => Reference::SharedBlock(parent),
        }
    }
}

/// How often a tree block is referenced and how its children's references are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRefs {
    /// The number of references, with what the running transaction has queued.
    pub count: u64,
    /// The block's children are referenced by [`Holder::Parent`] (C: `BTRFS_BLOCK_FLAG_FULL_BACKREF`).
    pub full_backref: bool,
}

/// A reference to a data extent, as a file extent item makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataRef {
    /// The extent's address.
    pub addr: Logical,
    /// The extent's length on the device.
    pub len: Bytes,
    /// The tree or leaf that holds it.
    pub holder: Holder,
    /// The tree that owns the item now; recorded for `Holder::Tree`.
    pub root: ObjectId,
    /// The inode of the file.
    pub inode: ObjectId,
    /// The file position minus the position in the extent (wrapping, as the format has it).
    pub offset: u64,
}

impl DataRef {
    /// The reference as the extent tree has it.
    pub const fn reference(&self) -> Reference {
        match self.holder {
            Holder::Tree(root) => Reference::Data {
                root,
                inode: self.inode,
                offset: self.offset,
            },
            Holder::Parent(leaf) => Reference::SharedData(leaf),
        }
    }
}

/// The running transaction, as the trees see it. Implemented by `txn`; a plain one serves the tests.
///
/// No call searches a tree while the caller holds latches of tree blocks, except [`Self::block_refs`], which reads
/// the extent tree and is only made for blocks of other trees.
pub trait Allocate {
    /// The running transaction.
    fn generation(&self) -> Generation;

    /// Takes an address for a new block of `tree` and queues its first reference, held by `holder`.
    /// `first_key` is recorded where metadata is not skinny. `near` is a hint.
    fn allocate_block(
        &self,
        tree: TreeId,
        holder: Holder,
        level: u8,
        first_key: &Key,
        near: Logical,
    ) -> Result<Logical>;

    /// Tells that no block will come to stand at an address of [`Self::allocate_block`]; its reference is dropped by
    /// itself. Cannot fail.
    fn abandon_block(&self, addr: Logical);

    /// Drops one of `tree`'s references to a block, which may be another tree's, of which this is a snapshot. With the last
    /// one the address is pinned until the commit.
    fn release_block(&self, addr: Logical, level: u8, tree: TreeId, holder: Holder) -> Result;

    /// Adds one reference to a block.
    fn share_block(&self, addr: Logical, level: u8, holder: Holder) -> Result;

    /// How often a block is referenced.
    fn block_refs(&self, addr: Logical, level: u8) -> Result<BlockRefs>;

    /// Records that the block's children are now referenced by the block's address.
    fn set_full_backref(&self, addr: Logical, level: u8) -> Result;

    /// Queues the first reference to a data extent that space handed out: its item enters the extent tree. Further references
    /// are [`Self::share_data`].
    fn add_data(&self, data: &DataRef) -> Result;

    /// Adds a reference to a data extent.
    fn share_data(&self, data: &DataRef) -> Result;

    /// Drops a reference to a data extent.
    fn release_data(&self, data: &DataRef) -> Result;

    /// Tells that an inode in `tree`, a subvolume's, was made or written: its root item is to say when (C:
    /// `btrfs_update_root_times`). Where nobody writes root items there is nothing to be done.
    fn note_inode(&self, _tree: TreeId) -> Result {
        Ok(())
    }

    /// Tells that an operation failed half way: the trees in memory are whole, but the references queued so far do
    /// not match them, so this transaction must never commit. Called with latches of blocks held; waits for nothing.
    fn poison(&self, error: Error);
}
