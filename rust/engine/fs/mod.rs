// SPDX-License-Identifier: GPL-2.0
//! L6: inodes, directories, file extents and subvolumes as operations on trees, without the VFS.
//!
//! [`FileSystem`] is the root; its methods stand in the files of their subject. [`Subvolume`] is a tree with inodes,
//! [`Inode`] one of them with the attributes that go to disk. Below are `txn` (handles, open trees) and `btree`;
//! above is the kernel edge, which holds the VFS's locks and does pages and bios.
//!
//! Lock order: a transaction handle, an inode's extents lock, an inode's state (of two inodes never both), tree
//! blocks. See `Documentation/fs.md`.

mod attributes;
mod checksums;
mod create;
mod delalloc;
mod directory;
mod entries;
mod evict;
mod extents;
mod filesystem;
mod inode;
mod mapping;
mod names;
mod ordered;
mod orphans;
mod paths;
mod preallocate;
mod records;
mod refs;
mod rename;
mod statistics;
mod subvolume;
mod truncate;
mod write;
mod xattr;

pub use crate::disk::Timespec as Time;
pub use attributes::{Attributes, Changes, Times};
pub use checksums::SectorSums;
pub use create::{New, NewKind};
pub use delalloc::{Allowance, Delalloc, Divisible, Short};
pub use directory::{Entry, Target};
pub use filesystem::{Access, FileSystem, Options};
pub use inode::Inode;
pub use mapping::{Compressed, CompressedData, Mapping, MappingKind};
pub use ordered::{NewExtent, OrderedExtent};
pub use rename::{Rename, RenameMode, Side};
pub use statistics::Statistics;
pub use subvolume::Subvolume;
pub use truncate::Truncation;
pub use write::WriteReservation;
pub use xattr::XattrMode;
