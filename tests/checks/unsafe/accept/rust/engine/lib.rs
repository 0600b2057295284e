#![no_std]
#![forbid(unsafe_code)]
//! No unsafe here: only the word.
