//! What a [`Key`] is.

/// A key.
pub struct Key;
