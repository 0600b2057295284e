// SPDX-License-Identifier: GPL-2.0
//! A stand-in for the kernel's crate `kernel`: the part of it that the engine uses, with the same names and signatures,
//! over std.
//!
//! What the tests need beyond the kernel's interface: [`alloc::inject`] makes allocations fail, [`print::Capture`]
//! collects the log.

// As the kernel's own: `Arc<T>` and `KBox<T>` coerce to `dyn` and serve as method receivers.
#![feature(
    btree_cursors,
    coerce_unsized,
    dispatch_from_dyn,
    legacy_receiver_trait,
    unsize
)]

pub mod alloc;
pub mod build_assert;
pub mod error;
pub mod fmt;
pub mod init;
pub mod prelude;
pub mod print;
pub mod rbtree;
pub mod sync;
