// SPDX-License-Identifier: GPL-2.0
//! Where a tree block stands in the lock order. The same types as in the module's crate.

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
    /// Device extents.
    Device,
    /// A subvolume.
    Files,
    /// Data checksums.
    Checksums,
    /// Quota groups.
    Quota,
    /// Subvolumes by UUID.
    Uuid,
    /// Free space.
    FreeSpace,
    /// Block groups.
    BlockGroups,
    /// A log tree.
    Log,
    /// Any other.
    Other,
}

/// Which of the blocks of one level that a task holds at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// The block on the path.
    Path,
    /// Its left neighbour.
    Left,
    /// Its right neighbour.
    Right,
    /// A new block that no other task can reach: a copy, a split's other half.
    New,
    /// A new root.
    NewRoot,
}

/// Where in the lock order a tree block stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nesting {
    /// The tree it is reached from.
    pub tree: TreeKind,
    /// Its height above the leaves.
    pub level: u8,
    /// Its role.
    pub side: Side,
}
