// SPDX-License-Identifier: GPL-2.0

//! On a full volume, what has its space keeps it: a file that was cut and grows needs none for what
//! nobody wrote, and a store to one block needs space for one block.

use super::BLOCK;
use crate::mapping::Mapping;
use crate::pattern;
use crate::settle;
use anyhow::{bail, ensure, Context, Result};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Blocks that are free when all else is full.
const FREE: u64 = 24;
/// Blocks of a file that is one folio, where the kernel has large ones.
const LARGE: u64 = 256;

pub(super) fn run(dir: &Path) -> Result<()> {
    let (cut, large) = (open(&dir.join("full-cut"))?, open(&dir.join("full-large"))?);
    // In memory, dirty, before space is short.
    let stored = one_block(&large)?;
    let spare = open(&dir.join("full-spare"))?;
    spare.write_all_at(&vec![1; (FREE * BLOCK) as usize], 0)?;
    spare.sync_all()?;
    let taken = fill(&open(&dir.join("full-filler"))?, 1 << 20)?;
    println!("{taken} bytes fill the volume");
    drop(spare);
    fs::remove_file(dir.join("full-spare"))?;
    File::open(dir)?.sync_all()?;
    store_one_block(&large, &stored).context("a store to one block")?;
    grow(&cut, &open(&dir.join("full-rest"))?).context("a file that grew")?;
    for name in ["cut", "large", "filler", "rest"] {
        fs::remove_file(dir.join(format!("full-{name}")))?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<File> {
    let mut open = OpenOptions::new();
    open.read(true).write(true).create_new(true);
    open.open(path)
        .with_context(|| format!("{}", path.display()))
}

/// Writes until there is no space, in pieces of `len` bytes and then in blocks; how many bytes found space.
pub(crate) fn fill(file: &File, len: usize) -> Result<u64> {
    let bytes = vec![7; len];
    let mut end = 0;
    for len in [len, BLOCK as usize] {
        loop {
            match file.write_at(&bytes[..len], end) {
                Ok(0) => bail!("nothing was written, and no error"),
                Ok(written) => end += written as u64,
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => break,
                Err(error) => return Err(error).context("filling"),
            }
        }
    }
    Ok(end)
}

/// Leaves one block of a file that was written as a whole.
fn one_block(file: &File) -> Result<Mapping> {
    file.write_all_at(&vec![1; (LARGE * BLOCK) as usize], 0)?;
    file.set_len(BLOCK)?;
    Ok(Mapping::shared(file, BLOCK as usize)?)
}

fn store_one_block(file: &File, mapping: &Mapping) -> Result<()> {
    let bytes = pattern::bytes(1, 1, 0, BLOCK as usize);
    // Without space the program would die here, by SIGBUS.
    mapping.store(0, &bytes);
    file.sync_all().context("fsync")?;
    pattern::same("in memory", &bytes, &settle::contents(file)?, 0)
}

/// What is cut gives its space to `rest`, and gets none back.
fn grow(file: &File, rest: &File) -> Result<()> {
    let mut bytes = pattern::bytes(1, 1, 0, 16 * BLOCK as usize);
    file.write_all_at(&bytes, 0)?;
    file.set_len(3 * BLOCK)?;
    bytes.truncate(3 * BLOCK as usize);
    let mapping = Mapping::shared(file, BLOCK as usize)?;
    let stored = pattern::bytes(1, 2, 0, 100);
    mapping.store(0, &stored);
    bytes[..100].copy_from_slice(&stored);
    file.set_len(15 * BLOCK)?;
    bytes.resize(15 * BLOCK as usize, 0);
    let taken = fill(rest, BLOCK as usize)?;
    println!("then {taken} more");
    ensure!(taken < 2 * FREE * BLOCK, "it was not full");
    file.sync_all().context("fsync")?;
    pattern::same("in memory", &bytes, &settle::contents(file)?, 0)
}
