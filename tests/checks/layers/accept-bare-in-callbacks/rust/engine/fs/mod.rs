use crate::disk::Key;
pub struct Inode(Key);
