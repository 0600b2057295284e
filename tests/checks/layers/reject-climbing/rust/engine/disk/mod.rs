pub struct Key;
use super::super::super::x;
