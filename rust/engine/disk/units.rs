// SPDX-License-Identifier: GPL-2.0
//! Numbers that must not be mixed up, each with a type of its own.

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

            /// `self + delta`, or `None` past the end of the number range.
            pub const fn checked_add(self, delta: u64) -> Option<Self> {
                match self.0.checked_add(delta) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// `self + delta`, stopping at the end of the number range.
            pub const fn saturating_add(self, delta: u64) -> Self {
                Self(self.0.saturating_add(delta))
            }

            /// The distance from `earlier` to `self`, or `None` when `earlier` lies behind.
            pub const fn checked_since(self, earlier: Self) -> Option<u64> {
                self.0.checked_sub(earlier.0)
            }

            /// The distance from `earlier` to `self`, zero when `earlier` lies behind.
            pub const fn saturating_since(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

unit!(
    /// A byte address in the volume's logical space, the one that tree pointers and extents use.
    Logical
);
unit!(
    /// A byte address on one device.
    Physical
);
unit!(
    /// A byte position in a file.
    FileOffset
);
unit!(
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

impl Generation {
    /// The number of the transaction after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
