use crate::disk::Key;
pub struct Inode(Key);
impl Inode {
    pub fn cut(&self, devid: u64, offset: u64) {}
}
