pub(crate) const fn position(pos: loff_t) -> FileOffset {}
