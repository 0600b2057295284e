// SPDX-License-Identifier: GPL-2.0

//! Direct reads and writes that are under way all the time, while others freeze, unmount and remount: no request fails,
//! and each read finds what was written last; every other batch of writes is to be durable. Whoever is killed in the middle leaves blocks that are whole.

use super::engine::{By, Durability, Engine, Request, Way};
use super::transfer::{open, open_direct, BLOCK};
use crate::beside::Until;
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{ensure, Context, Result};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Options {
    dir: PathBuf,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    #[arg(long, default_value = "ring")]
    by: By,
    #[arg(long, default_value = "mixed")]
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Writes, and reads of what was written.
    Mixed,
    /// Reads alone, of a file that is open for no more.
    Reads,
    /// Judges what somebody left who was killed.
    Whole,
}

const BATCH: usize = 8;
const LEN: usize = 16 * BLOCK;
const PLACES: usize = 64;
const SIZE: usize = PLACES * LEN;

pub(super) fn run(options: &Options) -> Result<()> {
    let path = options.dir.join(format!("stream-{:?}", options.by));
    match options.mode {
        Mode::Mixed => mixed(options, &path),
        Mode::Reads => reads(options, &path),
        Mode::Whole => whole(&path),
    }
}

fn batch(way: Way, round: u64) -> Vec<Request> {
    let first = round as usize * 5;
    (0..BATCH)
        .map(|number| {
            Request::new(
                way,
                (first + number * 3) % PLACES * LEN,
                vec![(number * LEN, LEN)],
            )
        })
        .collect()
}

fn all_done(results: Vec<std::io::Result<usize>>) -> Result<()> {
    for result in results {
        ensure!(result? == LEN, "a short count");
    }
    Ok(())
}

fn mixed(options: &Options, path: &Path) -> Result<()> {
    let (file, direct) = (open(path)?, open_direct(path, 0)?);
    file.set_len(0)?;
    file.set_len(SIZE as u64)?;
    let memory = Mapping::anonymous(BATCH * LEN)?;
    let mut engine = Engine::new(options.by, &memory)?;
    let mut versions = vec![0u64; PLACES];
    let until = Until::seconds(options.seconds);
    let mut round = 0;
    while until.goes_on() {
        round += 1;
        let mut writes = batch(Way::Write, round);
        if round % 2 == 0 {
            writes = writes
                .into_iter()
                .map(|it| it.durable(Durability::RwfDsync))
                .collect();
        }
        for write in &writes {
            let bytes = pattern::bytes(1, round, write.pos, LEN);
            memory.store(write.pieces[0].0, &bytes);
            versions[write.pos as usize / LEN] = round;
        }
        all_done(engine.run(&direct, &writes)?).context("a write")?;
        let reads = batch(Way::Read, round * 7);
        all_done(engine.run(&direct, &reads)?).context("a read")?;
        for read in &reads {
            let found = memory.load(read.pieces[0].0, LEN);
            let wanted = wanted(&versions, read.pos as usize / LEN);
            pattern::same("read", &wanted, &found, read.pos)?;
        }
    }
    file.sync_all()?;
    settle::evict(&file)?;
    let wanted: Vec<u8> = (0..PLACES)
        .flat_map(|place| wanted(&versions, place))
        .collect();
    pattern::same("in the end", &wanted, &settle::contents(&file)?, 0)?;
    println!("{round} rounds");
    Ok(())
}

fn wanted(versions: &[u64], place: usize) -> Vec<u8> {
    match versions[place] {
        0 => vec![0; LEN],
        version => pattern::bytes(1, version, (place * LEN) as u64, LEN),
    }
}

fn reads(options: &Options, path: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let direct = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)?;
    let bytes = std::fs::read(path)?;
    let memory = Mapping::anonymous(BATCH * LEN)?;
    let mut engine = Engine::new(options.by, &memory)?;
    let until = Until::seconds(options.seconds);
    let mut round = 0;
    while until.goes_on() {
        round += 1;
        let reads = batch(Way::Read, round);
        all_done(engine.run(&direct, &reads)?)?;
        for read in &reads {
            let (pos, found) = (read.pos as usize, memory.load(read.pieces[0].0, LEN));
            pattern::same("read", &bytes[pos..pos + LEN], &found, read.pos)?;
        }
    }
    println!("{round} rounds of reads");
    Ok(())
}

fn whole(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path)?;
    ensure!(bytes.len() == SIZE, "{} bytes", bytes.len());
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        let pos = (number * BLOCK) as u64;
        let word = u64::from_be_bytes(block[..8].try_into()?);
        let wanted = match word {
            0 => vec![0; BLOCK],
            word => pattern::bytes(1, word >> 32 & 0xff_ffff, pos, BLOCK),
        };
        pattern::same("block", &wanted, block, pos)?;
    }
    println!("every block is whole");
    Ok(())
}
