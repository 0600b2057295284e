pub struct Key;
use kernel::{prelude::*, str};
