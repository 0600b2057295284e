#![no_std]
//! No unsafe here: only the word.
