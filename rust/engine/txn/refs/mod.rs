// SPDX-License-Identifier: GPL-2.0
//! Delayed references: who references which extent, queued in memory and applied to the extent tree.
//!
//! | module      | what it has                                                  |
//! |-------------|--------------------------------------------------------------|
//! | `queue`     | what is to change in the extent tree, merged for each extent |
//! | `head`      | what waits for one extent                                    |
//! | `runner`    | applying heads to the trees                                  |
//! | `item`      | an extent's item, taken out of the tree                      |
//! | `keyed`     | references with items of their own                           |
//! | `checksums` | removing the checksums of data that is gone                  |
//! | `counting`  | how often an extent is referenced                            |
//! | `layout`    | how the items of this volume look                            |
//!
//! Lock order: `RefsRunner` > `MetadataTree` > `DelayedRefs`.

mod checksums;
mod counting;
mod head;
mod item;
mod keyed;
mod layout;
mod queue;
mod runner;
#[cfg(test)]
mod tests;

pub(super) use counting::Held;
pub(super) use head::{Change, Extent, Head};
pub(super) use layout::{Layout, Metadata};
pub(super) use queue::{Queue, Queued};
pub(super) use runner::Runner;
