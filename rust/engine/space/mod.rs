// SPDX-License-Identifier: GPL-2.0
//! Block groups, free space, pinned ranges, reservations and the order of metadata writes.
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
//! | module        | what it is                                                                          |
//! |---------------|-------------------------------------------------------------------------------------|
//! | `allocation`  | how bytes leave groups and come back                                                 |
//! | `free`        | which bytes of a group are free, in memory and on the disk                           |
//! | `groups`      | block groups: their set, their items in the trees, how they come and go              |
//! | `numbers`     | the numbers of the tree of trees                                                     |
//! | `tree_steps`  | making the free space tree, and leaving it, step by step                             |
//! | `reserve`     | promises: where ENOSPC is decided                                                    |
//! | `root`        | the face of the layer, [`Space`]: what the layers above call                         |
//! | `statistics`  | space in numbers                                                                     |
//! | `write_order` | the order of metadata writes on sequential zones                                     |
//!
//! | type             | what it is                                                                       |
//! |------------------|----------------------------------------------------------------------------------|
//! | [`Space`]        | all of it, for one volume                                                         |
//! | [`Reservation`]  | promised bytes; [`Shortage`] is why there were none                               |
//! | [`DataExtent`]   | an address for file data                                                          |
//! | [`BlockAddress`] | an address for a tree block                                                       |
//! | [`Removal`]      | an empty group on its way out                                                     |
//! | [`WriteOrder`]   | the order of metadata writes on sequential zones                                  |
//! | [`Statistics`]   | the numbers                                                                       |
//!
//! Below: `volume` (chunks, zones), `btree` (the trees that record all this). Above: `txn`, which calls here when
//! references change and when it commits. Design: `Documentation/space.md`, `Documentation/metadata-io.md`.
//!
//! Lock order: `WriteOrder` > `FileTree` > `BlockGroupItems` > `CacheFiles` > `MetadataTree` > `DataProgress` > `BlockGroups` >
//! `BlockGroup` > `GroupIndex` > `Pinned` > `DirtyBlockGroups` > `WaitingTrims` > `SpaceTotals` > `ChunkMap`. Calls marked "memory only" may
//! be made under tree block locks; the others want none held.

mod allocation;
mod free;
mod groups;
mod numbers;
mod reserve;
mod root;
mod statistics;
#[cfg(test)]
mod tests;
mod tree_steps;
mod write_order;

pub use allocation::block_address::BlockAddress;
pub use allocation::removal::Removal;
pub use allocation::trim::{Discard, Trim};
pub(crate) use free::cache::CacheFile;
pub use free::cache::{CachesRead, Keeping};
pub use free::data_extent::DataExtent;
pub(crate) use free::doubt::Doubt;
pub use groups::loading::unread::NextGroup;
pub use groups::writeout::caches::CacheTurn;
pub use groups::zones::finishing::Relief;
pub use groups::zones::sparse::{Reclaim, Remains, Sparse};
pub use reserve::{Awaited, BlockClass, Class, Reservation, Shortage, Urgency};
pub use root::{Caches, ExtentTreeRead, Options, Space, Trees};
pub use statistics::{ClassStatistics, Statistics};
pub use write_order::{
    Admission, DataWait, Hold, InFlight, WriteOrder, WriteOrderStatistics, WriteToken, WriteTurn,
};
