// SPDX-License-Identifier: GPL-2.0

//! Memory: folios, and bytes that are not Rust's alone.
//!
//! | module     | what is in it                                    |
//! |------------|--------------------------------------------------|
//! | [`folio`]  | `folio`                                          |
//! | [`locked`] | a folio's lock and its writeback, as values      |
//! | [`bytes`]  | a folio's bytes, where they are Rust's alone     |
//! | [`memory`] | bytes that others may change while they are read |
//! | [`noio`]   | `PF_MEMALLOC_NOIO`                               |

mod bytes;
mod folio;
mod locked;
pub(crate) mod memory;
pub(in crate::linux) mod noio;

pub(crate) use bytes::FolioBytes;
pub(crate) use folio::Folio;
pub(crate) use locked::{LockedFolio, Writeback};
