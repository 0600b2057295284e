//! What a [`Key`] is.


pub struct Key;
