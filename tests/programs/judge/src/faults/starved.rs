// SPDX-License-Identifier: GPL-2.0

//! An fsync whose first allocation fails, then its second, and so on: no byte is lost by it.
//!
//! Every other block of a folio is dirty, so that it has bytes in several writes.

use crate::{pattern, settle};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

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

pub fn run(options: &Options) -> Result<()> {
    let path = options.dir.join("starved");
    let mut open = OpenOptions::new();
    let file = open.read(true).write(true).create(true).open(&path)?;
    let mut errors = 0;
    for number in 1..=options.most {
        let mut failed = false;
        for first in [0, 1] {
            let round = number * 2 + first as u64;
            let mut wanted = one_folio(&file, round)?;
            for block in (first..BLOCKS).step_by(2) {
                let bytes = &mut wanted[block * BLOCK..][..BLOCK];
                bytes.fill(round as u8);
                file.write_all_at(bytes, (block * BLOCK) as u64)?;
            }
            let (has_failed, result) = starve(number, || file.sync_all())?;
            failed |= has_failed;
            errors += u64::from(result.is_err());
            let what = format!("allocation {number} failed");
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

/// The file is cached as one folio, clean, with bytes that were never there before.
fn one_folio(file: &File, round: u64) -> Result<Vec<u8>> {
    settle::evict(file)?;
    let bytes = pattern::bytes(1, round, 0, BLOCK * BLOCKS);
    file.write_all_at(&bytes, 0)?;
    file.sync_all()?;
    Ok(bytes)
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
