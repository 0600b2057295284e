pub struct Inode;
impl Inode {
    pub fn cut(&self, len: u64) {}
}
pub struct Directory;
impl Directory {
    pub fn cut(&self, len: u64) {}
}
