// SPDX-License-Identifier: GPL-2.0
//! Inodes, directories, file extents and subvolumes as operations on trees, without the VFS.
//!
//! | module                 | what it has                                                         |
//! |------------------------|---------------------------------------------------------------------|
//! | `items`                | items of trees as typed values: names, notes, places                |
//! | `subvolume`            | a subvolume in use: a tree with inodes                              |
//! | `progress`             | what was moved out of block groups, and whose turn it is            |
//! | `filesystem`           | the root of the layer: transactions, parameters, subvolumes in use  |
//! | `inode`                | an inode in use: its attributes                                     |
//! | `data`                 | file data: mapping, writing, cutting, checksums                     |
//! | `inode_operations`     | what is done to inodes: reading, removing, extended attributes      |
//! | `names`                | making inodes; directories, links, renaming                         |
//! | `subvolume_operations` | finding and making subvolumes, and their paths                      |
//! | `relocation`           | moving data out of block groups whose zones are to be written again |
//! | `statistics`           | what statfs shows                                                   |
//!
//! Each uses only those above it.
//!
//! [`FileSystem`] is the root and hands out its parts, whose methods stand in the folders of their subject.
//! [`Subvolume`] is a tree with inodes, [`Inode`] one of them with the attributes that go to disk. Below are `txn` (handles, open trees) and `btree`;
//! above is the kernel edge, which holds the VFS's locks and does pages and bios.
//!
//! Lock order: `Delalloc` > `Orphans` > `Relocation` > `Transaction` > `InodeExtents` > `InodeState` > `NextInode` >
//! `SubvolumeOpening` > `FileTree` > `Subvolumes`. See `Documentation/fs.md`.

mod data;
mod filesystem;
mod inode;
mod inode_operations;
mod items;
mod names;
mod progress;
mod relocation;
mod statistics;
mod subvolume;
mod subvolume_operations;

pub use crate::disk::{InodeItem as Attributes, Timespec as Time};
pub use data::{
    Allowance, Compressed, CompressedData, Data, Delalloc, Delayed, Divisible, Failure, FileSpace,
    InPlace, InPlaceWrites, Mapping, MappingKind, Mappings, NewExtent, OrderedExtent, Parts,
    Placed, Punch, Reported, Run, SectorSums, Short, Truncation, WriteKind, WriteReservation,
    WrittenInPlace, Zeroing,
};
pub use filesystem::{FileSystem, Options, MAX_INLINE};
pub use inode::{Changes, Inode, New, NewKind, Now, Times};
pub use inode_operations::{Inodes, PropertyChange, XattrMode};
pub use items::entries::Target;
pub use names::{Entry, Names, Rename, RenameMode, Side};
pub use progress::Moved;
pub use relocation::{Relocated, Relocation};
pub use statistics::Statistics;
pub use subvolume::{NoPromises, Subvolume};
pub use subvolume_operations::{NewSubvolume, SubvolumePlace, Subvolumes, Topmost};
