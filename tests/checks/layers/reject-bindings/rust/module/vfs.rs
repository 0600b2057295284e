use engine::fs::Inode;
use crate::linux;
use crate::linux::{bindings, Folio};
