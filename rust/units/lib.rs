// SPDX-License-Identifier: GPL-2.0

//! Addresses and lengths, each with a type of its own: what all other crates say of bytes.
//!
//! | module    | what it has                                                       |
//! |-----------|-------------------------------------------------------------------|
//! | `address` | [`Logical`], [`Physical`], [`FileOffset`], [`ZoneOffset`]         |
//! | `bytes`   | [`Bytes`], a length                                               |
//! | `unit`    | [`unit!`]: a number with a meaning, which those and others are    |
//!
//! A place and a length make a place, two places of one space make a length, and nothing else of them can be added. No
//! sum wraps: it is either checked or stops at the end of the number range.

// Kbuild gives every crate `no_std` too; here it is for the host.
#![allow(unused_attributes, clippy::duplicated_attributes)]
#![no_std]
#![forbid(unsafe_code)]

mod unit;

mod address;
mod bytes;

pub use address::{FileOffset, Logical, Physical, ZoneOffset};
pub use bytes::Bytes;

#[doc(hidden)]
pub use kernel::fmt;
