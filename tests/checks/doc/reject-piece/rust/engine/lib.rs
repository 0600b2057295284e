//! What a [`Key`] of a tree is.

/// To the end of it.
pub struct Key;
