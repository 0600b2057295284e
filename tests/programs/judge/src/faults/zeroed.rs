// SPDX-License-Identifier: GPL-2.0

//! On a full volume, a file that is zeroed while somebody stores to it keeps its space, whether the call is refused or not.

use super::emptied;
use super::space::when_full::fill;
use crate::mapping::Mapping;
use anyhow::{ensure, Context, Result};
use clap::Args;
use rand::RngExt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    #[arg(long, default_value_t = 150)]
    rounds: usize,
}

const BLOCK: usize = 4096;
const LEN: usize = 64 * BLOCK;

pub(crate) fn run(options: &Options) -> Result<()> {
    let (given, rest) = (options.dir.join("given"), options.dir.join("rest"));
    allocate(&emptied(&given)?, 0)?;
    let taken = fill(&emptied(&options.dir.join("filler"))?, 1 << 20)?;
    println!("{taken} bytes fill the volume");
    let mut refused = 0;
    for round in 0..options.rounds {
        give_back(&options.dir, &[&given, &rest])?;
        let file = emptied(&given)?;
        allocate(&file, 0)?;
        let rest = emptied(&rest)?;
        let end = fill(&rest, BLOCK)?;
        let zeroed = zero_beside(&file, &rest, end)?;
        refused += usize::from(zeroed.is_err());
        let left = file.metadata()?.blocks() * 512;
        ensure!(
            left == LEN as u64,
            "round {round}: {left} bytes after {zeroed:?}"
        );
    }
    println!("{refused} of {} calls were refused", options.rounds);
    Ok(())
}

fn give_back(dir: &Path, paths: &[&Path]) -> Result<()> {
    for path in paths.iter().filter(|path| path.exists()) {
        fs::remove_file(path)?;
    }
    Ok(File::open(dir)?.sync_all()?)
}

fn allocate(file: &File, mode: i32) -> Result<()> {
    // SAFETY: plain numbers.
    let result = unsafe { libc::fallocate(file.as_raw_fd(), mode, 0, LEN as libc::off_t) };
    ensure!(result == 0, "fallocate: {}", io::Error::last_os_error());
    Ok(())
}

/// Zeroes all of `file` beside one store to it, and beside somebody who takes what comes free, behind `end` of `rest`.
fn zero_beside(file: &File, rest: &File, end: u64) -> Result<Result<()>> {
    let mapping = Mapping::shared(file, LEN)?;
    let (from, mut to) = UnixStream::pair()?;
    to.write_all(&[1; 8])?;
    let (delay, block) = {
        let mut random = rand::rng();
        (
            random.random_range(0..3000),
            random.random_range(0..LEN / BLOCK),
        )
    };
    let is_done = AtomicBool::new(false);
    let zeroed = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_micros(delay));
            let at = mapping.at(block * BLOCK).cast();
            // SAFETY: inside the mapping, which nobody borrows. There may be no space for it: the kernel stores, and says so.
            unsafe { libc::read(from.as_raw_fd(), at, 8) };
        });
        scope.spawn(|| {
            let mut end = end;
            while !is_done.load(Ordering::Relaxed) {
                end += rest.write_at(&[1; BLOCK], end).unwrap_or(0) as u64;
            }
        });
        let zeroed = allocate(file, libc::FALLOC_FL_ZERO_RANGE);
        is_done.store(true, Ordering::Relaxed);
        zeroed
    });
    file.sync_all().context("fsync")?;
    Ok(zeroed)
}
