//! The format; `key` has the keys, the only module here.

mod key;
