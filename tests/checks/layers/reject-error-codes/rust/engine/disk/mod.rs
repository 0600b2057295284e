pub struct Key;
use kernel::error::{code, code::EIO};
