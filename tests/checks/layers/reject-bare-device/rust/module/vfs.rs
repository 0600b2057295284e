use engine::fs::Inode;
use crate::linux;
