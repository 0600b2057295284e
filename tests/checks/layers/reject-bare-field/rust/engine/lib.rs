pub mod disk;
pub mod fs;
