// SPDX-License-Identifier: GPL-2.0
//! L6: inodes, directories, file extents and subvolumes as operations on trees, without the VFS.
//!
//! | module       | what it has                                                              |
//! |--------------|--------------------------------------------------------------------------|
//! | `filesystem` | the root of the layer: transactions, parameters, subvolumes in use        |
//! | `inode`      | inodes: attributes, making, removing, extended attributes                 |
//! | `items`      | items of trees as typed values, several records in one                    |
//! | `names`      | directories, links, renaming                                             |
//! | `data`       | file data: mapping, writing, cutting, checksums                          |
//! | `subvolume`  | trees with inodes, and their paths                                       |
//! | `statistics` | what statfs shows                                                        |
//!
//! [`FileSystem`] is the root and hands out its parts, whose methods stand in the folders of their subject.
//! [`Subvolume`] is a tree with inodes, [`Inode`] one of them with the attributes that go to disk. Below are `txn` (handles, open trees) and `btree`;
//! above is the kernel edge, which holds the VFS's locks and does pages and bios.
//!
//! Lock order: `Delalloc` > `Orphans` > `Transaction` > `InodeExtents` > `InodeState` > `NextInode` > `NextSubvolume` >
//! `SubvolumeOpening` > `FileTree` > `Subvolumes`; of two inodes never both. See `Documentation/fs.md`.

mod data;
mod filesystem;
mod inode;
mod items;
mod names;
mod statistics;
mod subvolume;

pub use crate::disk::{InodeItem as Attributes, Timespec as Time};
pub use data::{
    Allowance, Compressed, CompressedData, Data, Delalloc, Delayed, Divisible, FileSpace, InPlace,
    Mapping, MappingKind, NewExtent, NoPromises, OrderedExtent, Placed, Punch, Reported,
    SectorSums, Short, Truncation, WriteKind, WriteReservation, WrittenInPlace, Zeroing,
};
pub use filesystem::{FileSystem, Options};
pub use inode::{Changes, Compression, Inode, Inodes, New, NewKind, Now, Times, XattrMode};
pub use names::{Entry, Names, Rename, RenameMode, Side, Target};
pub use statistics::Statistics;
pub use subvolume::{NewSubvolume, Subvolume, SubvolumePlace, Subvolumes, Topmost};
