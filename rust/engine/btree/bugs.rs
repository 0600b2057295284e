// SPDX-License-Identifier: GPL-2.0
//! What only a mistake in this layer can miss on its way through a tree.

use crate::disk::Bug;

/// A block that was to be locked with this way is not.
pub(super) const NOT_LOCKED: Bug = Bug::new("a block that a change needs is not locked");
/// A node was searched, and nodes are never empty.
pub(super) const NO_CHILD: Bug = Bug::new("node has no pointer in the slot of a way");
/// A block that is no empty root was asked for its first key, or for one of its items.
pub(super) const NO_ITEM: Bug = Bug::new("leaf has no item in the slot of a way");
/// Whoever moves an item knows its neighbours.
pub(super) const OUT_OF_ORDER: Bug =
    Bug::new("item is given a key that is not between its neighbours' keys");
/// The level of a node was counted down.
pub(super) const NO_LEVEL: Bug = Bug::new("a way goes on below a leaf");
