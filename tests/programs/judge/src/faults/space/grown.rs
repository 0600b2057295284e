// SPDX-License-Identifier: GPL-2.0

//! A file is cut in the middle of a folio, stored to through a mapping, and grows again: where
//! nobody wrote it has a hole.

use super::{says, BLOCK};
use crate::faults::emptied;
use crate::mapping::Mapping;
use crate::pattern;
use crate::settle;
use anyhow::{ensure, Context, Result};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Bytes that are written at once, into one folio where the kernel has large ones.
const WHOLE: u64 = 16 * BLOCK;
/// The blocks of the file after the cut.
const LEFT: u64 = 3;
/// And after it grew.
const SIZE: u64 = 15;

/// How the file grows.
#[derive(Clone, Copy, Debug)]
enum Growth {
    Truncate,
    /// By a write to its last block.
    Write,
    DirectWrite,
}

pub(super) fn run(dir: &Path) -> Result<()> {
    let path = dir.join("grown");
    let mut failed = 0;
    for cut in [LEFT * BLOCK, LEFT * BLOCK - 2000] {
        for growth in [Growth::Truncate, Growth::Write, Growth::DirectWrite] {
            for stores in 0..3 {
                if let Err(error) = judge(&path, cut, growth, stores) {
                    println!("cut to {cut}, {stores} stores, {growth:?}: {error:#}");
                    failed += 1;
                }
            }
        }
    }
    fs::remove_file(path)?;
    ensure!(
        failed == 0,
        "{failed} files that grew say that they take more"
    );
    Ok(())
}

fn judge(path: &Path, cut: u64, growth: Growth, stores: u64) -> Result<()> {
    let file = emptied(path)?;
    let mut bytes = pattern::bytes(1, 1, 0, WHOLE as usize);
    file.write_all_at(&bytes, 0)?;
    file.set_len(cut)?;
    bytes.truncate(cut as usize);
    let mapping = Mapping::shared(&file, WHOLE as usize)?;
    for page in 0..stores {
        store(&mapping, &mut bytes, (page * BLOCK) as usize);
    }
    let is_written = !matches!(growth, Growth::Truncate);
    grow(path, &file, growth)?;
    bytes.resize((SIZE * BLOCK) as usize, 0);
    if is_written {
        let last = ((SIZE - 1) * BLOCK) as usize;
        bytes[last..].copy_from_slice(&pattern::bytes(1, 2, last as u64, BLOCK as usize));
    }
    file.sync_all().context("fsync")?;
    let (blocks, parts): (_, &[_]) = match is_written {
        true => (LEFT + 1, &[(0, LEFT), (SIZE - 1, 1)]),
        false => (LEFT, &[(0, LEFT)]),
    };
    says(&file, blocks, SIZE, parts)?;
    pattern::same("in memory", &bytes, &settle::contents(&file)?, 0)?;
    drop(mapping);
    settle::evict(&file)?;
    says(&file, blocks, SIZE, parts).context("when evicted")?;
    pattern::same("on disk", &bytes, &settle::contents(&file)?, 0)
}

fn store(mapping: &Mapping, bytes: &mut [u8], at: usize) {
    let stored = pattern::bytes(1, 3, at as u64, 100);
    mapping.store(at, &stored);
    bytes[at..at + 100].copy_from_slice(&stored);
}

fn grow(path: &Path, file: &File, growth: Growth) -> Result<()> {
    let at = (SIZE - 1) * BLOCK;
    let block = pattern::bytes(1, 2, at, BLOCK as usize);
    match growth {
        Growth::Truncate => file.set_len(SIZE * BLOCK).context("truncate"),
        Growth::Write => file.write_all_at(&block, at).context("write"),
        Growth::DirectWrite => {
            let mut memory = vec![0; 2 * BLOCK as usize];
            let aligned = memory.as_ptr().align_offset(BLOCK as usize);
            let memory = &mut memory[aligned..][..BLOCK as usize];
            memory.copy_from_slice(&block);
            let mut open = OpenOptions::new();
            let direct = open.write(true).custom_flags(libc::O_DIRECT).open(path)?;
            direct.write_all_at(memory, at).context("direct write")
        }
    }
}
