// SPDX-License-Identifier: GPL-2.0
//! Reading a tree.
//!
//! | module   | what it has                              |
//! |----------|------------------------------------------|
//! | `search` | the way down, for readers                |
//! | `cursor` | walking a tree for reading               |
//! | `read`   | reading single items, and ranges of them |

pub(super) mod cursor;
mod read;
pub(super) mod search;
