// SPDX-License-Identifier: GPL-2.0
//! `kernel::prelude::fmt!`: `format_args!` with every argument wrapped in `kernel::fmt::Adapter`. The file `fmt.rs` is the
//! kernel's own, `rust/macros/fmt.rs`, unchanged; `scripts/check crates` compares them.

mod fmt;

/// `format_args!` for types that implement `kernel::fmt::Display`.
#[proc_macro]
pub fn fmt(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    fmt::fmt(input.into()).into()
}
