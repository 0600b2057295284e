//! Knows nothing of the crate engine: a comment that says engine::fs is no use of it.
pub(crate) mod bindings;
unsafe extern "C" fn write_range(pos: u64, len: u32) -> i32 {}
pub(crate) fn count(of: fn(u64) -> u64, number: u64) {}
