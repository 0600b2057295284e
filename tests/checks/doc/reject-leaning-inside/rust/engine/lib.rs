//! What a [`Key`] of a tree is.

/// The page is there. Else an error is.
pub struct Key;
