//! The lock of an inode is the innermost of this layer.
fn locks() { (Mutex::new((), Rank::Inode), RwLock::new((), Rank::Tree)) }
