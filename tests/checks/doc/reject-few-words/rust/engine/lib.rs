//! What a [`Key`] of a tree is.

/// Keys.
pub struct Key;
