// SPDX-License-Identifier: GPL-2.0
//! What block groups hold.

use kernel::fmt;

/// What a chunk holds (C: `BTRFS_BLOCK_GROUP_TYPE_MASK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// File contents.
    Data,
    /// Tree blocks, except those of the chunk tree.
    Metadata,
    /// Blocks of the chunk tree.
    System,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 3] = [Class::Data, Class::Metadata, Class::System];
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Data => "data",
            Class::Metadata => "metadata",
            Class::System => "system",
        })
    }
}

/// Which tree blocks a block belongs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockClass {
    /// All but the following.
    Metadata,
    /// The log trees: on sequential zones they have a group of their own, so that an fsync meets no hole that only
    /// a commit can fill.
    TreeLog,
    /// The chunk tree.
    System,
}

impl BlockClass {
    /// The class of block group it is allocated from.
    pub const fn class(self) -> Class {
        match self {
            BlockClass::Metadata | BlockClass::TreeLog => Class::Metadata,
            BlockClass::System => Class::System,
        }
    }
}
