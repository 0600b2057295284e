// SPDX-License-Identifier: GPL-2.0
//! Taking structures out of an item's bytes, and putting them there.

use super::corrupt::{ensure, ensure_eq, ensure_max, Bug, Flaw};
use super::ids::MAX_NAME_LEN;
use super::Bytes;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A byte count as the numbers in [`Flaw`] are.
#[inline(always)]
pub(super) fn len64(bytes: &[u8]) -> u64 {
    size64(bytes.len())
}

/// A size in memory as the numbers in [`Flaw`] are.
#[inline(always)]
pub(super) const fn size64(size: usize) -> u64 {
    Bytes::of_memory(size).get()
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

const OTHER_LENGTH: Bug = Bug::new("item has another length than what is written to it");

/// All of `bytes` as one structure, to change.
pub(super) fn whole_mut<T>(bytes: &mut [u8]) -> Result<&mut T, Bug>
where
    T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned,
{
    T::mut_from_bytes(bytes).map_err(|_| OTHER_LENGTH)
}

/// Makes all of `bytes` one structure.
pub(super) fn put<T: IntoBytes + Immutable>(bytes: &mut [u8], raw: &T) -> Result<(), Bug> {
    raw.write_to(bytes).map_err(|_| OTHER_LENGTH)
}

/// Makes `bytes` begin with a structure, and gives what follows.
pub(super) fn put_front<'a, T>(bytes: &'a mut [u8], raw: &T) -> Result<&'a mut [u8], Bug>
where
    T: IntoBytes + Immutable + ?Sized,
{
    let len = core::mem::size_of_val(raw);
    let (front, rest) = bytes.split_at_mut_checked(len).ok_or(OTHER_LENGTH)?;
    raw.write_to(front).map_err(|_| OTHER_LENGTH)?;
    Ok(rest)
}

/// Makes `bytes` two strings, one behind the other.
pub(super) fn put_strings(bytes: &mut [u8], first: &[u8], second: &[u8]) -> Result<(), Bug> {
    let rest = put_front(bytes, first)?;
    second.write_to(rest).map_err(|_| OTHER_LENGTH)
}

/// The length of a string as the format has it.
pub(super) fn len16(string: &[u8]) -> Result<u16, Bug> {
    const TOO_LONG: Bug = Bug::new("a string is longer than the format can say");
    u16::try_from(string.len()).map_err(|_| TOO_LONG)
}
