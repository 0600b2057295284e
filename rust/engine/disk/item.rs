// SPDX-License-Identifier: GPL-2.0
//! Taking structures out of an item's bytes.

use super::corrupt::{ensure, ensure_eq, ensure_max, Flaw};
use super::ids::MAX_NAME_LEN;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// A byte count as the numbers in [`Flaw`] are.
#[inline(always)]
pub(super) fn len64(bytes: &[u8]) -> u64 {
    size64(bytes.len())
}

/// A size in memory as the numbers in [`Flaw`] are.
#[inline(always)]
pub(super) const fn size64(size: usize) -> u64 {
    // Lossless: no target of this code has more than 64 bits.
    #[allow(clippy::as_conversions)]
    {
        size as u64
    }
}

/// All of `bytes` as one structure.
#[inline]
pub(super) fn whole<'a, T>(bytes: &'a [u8], what: &'static str) -> Result<&'a T, Flaw>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    T::ref_from_bytes(bytes)
        .map_err(|_| Flaw::new(what, len64(bytes), size64(core::mem::size_of::<T>())))
}

/// The structure that `bytes` begins with, and what follows.
#[inline]
pub(super) fn front<'a, T>(bytes: &'a [u8], what: &'static str) -> Result<(&'a T, &'a [u8]), Flaw>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    T::ref_from_prefix(bytes)
        .map_err(|_| Flaw::new(what, len64(bytes), size64(core::mem::size_of::<T>())))
}

/// The first `len` bytes, and what follows.
#[inline]
pub(super) fn split<'a>(
    bytes: &'a [u8],
    len: u16,
    what: &'static str,
) -> Result<(&'a [u8], &'a [u8]), Flaw> {
    bytes
        .split_at_checked(usize::from(len))
        .ok_or(Flaw::new(what, len.into(), len64(bytes)))
}

/// A name of `len` bytes, and what follows.
#[inline]
pub(super) fn split_name(bytes: &[u8], len: u16) -> Result<(&[u8], &[u8]), Flaw> {
    ensure(len > 0, "name is empty", 0, 1)?;
    ensure_max("name is too long", len.into(), size64(MAX_NAME_LEN))?;
    split(bytes, len, "name goes beyond its item")
}

/// Whether an item has no bytes.
pub(super) fn ensure_empty(bytes: &[u8], what: &'static str) -> Result<(), Flaw> {
    ensure_eq(what, len64(bytes), 0)
}
