//! What a [`Key`] of a tree is.

/// The key of an item
pub struct Key;
