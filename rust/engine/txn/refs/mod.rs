// SPDX-License-Identifier: GPL-2.0
//! Delayed references: who references which extent, queued in memory and applied to the extent tree.
//!
//! | module     | what it has                                                  |
//! |------------|--------------------------------------------------------------|
//! | `queue`    | what is to change in the extent tree, merged for each extent |
//! | `runner`   | taking heads from the queue to the trees                     |
//! | `item`     | an extent item's bytes                                       |
//! | `keyed`    | references with items of their own                           |
//! | `allocate` | a transaction as the trees see it                            |
//!
//! [`Queue`] merges, [`item`] edits an extent item's bytes, [`keyed`] has the references with items of their own,
//! [`Runner`] takes heads from the queue to the trees. [`Context`] below is a transaction as the trees see it.
//!
//! Lock order: `RefsRunner` > `MetadataTree` > `DelayedRefs`.

mod allocate;
mod item;
mod keyed;
mod queue;
mod runner;
#[cfg(test)]
mod tests;

pub(crate) use allocate::{Context, Joined};
pub(super) use queue::Queue;
pub(super) use runner::{Layout, Limit, Metadata, Runner};
