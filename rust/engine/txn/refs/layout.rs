// SPDX-License-Identifier: GPL-2.0
//! How the items of this volume look.

/// What the volume's format says of extents.
#[derive(Clone, Copy, Debug)]
pub(in crate::txn) struct Layout {
    /// Bytes in a tree block.
    pub(in crate::txn) node_size: u32,
    /// Items of tree blocks.
    pub(in crate::txn) metadata: Metadata,
    /// Bytes of data that have one checksum.
    pub(in crate::txn) sector_size: u32,
    /// Bytes of a checksum.
    pub(in crate::txn) checksum_len: usize,
}

/// How new tree blocks are kept in the extent tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::txn) enum Metadata {
    /// The item is a METADATA_ITEM.
    Skinny,
    /// EXTENT_ITEM with the first key.
    Full,
}
