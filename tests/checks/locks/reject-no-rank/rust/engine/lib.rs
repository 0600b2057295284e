//! Lock order: `Inode` > `Gate`.
fn locks() { (Mutex::new((), Rank::Inode), RwLock::new((), Rank::Tree)) }
