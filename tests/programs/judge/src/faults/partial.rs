// SPDX-License-Identifier: GPL-2.0

//! Blocks filled piece by piece while they are written out and evicted all the time: a piece that
//! is written may cost no other piece of its block.

use super::emptied;
use crate::beside::{rounds, Until};
use crate::{pattern, settle};
use anyhow::{Context, Result};
use clap::Args;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Tasks that write pieces, each into blocks of its own.
    #[arg(long, default_value_t = 2)]
    tasks: u64,
    /// Tasks that write out and evict.
    #[arg(long, default_value_t = 2)]
    evictors: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const BLOCK: u64 = 4096;
/// Blocks of a file that is filled: then the next is begun.
const BLOCKS: u64 = 256;

pub(crate) fn run(options: &Options) -> Result<()> {
    let until = Until::seconds(options.seconds);
    let files = thread::scope(|scope| {
        let tasks: Vec<_> = (0..options.tasks)
            .map(|task| {
                let (until, mut number) = (&until, 0);
                until.repeat(scope, move || {
                    number += 1;
                    fill_file(options, task, number)
                })
            })
            .collect();
        rounds(tasks)
    })?;
    println!("{files} files filled piece by piece");
    Ok(())
}

/// One sparse file: random pieces of its blocks are written, some of them, until it is judged.
fn fill_file(options: &Options, task: u64, number: u64) -> Result<()> {
    let path = options.dir.join(format!("pieces{task}"));
    let file = emptied(&path)?;
    file.set_len(BLOCKS * BLOCK)?;
    let mut wanted = vec![0; (BLOCKS * BLOCK) as usize];
    let until = Until::seconds(600);
    thread::scope(|scope| {
        let evictors: Vec<_> = (0..options.evictors)
            .map(|_| until.repeat(scope, || evict(&file)))
            .collect();
        let mut random = SmallRng::seed_from_u64(options.seed + number * 1000 + task);
        let result = write_pieces(&file, &mut wanted, &mut random);
        until.stop();
        rounds(evictors)?;
        result
    })?;
    file.sync_all().context("fsync")?;
    settle::forget(&file, 0, 0);
    let found = settle::contents(&file)?;
    pattern::same(
        &format!("{}, file {number}", path.display()),
        &wanted,
        &found,
        0,
    )
}

fn evict(file: &File) -> Result<()> {
    settle::write_out(file, settle::FINISH).context("sync_file_range")?;
    settle::forget(file, 0, 0);
    Ok(())
}

/// Goes through the blocks in a random order; each gets some pieces, one after another.
fn write_pieces(file: &File, wanted: &mut [u8], random: &mut SmallRng) -> Result<()> {
    for _ in 0..BLOCKS / 2 {
        let block = random.random_range(0..BLOCKS);
        let len = random.random_range(20..400);
        let version = random.random_range(1..1000);
        for piece in 0..BLOCK / len {
            if random.random_ratio(1, 4) {
                continue;
            }
            let offset = block * BLOCK + piece * len;
            let bytes = pattern::bytes(1, version, offset, len as usize);
            file.write_all_at(&bytes, offset).context("write")?;
            wanted[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
    }
    Ok(())
}
