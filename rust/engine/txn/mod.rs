// SPDX-License-Identifier: GPL-2.0
//! L5: the transaction: what makes many changes to many trees one step from one superblock to the next.
//!
//! | module         | what it has                                                                          |
//! |----------------|--------------------------------------------------------------------------------------|
//! | `transactions` | [`Transactions`]: all of this as the layers above see it                              |
//! | `mount`        | from a superblock to open trees                                                       |
//! | `verify`       | what a mount does not believe: items that contradict each other                       |
//! | `options`      | how to open                                                                           |
//! | `roots`        | the open trees ([`OpenTree`]) and their root items                                    |
//! | `join`         | who may join the running transaction, and who waits for whom                          |
//! | `handle`       | [`Handle`]: the right to change trees                                                 |
//! | `units`        | how much a change may grow the trees                                                  |
//! | `shortage`     | from a shortage to space: chunks, commits, removal of empty block groups              |
//! | `transaction`  | one transaction: what it has changed so far                                           |
//! | `shared`       | what all handles of a mounted volume share                                            |
//! | `refs/`        | delayed references: who references which extent                                       |
//! | `context`      | a transaction as the trees see it                                                     |
//! | `run_refs`     | running delayed references: from the queue to the trees                               |
//! | `deferred`     | [`AtCommit`]: what is left to a commit, because it must see no change by half         |
//! | `commit/`      | from the running transaction to a superblock                                          |
//! | `chunks`       | making chunks and removing empty ones                                                 |
//! | `leaving`      | removed chunks whose device ranges are not free yet, and all ranges that are not      |
//! | `rebuild`      | the free space tree: made, made anew, given up                                        |
//! | `caches`       | free space caches, dropped before anything is changed                                 |
//! | `reclaim`      | emptying block groups whose zones hold little that is in use                          |
//! | `trim`         | telling devices what is unused, on demand                                             |
//! | `quotas`       | counts that are not kept are marked as wrong                                          |
//! | `ranges`       | ranges of addresses, ascending, neighbours merged                                     |
//! | `sharing`      | whether a data extent is one file's alone                                             |
//! | `counters`     | what commits cost                                                                     |
//!
//! Below: `volume` (superblock, chunk map), `btree` (the trees, which see a transaction as [`Allocate`]) and `space`
//! (where bytes are free). Above: `fs`, and the edge, which brings the [`Clock`] and calls the periodic work: this
//! layer has no thread of its own. `Documentation/transaction.md` is the long form.
//!
//! Lock order: `Transaction` > `Chunks` > `TreeOpening` > `FileTree` > `RefsRunner` > `BlockGroupItems` > `MetadataTree` > `OpenTrees` >
//! `DelayedRefs` > `TransactionRecord` > `TransactionChunks` > `Joining` > `CommitCounters`. That of `Joining` is held for
//! moments and nothing is called under it. All ranks: [`latch::Rank`].
//!
//! [`Allocate`]: crate::btree::Allocate

mod caches;
mod chunks;
mod commit;
mod context;
mod counters;
mod deferred;
mod handle;
mod join;
mod leaving;
mod mount;
mod options;
mod quotas;
mod ranges;
mod rebuild;
mod reclaim;
mod refs;
mod roots;
mod run_refs;
mod shared;
mod sharing;
mod shortage;
mod transaction;
mod transactions;
mod trim;
mod units;
mod verify;

pub use crate::space::{Discard, Trim};
pub use counters::{Clock, Counters};
pub use deferred::AtCommit;
pub use handle::Handle;
pub use options::{Access, FreeSpace, Keep, LogTree, Options, Roots, Witness};
pub use roots::OpenTree;
pub use sharing::Sharing;
pub use transactions::Transactions;
pub use units::Units;
