// SPDX-License-Identifier: GPL-2.0
//! What kernel code has in scope (kernel: `rust/kernel/prelude.rs`).

pub use core::{
    mem::{align_of, align_of_val, size_of, size_of_val},
    pin::Pin,
};

pub use crate::init::Init;
pub use crate::{
    alloc::{flags::*, Box, KBox, KVBox, KVVec, KVec, VBox, VVec, Vec},
    build_assert::{const_assert, static_assert},
    error::{code::*, Error, Result},
    pr_alert, pr_crit, pr_debug, pr_emerg, pr_err, pr_info, pr_notice, pr_warn,
};
pub use kernel_macros::fmt;
pub use zerocopy::{FromBytes, IntoBytes};
pub use zerocopy_derive::{FromBytes, IntoBytes};
