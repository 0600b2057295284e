// SPDX-License-Identifier: GPL-2.0
//! What block groups hold.

use kernel::fmt;
use latch::prelude::*;

/// What a chunk holds (C: `BTRFS_BLOCK_GROUP_TYPE_MASK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The contents of files.
    Data,
    /// Tree blocks, except those of the chunk tree.
    Metadata,
    /// Blocks of the chunk tree.
    System,
}

impl Class {
    /// The classes in order.
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
    /// Blocks of all trees but the following.
    Metadata,
    /// Blocks of the log trees: on sequential zones they have a group of their own, so that an fsync meets no hole that only
    /// a commit can fill.
    TreeLog,
    /// Blocks of the chunk tree.
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

/// Values, one for each class.
pub(in crate::space) struct PerClass<T> {
    data: T,
    metadata: T,
    system: T,
}

impl<T> PerClass<T> {
    pub(in crate::space) fn try_new(mut make: impl FnMut(Class) -> Result<T>) -> Result<Self> {
        Ok(Self {
            data: make(Class::Data)?,
            metadata: make(Class::Metadata)?,
            system: make(Class::System)?,
        })
    }

    pub(in crate::space) fn get(&self, class: Class) -> &T {
        match class {
            Class::Data => &self.data,
            Class::Metadata => &self.metadata,
            Class::System => &self.system,
        }
    }

    pub(in crate::space) fn get_mut(&mut self, class: Class) -> &mut T {
        match class {
            Class::Data => &mut self.data,
            Class::Metadata => &mut self.metadata,
            Class::System => &mut self.system,
        }
    }
}
