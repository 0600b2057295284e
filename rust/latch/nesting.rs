// SPDX-License-Identifier: GPL-2.0

//! Where a tree block stands in the order of locks.

use crate::Rank;

/// The trees, as far as their blocks' lock order differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TreeKind {
    /// The tree of tree roots.
    Root,
    /// Logical to physical mapping.
    Chunk,
    /// References to extents.
    Extent,
    /// The tree of device extents.
    Device,
    /// The tree of a subvolume.
    Files,
    /// The tree of data checksums.
    Checksums,
    /// The tree of quota groups.
    Quota,
    /// Subvolumes by UUID.
    Uuid,
    /// The tree of free space.
    FreeSpace,
    /// The tree of block groups.
    BlockGroups,
    /// A log tree.
    Log,
    /// Any other; for who writes a block out, whichever it is of.
    Other,
}

impl TreeKind {
    /// Where the blocks of such trees stand among the other locks. Who changes a block that a snapshot may share asks
    /// for its references with the block locked.
    pub const fn rank(self) -> Rank {
        match self {
            Self::Files | Self::Log | Self::Other => Rank::FileTree,
            Self::Root
            | Self::Chunk
            | Self::Extent
            | Self::Device
            | Self::Checksums
            | Self::Quota
            | Self::Uuid
            | Self::FreeSpace
            | Self::BlockGroups => Rank::MetadataTree,
        }
    }
}

/// Which of the blocks of one level that a task holds at once, the first to be locked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Side {
    /// The left neighbour of the block on the path.
    Left,
    /// The block on the path.
    Path,
    /// The block's right neighbour.
    Right,
    /// A new block that no other task can reach: a copy, a split's other half.
    New,
}

/// Where in the lock order a tree block stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nesting {
    /// The tree it is reached from.
    pub tree: TreeKind,
    /// The block's height above the leaves.
    pub level: u8,
    /// The role of the block.
    pub side: Side,
}

impl Nesting {
    /// Whether a task that holds this block may wait for `next` of the same tree: parents come before children, then
    /// left before right. A new block may be waited for under any.
    pub fn precedes(self, next: Self) -> bool {
        let is_new = |at: Self| at.side == Side::New;
        match (is_new(self), is_new(next)) {
            _ if self.tree != next.tree => false,
            (false, false) if self.level == next.level => self.side < next.side,
            (false, false) => self.level > next.level,
            (false, true) => true,
            (true, _) => false,
        }
    }
}
