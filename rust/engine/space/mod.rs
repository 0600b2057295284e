// SPDX-License-Identifier: GPL-2.0
//! L4: block groups, free space, pinned ranges, reservations and the metadata write gate.
//!
//! A byte of a block group is in one state at a time, and each call moves bytes from one to another:
//!
//! ```text
//! free     --allocate_block, allocate_data, take--> reserved     promised to a block or a data extent
//! reserved --note_allocated--> used                              its extent item was inserted
//! reserved --release_unwritten--> free (zoned: unusable)         never written, never in the extent tree
//! reserved --pin--> pinned                                       written, never in the extent tree (log trees)
//! used     --note_freed--> pinned                                its extent item was removed
//! pinned   --unpin--> free (zoned: unusable)                     the superblock of that transaction is durable
//! ```
//!
//! Above the groups, a [`Reservation`] promises bytes of a class before any address is chosen; ENOSPC is decided
//! there and nowhere later.
//!
//! | type             | what it is                                                                       |
//! |------------------|----------------------------------------------------------------------------------|
//! | [`Space`]        | all of it, for one volume                                                         |
//! | [`Reservation`]  | promised bytes; [`Shortage`] is why there were none                               |
//! | [`DataExtent`]   | an address for file data                                                          |
//! | [`BlockAddress`] | an address for a tree block                                                       |
//! | [`Removal`]      | an empty group on its way out                                                     |
//! | [`MetadataGate`] | the order of metadata writes on sequential zones                                  |
//! | [`Statistics`]   | the numbers                                                                       |
//!
//! Below: `volume` (chunks, zones), `btree` (the trees that record all this). Above: `txn`, which calls here when
//! references change and when it commits. Design: `Documentation/space.md`, `Documentation/metadata-io.md`.
//!
//! Lock order, outermost first: a group's items > tree block locks > the metadata gate > the set of groups > a group >
//! pinned ranges, dirty groups > a class's totals > volume. Calls marked "memory only" may be made under tree block
//! locks; the others want none held.

mod abandoned;
mod allocate;
mod changes;
mod chunks;
mod class;
mod free;
mod free_space_tree;
pub mod gate;
mod group;
mod groups;
mod items;
mod load;
mod ranges;
mod reservation;
mod room;
mod root;
mod spans;
mod sparse;
mod statistics;
#[cfg(test)]
mod tests;
mod totals;
mod trim;
mod writeout;
mod zones;

pub use abandoned::BlockAddress;
pub use allocate::DataExtent;
pub use chunks::Removal;
pub use class::{BlockClass, Class};
pub use gate::{Admission, GateGuard, GateStatistics, InFlight, MetadataGate, WriteToken};
pub use reservation::{Reservation, Shortage, Urgency};
pub use root::{Options, Space, Trees};
pub use sparse::{Need, Sparse};
pub use statistics::{ClassStatistics, Statistics};
pub use trim::Discard;
