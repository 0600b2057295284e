// SPDX-License-Identifier: GPL-2.0
//! Handles, which the layers above hold while they change trees, and what stands behind them.
//!
//! | module     | what it has                                                                      |
//! |------------|----------------------------------------------------------------------------------|
//! | `leaving`  | removed chunks whose device ranges are not free yet, and all ranges that are not |
//! | `core`     | what all handles of a mounted volume share                                       |
//! | `context`  | a transaction as the trees see it                                                |
//! | `run_refs` | running delayed references: from the queue to the trees                          |
//! | `handle`   | [`Handle`](handle::Handle): the right to change trees                            |
//! | `alone`    | whether a data extent is one file's alone                                        |
//!
//! Each uses only those above it.

pub(super) mod alone;
pub(super) mod context;
pub(super) mod core;
pub(super) mod handle;
pub(super) mod leaving;
pub(super) mod run_refs;
