use crate::disk::Key;
pub struct Inode(Key);
fn raw() -> crate::disk::RawKey {}
