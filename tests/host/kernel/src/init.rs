// SPDX-License-Identifier: GPL-2.0
//! What of `pin_init` gets in the way: its trait in the prelude is implemented by every type, so that `a.chain(b)` is
//! ambiguous for iterators. Write `Iterator::chain(a, b)`.

/// Makes a `T` in place (kernel: `pin_init::Init`).
pub trait Init<T: ?Sized>: Sized {
    /// Never called here.
    fn chain<F>(self, _: F) {}
}

impl<T> Init<T> for T {}
