// SPDX-License-Identifier: GPL-2.0

//! Buffers whose owner stores to them all the time, as virtual machines do.
//!
//! A read is no error for it, and leaves the right bytes once nobody stores any more. A write
//! puts some version of each byte on the disk, with the checksum of that version.

use super::transfer::{open_direct, read, write, BLOCK};
use crate::beside::{rounds, Until};
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{ensure, Context, Result};
use clap::Args;
use std::path::PathBuf;
use std::thread;

#[derive(Args)]
pub(super) struct Options {
    dir: PathBuf,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

const SIZE: usize = 4 << 20;
const LENGTHS: [usize; 5] = [BLOCK, 4 * BLOCK, 16 * BLOCK, 64 * BLOCK, LONGEST];
const LONGEST: usize = 256 * BLOCK;

pub(super) fn run(options: &Options) -> Result<()> {
    reads(options)?;
    writes(options)
}

fn reads(options: &Options) -> Result<()> {
    let file = open_direct(&options.dir.join("scribbled-read"), 0)?;
    let source = Mapping::anonymous(SIZE)?;
    let wanted = pattern::bytes(1, 1, 0, SIZE);
    source.store(0, &wanted);
    write(&file, &source, 0, SIZE, 0, 0)?;
    let memory = Mapping::anonymous(SIZE)?;
    let until = Until::seconds(options.seconds);
    let reads = thread::scope(|scope| {
        let scribblers = [until.repeat(scope, || scribble(&memory))];
        let (mut turn, file, memory) = (0, &file, &memory);
        let reader = until.repeat(scope, move || {
            let len = LENGTHS[turn % LENGTHS.len()];
            let pos = (turn * 7 * len) % (SIZE - len + 1) / BLOCK * BLOCK;
            turn += 1;
            let done = read(file, memory, 0, len, pos as u64, 0)
                .with_context(|| format!("{len} bytes at {pos}"))?;
            ensure!(done == len, "{done} of {len} bytes at {pos}");
            Ok(())
        });
        let reads = rounds([reader])?;
        rounds(scribblers)?;
        anyhow::Ok(reads)
    })?;
    ensure!(read(&file, &memory, 0, SIZE, 0, 0)? == SIZE, "a short read");
    pattern::same("after scribbling", &wanted, &memory.load(0, SIZE), 0)?;
    println!("{reads} reads into memory that changed");
    Ok(())
}

/// A word here and there.
fn scribble(memory: &Mapping) -> Result<()> {
    for offset in (0..LONGEST).step_by(BLOCK / 2) {
        memory.store(offset + 8, &[0x5a; 16]);
    }
    Ok(())
}

fn writes(options: &Options) -> Result<()> {
    let file = open_direct(&options.dir.join("scribbled-write"), 0)?;
    let memory = Mapping::anonymous(SIZE)?;
    let until = Until::seconds(options.seconds);
    let (mut turn, mut value) = (0, 0u8);
    let writes = thread::scope(|scope| {
        let scribbler = until.repeat(scope, || {
            value = value.wrapping_add(1);
            for offset in (0..SIZE).step_by(64) {
                memory.store(offset, &[value; 8]);
            }
            Ok(())
        });
        let writer = until.repeat(scope, || {
            let len = LENGTHS[turn % LENGTHS.len()];
            let pos = (turn * 5 * len) % (SIZE - len + 1) / BLOCK * BLOCK;
            turn += 1;
            let done = write(&file, &memory, pos, len, pos as u64, 0)
                .with_context(|| format!("{len} bytes at {pos}"))?;
            ensure!(done == len, "{done} of {len} bytes written at {pos}");
            Ok(())
        });
        let writes = rounds([writer])?;
        rounds([scribbler])?;
        anyhow::Ok(writes)
    })?;
    settle::evict(&file)?;
    let size = file.metadata()?.len() as usize;
    let done = read(&file, &memory, 0, SIZE, 0, 0).context("after scribbling")?;
    ensure!(done == size, "{done} of {size} bytes");
    println!("{writes} writes from memory that changed");
    Ok(())
}
