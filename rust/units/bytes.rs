// SPDX-License-Identifier: GPL-2.0
//! Lengths of ranges and of files.

use kernel::fmt;
use zerocopy::little_endian::U64;

/// A length in bytes: of a range of addresses or of a file, or an amount of space.
///
/// An address and a length make an address ([`super::Logical::checked_add`]), two addresses make a length
/// ([`super::Logical::checked_since`]); nothing here overflows, whatever the disk says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Bytes(u64);

impl Bytes {
    /// The length without a byte.
    pub const ZERO: Self = Self(0);
    /// The most that can be said.
    pub const MAX: Self = Self(u64::MAX);

    /// Makes a length of so many bytes.
    #[inline]
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// Makes the length of something in memory.
    #[inline]
    pub const fn of_memory(size: usize) -> Self {
        // Lossless: no target of this code has more than 64 bits.
        #[allow(clippy::as_conversions)]
        Self(size as u64)
    }

    /// The bare number, for arithmetic that leaves the unit and for the disk.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum of both, or `None` past the end of the number range.
    #[inline]
    pub const fn checked_add(self, more: Self) -> Option<Self> {
        match self.0.checked_add(more.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The sum of both, stopping at the end of the number range.
    #[inline]
    pub const fn saturating_add(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }

    /// What is left without `less`, or `None` where that is more.
    #[inline]
    pub const fn checked_sub(self, less: Self) -> Option<Self> {
        match self.0.checked_sub(less.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// What is left without `less`, zero where that is more.
    #[inline]
    pub const fn saturating_sub(self, less: Self) -> Self {
        Self(self.0.saturating_sub(less.0))
    }

    /// So many times as much, stopping at the end of the number range.
    #[inline]
    pub const fn saturating_mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }

    /// Each of `parts`, rounded down; none of no parts.
    #[inline]
    pub const fn divided_by(self, parts: u64) -> Self {
        match self.0.checked_div(parts) {
            Some(part) => Self(part),
            None => Self::ZERO,
        }
    }

    /// How many whole pieces of `unit` it has; none where that is nothing.
    #[inline]
    pub const fn count(self, unit: Self) -> u64 {
        match self.0.checked_div(unit.0) {
            Some(count) => count,
            None => 0,
        }
    }

    /// What of it is whole pieces of `unit`.
    #[inline]
    pub const fn round_down(self, unit: Self) -> Self {
        unit.saturating_mul(self.count(unit))
    }

    /// The next multiple of `unit`, or `None` past the end of the number range and of nothing.
    #[inline]
    pub const fn checked_round_up(self, unit: Self) -> Option<Self> {
        match self.0.checked_next_multiple_of(unit.0) {
            Some(multiple) => Some(Self(multiple)),
            None => None,
        }
    }

    /// The next multiple of `unit`, or the highest there is.
    #[inline]
    pub const fn round_up(self, unit: Self) -> Self {
        match self.checked_round_up(unit) {
            Some(multiple) => multiple,
            None => Self::MAX.round_down(unit),
        }
    }
}

impl From<u32> for Bytes {
    #[inline]
    fn from(count: u32) -> Self {
        Self(count.into())
    }
}

impl From<usize> for Bytes {
    #[inline]
    fn from(size: usize) -> Self {
        Self::of_memory(size)
    }
}

/// Makes a length of what the format has.
impl From<U64> for Bytes {
    #[inline]
    fn from(raw: U64) -> Self {
        Self(raw.get())
    }
}

impl From<Bytes> for U64 {
    #[inline]
    fn from(len: Bytes) -> Self {
        Self::new(len.0)
    }
}

impl TryFrom<Bytes> for usize {
    type Error = core::num::TryFromIntError;

    #[inline]
    fn try_from(len: Bytes) -> Result<Self, Self::Error> {
        len.0.try_into()
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
