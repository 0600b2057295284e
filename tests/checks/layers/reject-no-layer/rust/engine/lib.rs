pub mod disk;
pub mod fs;
mod util;
