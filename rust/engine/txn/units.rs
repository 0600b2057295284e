// SPDX-License-Identifier: GPL-2.0
//! How much a change may grow the trees.
use crate::disk::{Bytes, MAX_LEVELS};

/// Tree levels a descent can pass.
const LEVELS: u64 = MAX_LEVELS as u64;

/// Items a handle may touch, each in a leaf of its own at worst: what a handle reserves metadata for.
///
/// An insertion copies a path of up to eight blocks and may split each of them; an update or removal copies the path.
/// Count items in file trees, the root tree and the checksum tree; what delayed references do to the extent tree is
/// added here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    inserts: u32,
    updates: u32,
}

impl Units {
    /// No items: for handles that only queue data references.
    pub const NONE: Units = Units {
        inserts: 0,
        updates: 0,
    };

    /// `count` items that may be inserted.
    pub const fn inserts(count: u32) -> Self {
        Self {
            inserts: count,
            updates: 0,
        }
    }

    /// `count` items that are changed in place or removed.
    pub const fn updates(count: u32) -> Self {
        Self {
            inserts: 0,
            updates: count,
        }
    }

    /// The items of both.
    pub const fn and(self, other: Self) -> Self {
        Self {
            inserts: self.inserts.saturating_add(other.inserts),
            updates: self.updates.saturating_add(other.updates),
        }
    }

    /// Bytes of metadata to reserve, with blocks of `node_size` bytes.
    pub const fn bytes(self, node_size: u32) -> Bytes {
        let inserts = (self.inserts as u64).saturating_mul(2 * LEVELS);
        let updates = (self.updates as u64).saturating_mul(LEVELS);
        let blocks = inserts.saturating_add(updates);
        Bytes::new(node_size as u64).saturating_mul(blocks)
    }
}
