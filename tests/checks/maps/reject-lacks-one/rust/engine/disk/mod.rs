//! The format.

mod key;
