// SPDX-License-Identifier: GPL-2.0

//! The C declarations: those of the `kernel` crate and, shadowing them, those it
//! leaves out.
//!
//! A type that `kernel::bindings` only declares is complete here; its callbacks
//! still name the opaque one, so a function put into such a table takes
//! `*mut kernel::bindings::X` and casts.

#![allow(
    warnings,
    clippy::all,
    missing_docs,
    non_camel_case_types,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

pub(crate) use kernel::bindings::*;

use kernel::ffi;
use pin_init::{MaybeZeroable, Zeroable};

include!(concat!(
    env!("RBTRFS_OBJ"),
    "/rust/module/linux/bindings_generated.rs"
));
