// SPDX-License-Identifier: GPL-2.0
//! L3: trees of items ordered by key: search, copy-on-write, split, balance.
//!
//! | module     | what it has                                                               |
//! |------------|---------------------------------------------------------------------------|
//! | `tree`     | a tree: its root pointer                                                  |
//! | `block`    | a tree block in memory, and where blocks come from                        |
//! | `lock`     | latches of tree blocks, and what the lock checker is told                 |
//! | `search`   | the way down, for readers                                                 |
//! | `cursor`   | walking a tree for reading                                                |
//! | `read`     | reading single items, and ranges of them                                  |
//! | `writer`   | changing a tree in batches                                                |
//! | `change`   | changes of single items, and of ranges of them                            |
//! | `descend`  | the way down, for writers                                                 |
//! | `path`     | the blocks that a writer has latched                                      |
//! | `fresh`    | new blocks                                                                |
//! | `cow`      | which blocks may be changed as they stand, and how the others become such |
//! | `rewrite`  | moving blocks to new addresses                                            |
//! | `share`    | blocks that several trees share                                           |
//! | `snapshot` | making a tree that shares all blocks of another                           |
//! | `items`    | changes of items at a place that has been found                           |
//! | `room`     | making room in a leaf                                                     |
//! | `plan`     | where a leaf is parted so that an item finds room                         |
//! | `tidy`     | splitting and merging the nodes on a writer's way                         |
//! | `bugs`     | what only a mistake in this layer can miss                                |
//! | `allocate` | what the trees ask of the transaction that changes them                   |
//! | `seal`     | the last station of a block before the device                             |
//!
//! | type         | what it is                                                                           |
//! |--------------|---------------------------------------------------------------------------------------|
//! | [`Tree`]     | one tree: its id and its root pointer; one call per item                              |
//! | [`Cursor`]   | walks a tree for reading                                                              |
//! | [`Writer`]   | changes a tree in batches, with one leaf kept latched                                 |
//! | [`Block`]    | a tree block in memory under its latch (C: `struct extent_buffer`)                   |
//! | [`Store`]    | the cache of blocks; the kernel edge implements it, the host a plain one              |
//! | [`Allocate`] | the running transaction as a tree sees it: addresses and references; `txn` implements |
//! | [`seal()`]   | what every block passes on its way to the device                                      |
//!
//! Below: `disk` (headers, items, the gate). Above: `space`, `txn` and `fs`, which keep items in trees.
//! `Documentation/btree.md` is the long form.
//!
//! Lock order: `FileTree` > `TreeRoot` and `MetadataTree` > `TreeRoot`, a parent block before its children, these from
//! left to right, blocks of one tree at a time. Under latches only [`Store`] and [`Allocate`] are called.

mod allocate;
mod block;
mod bugs;
mod change;
mod cow;
mod cursor;
mod descend;
mod fresh;
mod items;
mod lock;
mod path;
mod plan;
mod read;
mod rewrite;
mod room;
mod seal;
mod search;
mod share;
mod snapshot;
mod tidy;
mod tree;
mod writer;

pub use crate::disk::RootPointer;
pub use allocate::{Allocate, BlockRefs, DataRef, Holder};
pub use block::{
    Block, BlockBytes, BlockInfo, BlockRef, Expected, Identity, Reach, Store, WriteMode,
};
pub use cursor::Cursor;
pub use rewrite::Standing;
pub use seal::seal;
pub use search::Sought;
pub use tree::Tree;
pub use writer::Writer;
