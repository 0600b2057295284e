// SPDX-License-Identifier: GPL-2.0
//! File data: where it is, how it gets there, and its checksums.
//!
//! | module        | what it has                                                             |
//! |---------------|-------------------------------------------------------------------------|
//! | `mapping`     | where a file's bytes are: [`Mappings`]                                  |
//! | `report`      | the same for fiemap                                                     |
//! | `delalloc`    | which bytes are dirty without an address, and the space kept for them   |
//! | `write`       | the promise of space before bytes become dirty; small files in the tree |
//! | `ordered`     | data that has an address and is in no tree yet                          |
//! | `piece`       | what of a write is entered into the trees at once                       |
//! | `parts`       | in which parts a write that failed is sent again: [`Parts`]             |
//! | `extents`     | file extent items: reading, making and taking out                       |
//! | `checksums`   | checksums of data: items of the checksum tree                           |
//! | `truncate`    | cutting files and making holes                                          |
//! | `preallocate` | giving a file space before it is written                                |
//! | `unwritten`   | taking bytes out of a file and leaving it its space                     |
//! | `in_place`    | writing to such space where it is: [`InPlaceWrites`]                    |

mod checksums;
mod delalloc;
pub(super) mod extents;
mod in_place;
mod mapping;
mod ordered;
mod parts;
mod piece;
mod preallocate;
mod report;
mod truncate;
mod unwritten;
mod write;

pub use checksums::SectorSums;
pub use delalloc::{Allowance, Delalloc, Delayed, Divisible, Short, WriteKind};
pub use in_place::{InPlace, Placed, WrittenInPlace};
pub use mapping::{Compressed, CompressedData, Mapping, MappingKind};
pub use ordered::{NewExtent, OrderedExtent};
pub use parts::{Failure, Parts, Run};
pub use report::Reported;
pub use truncate::{Punch, Truncation};
pub use unwritten::Zeroing;
pub use write::WriteReservation;

use super::FileSystem;

impl FileSystem {
    /// Where the bytes of files are.
    pub fn mappings(&self) -> Mappings<'_> {
        Mappings { fs: self }
    }

    /// What files contain: how it gets to where it is, and its checksums.
    pub fn data(&self) -> Data<'_> {
        Data { fs: self }
    }

    /// Writing to space that files have before they are written.
    pub fn in_place(&self) -> InPlaceWrites<'_> {
        InPlaceWrites { fs: self }
    }

    /// The space that files have: sizes, holes, preallocation.
    pub fn file_space(&self) -> FileSpace<'_> {
        FileSpace { fs: self }
    }
}

/// Where the bytes of a file system's files are.
#[derive(Clone, Copy)]
pub struct Mappings<'a> {
    pub(super) fs: &'a FileSystem,
}

/// What the files of a file system contain.
#[derive(Clone, Copy)]
pub struct Data<'a> {
    pub(super) fs: &'a FileSystem,
}

/// Writing to space that the files of a file system have before they are written.
#[derive(Clone, Copy)]
pub struct InPlaceWrites<'a> {
    pub(super) fs: &'a FileSystem,
}

/// The space that the files of a file system have.
#[derive(Clone, Copy)]
pub struct FileSpace<'a> {
    pub(super) fs: &'a FileSystem,
}
