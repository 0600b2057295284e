// SPDX-License-Identifier: GPL-2.0

//! What lockdep is told about a lock.

use core::pin::Pin;
use kernel::prelude::*;
use kernel::sync::LockClassKey;

/// A lockdep class: all locks made from one [`crate::class!`] call obey one order.
pub struct Class {
    name: &'static CStr,
    key: &'static LockClassKey,
}

impl Class {
    #[doc(hidden)]
    pub const fn new(name: &'static CStr, key: &'static LockClassKey) -> Self {
        Self { name, key }
    }

    pub(crate) fn name(&self) -> &'static CStr {
        self.name
    }

    pub(crate) fn key(&self) -> Pin<&'static LockClassKey> {
        Pin::static_ref(self.key)
    }
}

/// The lockdep class of this call site, `&'static Class`.
#[macro_export]
macro_rules! class {
    ($name:literal) => {{
        static KEY: $crate::kernel::sync::LockClassKey =
            // SAFETY: The key lies in static memory and is never dropped.
            unsafe { $crate::kernel::sync::LockClassKey::new_static() };
        static CLASS: $crate::Class = $crate::Class::new($crate::kernel::c_str!($name), &KEY);
        &CLASS
    }};
}

/// The trees, as far as their blocks' lock order differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug)]
pub struct Nesting {
    /// The tree it is reached from.
    pub tree: TreeKind,
    /// Its height above the leaves.
    pub level: u8,
    /// Its role.
    pub side: Side,
}
