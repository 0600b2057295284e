pub mod disk;
pub mod fs;
pub use fs::Inode;
