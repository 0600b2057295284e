//! What a [`Key`] of a tree is.

/// So many pages of a file are ..
pub struct Key;
