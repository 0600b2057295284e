// SPDX-License-Identifier: GPL-2.0

//! An fsync whose first allocation fails, then its second, and so on: no byte is lost by it.
//!
//! Every other block of a folio is dirty, so that it has bytes in several writes; or some of its blocks
//! are not up to date.

use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    /// Allocations at most that are to fail, one at a time.
    #[arg(long, default_value_t = 400)]
    most: u64,
}

const BLOCK: usize = 4096;
/// In one folio.
const BLOCKS: usize = 8;
/// This many calls to fsync must do after memory is there again: the first may tell what failed.
const REPEATS: usize = 5;

/// What of the folio is dirty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dirty {
    Even,
    Odd,
    /// The first blocks, and the others were never read: the writer's memory ended.
    Front,
}

pub fn run(options: &Options) -> Result<()> {
    let path = options.dir.join("starved");
    let mut open = OpenOptions::new();
    let file = open.read(true).write(true).create(true).open(&path)?;
    let mut errors = 0;
    for number in 1..=options.most {
        let mut failed = false;
        for dirty in [Dirty::Even, Dirty::Odd, Dirty::Front] {
            let wanted = dirty.make(options, &file, number)?;
            let (has_failed, result) = starve(number, || file.sync_all())?;
            failed |= has_failed;
            errors += u64::from(result.is_err());
            let what = format!("{dirty:?}, allocation {number} failed");
            repeat(&file).with_context(|| what.clone())?;
            settle::holds(&what, &file, &wanted)?;
        }
        if !failed {
            println!(
                "{} allocations failed, {errors} calls with them",
                number - 1
            );
            ensure!(number > 10, "an fsync takes more than {number} allocations");
            return Ok(());
        }
    }
    bail!("all {} allocations failed, there may be more", options.most)
}

impl Dirty {
    /// Makes the file dirty; what it must hold.
    fn make(self, options: &Options, file: &File, number: u64) -> Result<Vec<u8>> {
        let mut wanted = one_folio(file, number * 4 + self as u64)?;
        let new = pattern::bytes(2, number, 0, BLOCK * BLOCKS);
        let mut change = |block: usize| {
            let at = block * BLOCK..(block + 1) * BLOCK;
            wanted[at.clone()].copy_from_slice(&new[at.clone()]);
            at
        };
        if self == Self::Front {
            settle::evict(file)?;
            soil_memory(&options.dir.join("soil"))?;
            let memory = Mapping::anonymous(BLOCK * BLOCKS)?;
            memory.store(0, &new);
            memory.forbid(2 * BLOCK, BLOCK * (BLOCKS - 2))?;
            let done = super::copies::write(file, memory.at(0), BLOCK * BLOCKS, 0)?;
            ensure!(done == 2 * BLOCK, "{done} bytes written");
            change(0);
            change(1);
            return Ok(wanted);
        }
        for block in (self as usize..BLOCKS).step_by(2) {
            let at = change(block);
            file.write_all_at(&new[at.clone()], at.start as u64)?;
        }
        Ok(wanted)
    }
}

/// The file is cached as one folio, clean, with bytes that were never there before.
fn one_folio(file: &File, round: u64) -> Result<Vec<u8>> {
    settle::evict(file)?;
    let bytes = pattern::bytes(1, round, 0, BLOCK * BLOCKS);
    file.write_all_at(&bytes, 0)?;
    file.sync_all()?;
    Ok(bytes)
}

/// What the kernel takes next as a folio of that size holds what no file must.
fn soil_memory(path: &Path) -> Result<()> {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?;
    for number in 0..32 {
        file.write_all_at(&[0xa5; BLOCK * BLOCKS], number * (BLOCK * BLOCKS) as u64)?;
    }
    file.sync_all()?;
    settle::evict(&file)?;
    Ok(fs::remove_file(path)?)
}

/// Whether the `number`th allocation of `call` failed, and what the call said.
fn starve<T>(number: u64, call: impl FnOnce() -> T) -> Result<(bool, T)> {
    let knob = "/proc/thread-self/fail-nth";
    fs::write(knob, number.to_string()).context(knob)?;
    let result = call();
    let left = fs::read_to_string(knob).context(knob)?;
    fs::write(knob, "0").context(knob)?;
    Ok((left.trim() == "0", result))
}

fn repeat(file: &File) -> Result<()> {
    let mut last = file.sync_all();
    for _ in 1..REPEATS {
        if last.is_ok() {
            break;
        }
        last = file.sync_all();
    }
    Ok(last?)
}
