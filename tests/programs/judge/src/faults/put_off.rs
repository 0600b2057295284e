// SPDX-License-Identifier: GPL-2.0

//! An fsync beside somebody whose writeback of the same folios runs out of memory: when it says that all is on
//! disk, nothing is dirty.

use super::starved::{count, starve};
use crate::beside::Until;
use crate::{pattern, settle};
use anyhow::{ensure, Context, Result};
use clap::Args;
use std::fs::File;
use std::hint;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Where the file system counts the writes that it has put off.
    #[arg(long)]
    counters: PathBuf,
}

const BLOCK: usize = 4096;
/// Folios of one block each, which go out as one write: the first are in hand for a while before it is sent.
const BLOCKS: usize = 64;
/// Which allocation fails, at most: a write of so few bytes takes no more. Every other round takes one that has put bytes off before.
const LAST: u64 = 12;

pub(crate) fn run(options: &Options) -> Result<()> {
    let file = super::emptied(&options.dir.join("put_off"))?;
    let until = Until::seconds(options.seconds);
    let (before, mut round) = (count(&options.counters)?, 0);
    let mut works: Vec<u64> = Vec::new();
    while until.goes_on() {
        let wanted = dirty(&file, round)?;
        let what = format!("round {round}");
        let turn = (round / 2) as usize;
        let number = match works.len() {
            known if known > 0 && round % 2 == 1 => works[turn % known],
            _ => 1 + turn as u64 % LAST,
        };
        let put_off = count(&options.counters)?;
        sync_beside(&file, number).with_context(|| what.clone())?;
        if count(&options.counters)? > put_off && !works.contains(&number) {
            works.push(number);
        }
        let left = settle::cached(&file)?.dirty;
        ensure!(left == 0, "{what}: fsync went well, {left} pages are dirty");
        if round % 64 == 0 {
            settle::holds(&what, &file, &wanted)?;
        }
        round += 1;
    }
    let put_off = count(&options.counters)? - before;
    println!("{round} rounds, {put_off} writes put off");
    ensure!(put_off > 0, "nothing was put off");
    Ok(())
}

/// All blocks dirty, each in a folio of its own.
fn dirty(file: &File, round: u64) -> Result<Vec<u8>> {
    let bytes = pattern::bytes(5, round, 0, BLOCK * BLOCKS);
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        file.write_all_at(block, (index * BLOCK) as u64)?;
    }
    Ok(bytes)
}

/// An fsync while another task, whose `number`th allocation fails, has folios in hand to write them out.
fn sync_beside(file: &File, number: u64) -> Result<()> {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let result = starve(number, || settle::write_out(file, settle::BEGIN));
            is_done.store(true, Ordering::Release);
            result
        });
        while !is_done.load(Ordering::Acquire) && settle::cached(file)?.writeback == 0 {
            hint::spin_loop();
        }
        let synced = file.sync_all();
        // It may fail: it was told that it cannot have memory.
        let _ = other.join().expect("no thread panics")?;
        Ok(synced?)
    })
}
