// SPDX-License-Identifier: GPL-2.0
//! The transaction: what makes many changes to many trees one step from one superblock to the next.
//!
//! | module         | what it has                                                                          |
//! |----------------|--------------------------------------------------------------------------------------|
//! | `transactions` | [`Transactions`]: all of this as the layers above see it                              |
//! | `options`      | how to open                                                                           |
//! | `mount/`       | from a superblock to open trees, and what a mount does not believe                    |
//! | `roots`        | the open trees ([`OpenTree`]) and their root items                                    |
//! | `transaction/` | one transaction: what it has changed so far, and what it leaves to its commit         |
//! | `join`         | who may join the running transaction, and who waits for whom                          |
//! | `handles/`     | [`Handle`], the right to change trees, and what all handles share                     |
//! | `units`        | how much a change may grow the trees                                                  |
//! | `refs/`        | delayed references: who references which extent                                       |
//! | `commit/`      | from the running transaction to a superblock                                          |
//! | `shortage/`    | from a shortage to space: chunks, emptied block groups, what devices are told         |
//! | `free_space/`  | free space caches and trees, made or given up before anything else is changed         |
//! | `quotas`       | counts that are not kept are marked as wrong                                          |
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

mod commit;
mod counters;
mod free_space;
mod handles;
mod join;
mod mount;
mod options;
mod quotas;
mod refs;
mod roots;
mod shortage;
mod transaction;
mod transactions;
mod units;

pub use crate::space::{Discard, Trim};
pub use counters::{Clock, Counters};
pub use handles::alone::Sharing;
pub use handles::handle::Handle;
pub use options::{Access, Keep, LogTree, Options, Roots, TreeTrust, Witness};
pub use roots::OpenTree;
pub use transaction::deferred::AtCommit;
pub use transactions::Transactions;
pub use units::Units;
