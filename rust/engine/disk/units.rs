// SPDX-License-Identifier: GPL-2.0
//! Numbers that must not be mixed up, each with a type of its own.

use super::Bytes;
use kernel::fmt;

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Gives the number its meaning.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The bare number, for arithmetic that leaves the unit and for the disk.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        unit!($(#[$doc])* $name);

        impl $name {
            /// The place that has `len` before it.
            pub const fn after(len: Bytes) -> Self {
                Self(len.get())
            }

            /// The distance from the first place to this one.
            pub const fn before(self) -> Bytes {
                Bytes::new(self.0)
            }

            /// The place `len` behind this one, or `None` past the end of the number range.
            pub const fn checked_add(self, len: Bytes) -> Option<Self> {
                match self.0.checked_add(len.get()) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// The place `len` behind this one, stopping at the end of the number range.
            pub const fn saturating_add(self, len: Bytes) -> Self {
                Self(self.0.saturating_add(len.get()))
            }

            /// The place `len` before this one, stopping at the first.
            pub const fn saturating_sub(self, len: Bytes) -> Self {
                Self(self.0.saturating_sub(len.get()))
            }

            /// The distance from `earlier` to `self`, or `None` when `earlier` lies behind.
            pub const fn checked_since(self, earlier: Self) -> Option<Bytes> {
                match self.0.checked_sub(earlier.0) {
                    Some(len) => Some(Bytes::new(len)),
                    None => None,
                }
            }

            /// The distance from `earlier` to `self`, zero when `earlier` lies behind.
            pub const fn saturating_since(self, earlier: Self) -> Bytes {
                Bytes::new(self.0.saturating_sub(earlier.0))
            }
        }
    };
}

address!(
    /// A byte address in the volume's logical space, the one that tree pointers and extents use.
    Logical
);
address!(
    /// A byte address on one device.
    Physical
);
address!(
    /// A byte position in a file.
    FileOffset
);
address!(
    /// A byte position relative to the start of its zone or block group.
    ZoneOffset
);
unit!(
    /// The number of the transaction that wrote something (C: `transid`).
    Generation
);
unit!(
    /// A key's objectid: an inode number, a tree's id, or an address, by the item's kind.
    ObjectId
);

impl ObjectId {
    /// The number after this one; `None` after the last.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }
}

impl Generation {
    /// The number of the transaction after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
