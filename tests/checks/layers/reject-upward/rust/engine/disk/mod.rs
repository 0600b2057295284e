pub struct Key;
use crate::{fs::Inode};
