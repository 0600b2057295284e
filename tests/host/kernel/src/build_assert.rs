// SPDX-License-Identifier: GPL-2.0
//! Assertions at build time (kernel: `rust/kernel/build_assert.rs`).

/// Asserts a constant expression.
#[macro_export]
macro_rules! static_assert {
    ($condition:expr $(,$arg:literal)?) => {
        const _: () = ::core::assert!($condition $(,$arg)?);
    };
}

/// Asserts a constant expression that may name generics.
#[macro_export]
macro_rules! const_assert {
    ($condition:expr $(,$arg:literal)?) => {
        const { ::core::assert!($condition $(,$arg)?) };
    };
}

pub use crate::{const_assert, static_assert};
