use crate::disk::Key;
pub struct Inode(Key);
mod names; mod links;
mod more;
