// SPDX-License-Identifier: GPL-2.0
//! L5: the transaction: what makes many changes to many trees one step from one superblock to the next.
//!
//! | type             | what it is                                                                       |
//! |------------------|----------------------------------------------------------------------------------|
//! | [`Transactions`] | the mounted volume's trees, its running and its committing transaction            |
//! | [`Handle`]       | the right to change trees in the running transaction; given back when dropped     |
//! | [`Units`]        | how much a change may grow the trees: what a handle reserves                      |
//! | [`Options`]      | how to open                                                                       |
//! | [`Counters`]     | what commits cost                                                                 |
//!
//! Below: `volume` (superblock, chunk map), `btree` (the trees, which see a transaction as [`Allocate`]) and `space`
//! (where bytes are free). Above: `fs`, and the edge, which brings the [`Clock`] and calls the periodic work: this
//! layer has no thread of its own. `Documentation/transaction.md` is the long form.
//!
//! Lock order, outermost first: a handle (joined) > tree block locks of a file tree > the runner of delayed
//! references > tree block locks of the extent, checksum, free space and block group trees > the queue of delayed
//! references > `space`. The gate mutex is a leaf: it is held for moments and nothing is called under it.
//!
//! [`Allocate`]: crate::btree::Allocate

mod checksums;
mod chunks;
mod commit;
mod counters;
mod gate;
mod handle;
mod mount;
mod options;
mod ranges;
mod reclaim;
mod refs;
mod registry;
mod reserve;
mod running;
mod shared;
mod superblock;
mod transactions;
mod units;

pub use crate::space::Discard;
pub use counters::{Clock, Counters};
pub use handle::Handle;
pub use options::{Access, LogTree, Options, Roots, Witness};
pub use transactions::Transactions;
pub use units::Units;
