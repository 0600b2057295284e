// SPDX-License-Identifier: GPL-2.0
//! Numbers that must not be mixed up.

/// Defines a type for a number with a meaning.
#[macro_export]
macro_rules! unit {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Gives the number its meaning.
            #[inline]
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The bare number, for arithmetic that leaves the unit and for the disk.
            #[inline]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl $crate::fmt::Display for $name {
            fn fmt(&self, f: &mut $crate::fmt::Formatter<'_>) -> $crate::fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}
