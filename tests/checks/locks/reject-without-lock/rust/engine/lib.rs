//! Lock order: `Inode` > `Tree`.
fn locks() { (Mutex::new((), Rank::Inode), RwLock::new((), Rank::Inode)) }
