// SPDX-License-Identifier: GPL-2.0
//! Which tree: what it is to the tree of trees.

use super::ObjectId;
use kernel::fmt;

/// A tree's identity: the objectid of its root item, and for trees that share theirs the offset too. Blocks and references
/// name their tree by the objectid alone.
///
/// There is one log tree and one relocation tree for each subvolume, by whose id the offset tells them apart. Every other
/// tree is the only one of its objectid and has offset 0 here, whatever its root item's key has: that of a snapshot has
/// its transaction there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId {
    /// The owner that its blocks name.
    pub objectid: ObjectId,
    /// Which of the trees it is that have this objectid.
    pub offset: u64,
}

impl TreeId {
    /// Below all trees.
    pub const MIN: Self = Self::new(ObjectId::new(0), 0);

    /// The tree with this objectid and this offset.
    pub const fn new(objectid: ObjectId, offset: u64) -> Self {
        Self { objectid, offset }
    }

    /// The next in order; `None` after the last.
    pub fn next(self) -> Option<Self> {
        match self.offset.checked_add(1) {
            Some(offset) => Some(Self::new(self.objectid, offset)),
            None => Some(Self::new(self.objectid.next()?, 0)),
        }
    }
}

/// The only tree with this objectid.
impl From<ObjectId> for TreeId {
    fn from(objectid: ObjectId) -> Self {
        Self::new(objectid, 0)
    }
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            0 => write!(f, "{}", self.objectid.get()),
            offset => write!(f, "{}/{offset}", self.objectid.get()),
        }
    }
}
