//! What a [`Key`] of a tree is.


pub struct Key;
