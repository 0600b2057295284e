// SPDX-License-Identifier: GPL-2.0

//! One program for each way in which bytes were lost.

pub(crate) mod append;
pub(crate) mod changing;
pub(crate) mod copies;
pub(crate) mod errors;
pub(crate) mod holes;
pub(crate) mod overwrite;
pub(crate) mod partial;
pub(crate) mod pinned;
pub(crate) mod preallocated;
pub(crate) mod put_off;
pub(crate) mod space;
pub(crate) mod starved;
pub(crate) mod truncate;
pub(crate) mod zeroed;

use std::fs::File;
use std::io::Result;
use std::path::Path;

/// An empty file, to be written and read.
fn emptied(path: &Path) -> Result<File> {
    let mut open = File::options();
    open.read(true).write(true).create(true).truncate(true);
    open.open(path)
}
