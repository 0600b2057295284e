//! Lock order: `Tree` > `Inode`.
fn locks() { (Mutex::new((), Rank::Inode), RwLock::new((), Rank::Tree)) }
