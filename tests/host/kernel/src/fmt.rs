// SPDX-License-Identifier: GPL-2.0
//! Formatting (kernel: `rust/kernel/fmt.rs`).
//!
//! As in the kernel, [`Display`] is not `core`'s. Values that implement it are printed by `pr_err!` and its like and by
//! `f.write_fmt(fmt!("{}", value))`; `write!(f, "{}", value)` takes core's alone.

pub use core::fmt::{Arguments, Debug, Error, Formatter, Result, Write};
use core::fmt::{Binary, LowerExp, LowerHex, Octal, UpperExp, UpperHex};

/// What [`crate::prelude::fmt`] wraps each argument in.
#[doc(hidden)]
pub struct Adapter<T>(pub T);

macro_rules! forward {
    ($($trait:ident),*) => {
        $(impl<T: $trait> $trait for Adapter<T> {
            fn fmt(&self, f: &mut Formatter<'_>) -> Result {
                $trait::fmt(&self.0, f)
            }
        })*
    };
}
forward!(Debug, LowerHex, UpperHex, Octal, Binary, LowerExp, UpperExp);

/// Printing with `{}`.
pub trait Display {
    /// Prints the value.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result;
}

impl<T: ?Sized + Display> Display for &T {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Display::fmt(*self, f)
    }
}

impl<T: ?Sized + Display> core::fmt::Display for Adapter<&T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Display::fmt(self.0, f)
    }
}

macro_rules! display {
    ($($type:ty),*) => {
        $(impl Display for $type {
            fn fmt(&self, f: &mut Formatter<'_>) -> Result {
                core::fmt::Display::fmt(self, f)
            }
        })*
    };
}
display!(
    bool,
    char,
    Arguments<'_>,
    i128,
    i16,
    i32,
    i64,
    i8,
    isize,
    str,
    u128,
    u16,
    u32,
    u64,
    u8,
    usize
);
