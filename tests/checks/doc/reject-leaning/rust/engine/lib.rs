//! What a [`Key`] of a tree is.

/// The same of a key.
pub struct Key;
