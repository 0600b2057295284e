// SPDX-License-Identifier: GPL-2.0
//! Trees of items ordered by key: search, copy-on-write, split, balance.
//!
//! | module     | what it has                                                               |
//! |------------|---------------------------------------------------------------------------|
//! | `tree`     | a tree: its root pointer                                                  |
//! | `blocks`   | tree blocks: in memory, under their latches, sealed for the device        |
//! | `reading`  | the way down for readers, cursors, single items                           |
//! | `copying`  | copy-on-write: new blocks, shared blocks, snapshots                       |
//! | `writing`  | the way down for writers; changes of items, splitting and merging         |
//! | `allocate` | what the trees ask of the transaction that changes them                   |
//! | `bugs`     | what only a mistake in this layer can miss                                |
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
mod blocks;
mod bugs;
mod copying;
mod reading;
mod tree;
mod writing;

pub use crate::disk::RootPointer;
pub use allocate::{Allocate, BlockRefs, DataRef, Holder};
pub use blocks::block::{
    Block, BlockBytes, BlockInfo, BlockRef, Expected, Identity, Reach, Store, WriteMode,
};
pub use blocks::seal::seal;
pub use reading::cursor::Cursor;
pub use reading::search::Sought;
pub use tree::Tree;
pub use writing::rewrite::Standing;
pub use writing::writer::Writer;
