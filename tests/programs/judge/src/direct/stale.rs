// SPDX-License-Identifier: GPL-2.0

//! On a disk that is slow to write and quick to read: while a direct write is under way, the folio
//! it goes to is read in, another block of it is stored to, and all is written out.

use super::transfer::{open, open_direct, write, BLOCK};
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{ensure, Context, Result};
use clap::Args;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    /// Milliseconds that the disk needs for a write.
    #[arg(long)]
    disk: u64,
}

/// Folios grow as a file is read from its beginning: these blocks are in large ones.
const BLOCKS: usize = 512;
const DIRECT: usize = 405;
const OTHER: usize = 402;

/// What happens to the other block meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    IsRead,
    IsStoredTo,
}

pub fn run(options: &Options) -> Result<()> {
    for other in [Other::IsRead, Other::IsStoredTo] {
        judge(options, other).with_context(|| format!("{other:?}"))?;
    }
    Ok(())
}

fn judge(options: &Options, other: Other) -> Result<()> {
    let path = options.dir.join(format!("stale{other:?}"));
    let file = open(&path)?;
    let direct = open_direct(&path, 0)?;
    let mut wanted = pattern::bytes(1, 1, 0, BLOCKS * BLOCK);
    file.write_all_at(&wanted, 0)?;
    file.sync_all()?;
    settle::evict(&file)?;
    let mapping = Mapping::shared(&file, BLOCKS * BLOCK)?;
    let mut change = |block: usize| {
        let at = block * BLOCK;
        pattern::fill(&mut wanted[at..at + BLOCK], 1, 2, at as u64);
        wanted[at..at + BLOCK].to_vec()
    };
    let room = Mapping::anonymous(BLOCK)?;
    room.store(0, &change(DIRECT));
    let slow = Duration::from_millis(options.disk);
    let begun = Instant::now();
    thread::scope(|scope| {
        let writer = scope.spawn(|| write(&direct, &room, 0, BLOCK, (DIRECT * BLOCK) as u64, 0));
        thread::sleep(slow / 8);
        let mut found = vec![0; BLOCK];
        for block in 0..BLOCKS {
            file.read_exact_at(&mut found, (block * BLOCK) as u64)?;
        }
        if other == Other::IsStoredTo {
            mapping.store(OTHER * BLOCK, &change(OTHER));
        }
        file.sync_data()?;
        let written = writer.join().expect("no thread panics")?;
        ensure!(written == BLOCK, "a short write");
        ensure!(begun.elapsed() >= slow, "the disk is not slow");
        Ok(())
    })?;
    drop(mapping);
    settle::holds("afterwards", &file, &wanted)
}
