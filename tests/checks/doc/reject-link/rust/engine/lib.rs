//! What a [`Item`] of a tree is.

/// A key of a tree.
pub struct Key;
