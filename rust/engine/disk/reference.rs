// SPDX-License-Identifier: GPL-2.0
//! Who references an extent.

use super::{Logical, ObjectId};
use kernel::fmt;

/// What tells a reference from the others of the same extent, inline ones as well as those with keys of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// A tree block, by its tree.
    TreeBlock(ObjectId),
    /// A tree block, by its parent's address.
    SharedBlock(Logical),
    /// Data, by a file.
    Data {
        /// The tree that has the reference.
        root: ObjectId,
        /// The inode that has the reference.
        inode: ObjectId,
        /// File position minus position in the extent; wraps below zero.
        offset: u64,
    },
    /// Data, by the leaf that has the file extent.
    SharedData(Logical),
}

impl Reference {
    /// Whether it is one to a tree block.
    pub const fn is_block(self) -> bool {
        matches!(self, Self::TreeBlock(_) | Self::SharedBlock(_))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TreeBlock(root) => write!(f, "reference of tree {}", root.get()),
            Self::SharedBlock(parent) => write!(f, "reference of node {}", parent.get()),
            Self::Data {
                root,
                inode,
                offset,
            } => {
                let (root, inode) = (root.get(), inode.get());
                write!(f, "reference of tree {root} inode {inode} offset {offset}")
            }
            Self::SharedData(leaf) => write!(f, "reference of leaf {}", leaf.get()),
        }
    }
}
