// SPDX-License-Identifier: GPL-2.0

//! A file that direct requests make longer, many of them under way at once, beside readers and
//! fsync: what was acknowledged is there, and nothing else is found but zeroes.

use super::transfer::{open, open_direct, BLOCK};
use crate::beside::{rounds, Until};
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{ensure, Context, Result};
use clap::Args;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;

#[derive(Args)]
pub(super) struct Options {
    dir: PathBuf,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

const DEPTH: usize = 16;
const LEN: usize = 8 * BLOCK;
/// Requests of a turn, bytes of a line behind them, and the size that ends it.
const REQUESTS: usize = 40;
const LINE: usize = 100;
const MOST: u64 = 64 << 20;

pub(super) fn run(options: &Options) -> Result<()> {
    let path = options.dir.join("grows");
    let (file, direct) = (open(&path)?, open_direct(&path, 0)?);
    let until = Until::seconds(options.seconds);
    let (mut wanted, mut turns) = (Vec::new(), 0);
    thread::scope(|scope| {
        let (file, mut seen) = (&file, 0);
        let beside = vec![
            until.repeat(scope, move || look(file, &mut seen)),
            until.repeat(scope, move || Ok(file.sync_all()?)),
        ];
        let grown = until.repeat(scope, || {
            if wanted.len() as u64 > MOST {
                return Ok(());
            }
            turns += 1;
            grow(file, &direct, &mut wanted)
        });
        rounds(beside)?;
        rounds(vec![grown])
    })?;
    file.sync_all()?;
    println!("{turns} turns, {} bytes", wanted.len());
    ensure!(turns > 1, "too slow to show anything");
    settle::holds("a file that grew", &file, &wanted)
}

/// The size never falls, and a word near it is what belongs there, or not written yet.
fn look(file: &File, seen: &mut u64) -> Result<()> {
    let size = file.metadata()?.len();
    ensure!(size >= *seen, "{size} bytes after {seen}");
    *seen = size;
    let from = size.saturating_sub(4 * LEN as u64) / BLOCK as u64 * BLOCK as u64;
    let mut found = vec![0; (size - from) as usize];
    file.read_exact_at(&mut found, from)?;
    let whole = pattern::bytes(1, 1, from, found.len());
    for (index, (found, wanted)) in found.iter().zip(&whole).enumerate() {
        let at = from + index as u64;
        ensure!(
            found == wanted || *found == 0,
            "byte {at} of {size}: {found:#04x} is of nobody"
        );
    }
    Ok(())
}

/// Requests behind the end, and at last a line by write(2), whose block the next turn leaves cut.
fn grow(file: &File, direct: &File, wanted: &mut Vec<u8>) -> Result<()> {
    wanted.resize(wanted.len().next_multiple_of(BLOCK), 0);
    let start = wanted.len();
    let memory = Mapping::anonymous(DEPTH * LEN)?;
    let mut ring = io_uring::IoUring::new(DEPTH as u32)?;
    let mut free: Vec<usize> = (0..DEPTH).collect();
    let (mut sent, mut done) = (0, 0);
    while done < REQUESTS {
        while sent < REQUESTS {
            let Some(slot) = free.pop() else { break };
            let pos = (start + sent * LEN) as u64;
            memory.store(slot * LEN, &pattern::bytes(1, 1, pos, LEN));
            let fd = io_uring::types::Fd(direct.as_raw_fd());
            let entry = io_uring::opcode::Write::new(fd, memory.at(slot * LEN), LEN as u32)
                .offset(pos)
                .build()
                .user_data((sent * DEPTH + slot) as u64);
            // SAFETY: file and memory outlive the ring's requests, which are all waited for.
            unsafe { ring.submission().push(&entry)? };
            sent += 1;
        }
        ring.submit_and_wait(1)?;
        let entry = ring.completion().next().context("no completion")?;
        ensure!(
            entry.result() == LEN as i32,
            "a request: {}",
            entry.result()
        );
        let (index, slot) = (
            entry.user_data() as usize / DEPTH,
            entry.user_data() as usize % DEPTH,
        );
        acknowledged(file, (start + index * LEN) as u64)?;
        free.push(slot);
        done += 1;
    }
    wanted.extend(pattern::bytes(1, 1, start as u64, REQUESTS * LEN));
    let line = pattern::bytes(1, 1, wanted.len() as u64, LINE);
    file.write_all_at(&line, wanted.len() as u64)?;
    wanted.extend(line);
    Ok(())
}

/// The bytes of a request that is done can be read.
fn acknowledged(file: &File, pos: u64) -> Result<()> {
    let mut found = vec![0; LEN];
    file.read_exact_at(&mut found, pos)
        .context("what was acknowledged")?;
    pattern::same(
        "what was acknowledged",
        &pattern::bytes(1, 1, pos, LEN),
        &found,
        pos,
    )
}
