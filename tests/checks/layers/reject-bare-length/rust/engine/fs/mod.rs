use crate::disk::Key;
pub struct Inode(Key);
impl Inode {
    pub fn cut(&self, patience: Patience, len: u64) {}
}
