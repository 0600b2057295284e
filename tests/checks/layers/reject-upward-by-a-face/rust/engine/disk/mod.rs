pub struct Key;
fn inode() -> crate::Inode {}
