// SPDX-License-Identifier: GPL-2.0

//! On a disk that is slow to write and quick to read: while a direct write is under way, the folio
//! it goes to is read in, another block of it is stored to or written, and all is written out.

use super::engine::{By, Engine, Request, Way};
use super::transfer::{open, open_direct, BLOCK};
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

#[derive(Args)]
pub(super) struct Options {
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
/// The write must still be under way when the other block has changed; on a busy machine it may not be.
const ATTEMPTS: u32 = 10;

/// What happens to the other block meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OtherBlock {
    Read,
    Written,
    StoredTo,
}

#[derive(PartialEq, Eq)]
enum Meanwhile {
    UnderWay,
    Ended,
}

pub(super) fn run(options: &Options) -> Result<()> {
    for other in [OtherBlock::Read, OtherBlock::Written, OtherBlock::StoredTo] {
        judge(options, other).with_context(|| format!("{other:?}"))?;
    }
    Ok(())
}

fn judge(options: &Options, other: OtherBlock) -> Result<()> {
    let path = options.dir.join(format!("stale{other:?}"));
    let file = open(&path)?;
    let direct = open_direct(&path, 0)?;
    for attempt in 1..=ATTEMPTS {
        let mut wanted = pattern::bytes(1, 1, 0, BLOCKS * BLOCK);
        file.write_all_at(&wanted, 0)?;
        file.sync_all()?;
        settle::evict(&file)?;
        let meanwhile = beside(options, other, &file, &direct, &mut wanted)?;
        settle::holds("afterwards", &file, &wanted)?;
        if meanwhile == Meanwhile::UnderWay {
            println!("{other:?}: seen in attempt {attempt}");
            return Ok(());
        }
    }
    bail!("the write was over in all of {ATTEMPTS} attempts")
}

/// Writes directly, and does to the other block what `other` says before that is done. Reading stops before the block that
/// is written: it must wait.
fn beside(
    options: &Options,
    other: OtherBlock,
    file: &File,
    direct: &File,
    wanted: &mut [u8],
) -> Result<Meanwhile> {
    let mapping = Mapping::shared(file, BLOCKS * BLOCK)?;
    let room = Mapping::anonymous(BLOCK)?;
    room.store(0, &change(wanted, DIRECT));
    let request = Request::new(Way::Write, DIRECT * BLOCK, vec![(0, BLOCK)]);
    thread::scope(|scope| {
        // The inode's lock is not held by requests that go on.
        let writer = scope.spawn(|| Engine::new(By::Ring, &room)?.one(direct, &request));
        thread::sleep(Duration::from_millis(options.disk / 8));
        let mut found = vec![0; BLOCK];
        for block in 0..DIRECT {
            file.read_exact_at(&mut found, (block * BLOCK) as u64)?;
        }
        if other == OtherBlock::Written {
            file.write_all_at(&change(wanted, OTHER), (OTHER * BLOCK) as u64)?;
        }
        let meanwhile = match writer.is_finished() {
            true => Meanwhile::Ended,
            false => Meanwhile::UnderWay,
        };
        if other == OtherBlock::StoredTo {
            // The page is not there before all of its folio is.
            mapping.store(OTHER * BLOCK, &change(wanted, OTHER));
        }
        file.sync_data()?;
        let written = writer.join().expect("no thread panics")??;
        ensure!(written == BLOCK, "a short write");
        Ok(meanwhile)
    })
}

/// New bytes for a block.
fn change(wanted: &mut [u8], block: usize) -> Vec<u8> {
    let at = block * BLOCK;
    pattern::fill(&mut wanted[at..at + BLOCK], 1, 2, at as u64);
    wanted[at..at + BLOCK].to_vec()
}
