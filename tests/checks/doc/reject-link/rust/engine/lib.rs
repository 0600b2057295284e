//! What a [`Item`] is.

/// A key.
pub struct Key;
