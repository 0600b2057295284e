pub(crate) mod bindings;
pub(crate) mod loff;
unsafe extern "C" fn fallocate(pos: i64, len: bindings::loff_t) -> i32 {}
pub(crate) fn settle(inode: &Inode, start: bindings::loff_t, end: i64) {}
