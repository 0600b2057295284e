use crate::disk::Key;
pub struct Inode {
    key: Key,
    sector: u64,
}
