// SPDX-License-Identifier: GPL-2.0
//! Places of bytes.

use super::{unit, Bytes};

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        unit!($(#[$doc])* $name);

        impl $name {
            /// The place that has `len` before it.
            #[inline]
            pub const fn after(len: Bytes) -> Self {
                Self(len.get())
            }

            /// The distance from the first place to this one.
            #[inline]
            pub const fn before(self) -> Bytes {
                Bytes::new(self.0)
            }

            /// The place `len` behind this one, or `None` past the end of the number range.
            #[inline]
            pub const fn checked_add(self, len: Bytes) -> Option<Self> {
                match self.0.checked_add(len.get()) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// The place `len` behind this one, stopping at the end of the number range.
            #[inline]
            pub const fn saturating_add(self, len: Bytes) -> Self {
                Self(self.0.saturating_add(len.get()))
            }

            /// The place `len` before this one, stopping at the first.
            #[inline]
            pub const fn saturating_sub(self, len: Bytes) -> Self {
                Self(self.0.saturating_sub(len.get()))
            }

            /// The distance from `earlier` to `self`, or `None` when `earlier` lies behind.
            #[inline]
            pub const fn checked_since(self, earlier: Self) -> Option<Bytes> {
                match self.0.checked_sub(earlier.0) {
                    Some(len) => Some(Bytes::new(len)),
                    None => None,
                }
            }

            /// The distance from `earlier` to `self`, zero when `earlier` lies behind.
            #[inline]
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
