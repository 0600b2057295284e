pub fn cut(len: u64) {}
pub fn grow(start: u64, end: u64) {}
