// SPDX-License-Identifier: GPL-2.0

//! Blocks appended by many tasks at once, directly by write(2) and by io_uring, and through the page
//! cache: none is lost and none stands twice.

use super::transfer::{open, open_append, open_direct, write, BLOCK};
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::collections::HashSet;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::thread;

#[derive(Args)]
pub(super) struct Options {
    dir: PathBuf,
    #[arg(long, default_value_t = 6)]
    tasks: u64,
    /// Blocks of each.
    #[arg(long, default_value_t = 100)]
    blocks: u64,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let path = options.dir.join("appended");
    // Not the first block: all begin behind a piece of one.
    open(&path)?.set_len(0)?;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..options.tasks)
            .map(|task| {
                let path = &path;
                scope.spawn(move || {
                    let direct = open_direct(path, libc::O_APPEND)?;
                    match task % 3 {
                        0 => by_write(&direct, task, options.blocks),
                        1 => by_ring(&direct, task, options.blocks),
                        _ => by_write(&open_append(path)?, task, options.blocks),
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    let file = open(&path)?;
    file.sync_all()?;
    settle::evict(&file)?;
    judge(&settle::contents(&file)?, options)
}

fn by_write(file: &File, task: u64, blocks: u64) -> Result<()> {
    let memory = Mapping::anonymous(BLOCK)?;
    for number in 0..blocks {
        memory.store(0, &pattern::bytes(task, number + 1, 0, BLOCK));
        let done = write(file, &memory, 0, BLOCK, 0, 0).context("write")?;
        ensure!(done == BLOCK, "{done} bytes");
    }
    Ok(())
}

fn by_ring(file: &File, task: u64, blocks: u64) -> Result<()> {
    const DEPTH: u64 = 8;
    let mut ring = io_uring::IoUring::new(DEPTH as u32)?;
    let memory = Mapping::anonymous(DEPTH as usize * BLOCK)?;
    for first in (0..blocks).step_by(DEPTH as usize) {
        let numbers = first..(first + DEPTH).min(blocks);
        for number in numbers.clone() {
            let at = (number % DEPTH) as usize * BLOCK;
            memory.store(at, &pattern::bytes(task, number + 1, 0, BLOCK));
            let fd = io_uring::types::Fd(file.as_raw_fd());
            let entry = io_uring::opcode::Write::new(fd, memory.at(at), BLOCK as u32)
                .offset(0)
                .build();
            // SAFETY: file and memory outlive the ring's requests, which are all waited for.
            unsafe { ring.submission().push(&entry)? };
        }
        let count = numbers.count();
        ring.submit_and_wait(count)?;
        let results: Vec<_> = ring.completion().map(|entry| entry.result()).collect();
        ensure!(
            results.len() == count,
            "{} of {count} completions",
            results.len()
        );
        ensure!(
            results.iter().all(|result| *result == BLOCK as i32),
            "{results:?}"
        );
    }
    Ok(())
}

fn judge(bytes: &[u8], options: &Options) -> Result<()> {
    let all: HashSet<_> = (0..options.tasks)
        .flat_map(|task| (0..options.blocks).map(move |number| (task, number + 1)))
        .collect();
    let mut missing = all;
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        let word = u64::from_be_bytes(block[..8].try_into()?);
        let (task, version) = (word >> 56, word >> 32 & 0xff_ffff);
        if !missing.remove(&(task, version)) {
            bail!("block {index} ({task}, {version}) stands twice, or is of nobody");
        }
        pattern::same("block", &pattern::bytes(task, version, 0, BLOCK), block, 0)?;
    }
    ensure!(missing.is_empty(), "{} blocks are lost", missing.len());
    println!("{} blocks", bytes.len() / BLOCK);
    Ok(())
}
