//! Lock order: inodes, then trees.
fn locks() { (Mutex::new((), Rank::Inode), RwLock::new((), Rank::Tree)) }
