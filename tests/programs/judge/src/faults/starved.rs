// SPDX-License-Identifier: GPL-2.0

//! An fsync whose first allocation fails, then its second, and so on: no byte is lost by it.
//!
//! Every other block of a folio is dirty, so that it has bytes in several writes; or some of its blocks
//! are not up to date; or some of its pages are pinned, so that a copy is sent. Bytes that could not be
//! sent still have the space that they were promised.

use crate::mapping::Mapping;
use crate::pin::Pinned;
use crate::{pattern, settle};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::fs::{self, File, OpenOptions};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    /// Allocations at most that are to fail, one at a time.
    #[arg(long, default_value_t = 400)]
    most: u64,
    /// Where the file system counts the writes that it has put off.
    #[arg(long)]
    counters: PathBuf,
}

const BLOCK: usize = 4096;
/// In one folio.
const BLOCKS: usize = 8;
/// This many calls to fsync must do after memory is there again: the first may tell what failed.
const REPEATS: usize = 5;

/// What of the folio is dirty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dirty {
    Even,
    Odd,
    /// The first blocks, and the others were never read: the writer's memory ended.
    Front,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let path = options.dir.join("starved");
    let mut open = OpenOptions::new();
    let file = open.read(true).write(true).create(true).open(&path)?;
    let mut errors = 0;
    let mut copies = Copies {
        counters: &options.counters,
        put_off: 0,
    };
    for number in 1..=options.most {
        let mut failed = false;
        for dirty in [Dirty::Even, Dirty::Odd, Dirty::Front] {
            let wanted = dirty.make(options, &file, number)?;
            let (has_failed, result) = starve(number, || file.sync_all())?;
            failed |= has_failed;
            errors += u64::from(result.is_err());
            let what = format!("{dirty:?}, allocation {number} failed");
            repeat(&file).with_context(|| what.clone())?;
            settle::holds(&what, &file, &wanted)?;
        }
        failed |= copies.starve(&file, number)?;
        if !failed {
            println!(
                "{} allocations failed, {errors} calls with them",
                number - 1
            );
            println!("{} copies put off", copies.put_off);
            ensure!(copies.put_off > 0, "no copy was put off");
            ensure!(number > 10, "an fsync takes more than {number} allocations");
            return Ok(());
        }
    }
    bail!("all {} allocations failed, there may be more", options.most)
}

impl Dirty {
    /// Makes the file dirty; what it must hold.
    fn make(self, options: &Options, file: &File, number: u64) -> Result<Vec<u8>> {
        let mut wanted = one_folio(file, number * 4 + self as u64)?;
        let new = pattern::bytes(2, number, 0, BLOCK * BLOCKS);
        let mut change = |block: usize| {
            let at = block * BLOCK..(block + 1) * BLOCK;
            wanted[at.clone()].copy_from_slice(&new[at.clone()]);
            at
        };
        if self == Self::Front {
            settle::evict(file)?;
            soil_memory(&options.dir.join("soil"))?;
            let memory = Mapping::anonymous(BLOCK * BLOCKS)?;
            memory.store(0, &new);
            memory.forbid(2 * BLOCK, BLOCK * (BLOCKS - 2))?;
            let done = super::copies::write(file, memory.at(0), BLOCK * BLOCKS, 0)?;
            ensure!(done == 2 * BLOCK, "{done} bytes written");
            change(0);
            change(1);
            return Ok(wanted);
        }
        for block in (self as usize..BLOCKS).step_by(2) {
            let at = change(block);
            file.write_all_at(&new[at.clone()], at.start as u64)?;
        }
        Ok(wanted)
    }
}

/// A folio all of which is dirty, and whose first half is pinned.
struct Copies<'a> {
    counters: &'a Path,
    /// Times that its bytes were put off.
    put_off: u64,
}

impl Copies<'_> {
    /// Whether the `number`th allocation failed.
    fn starve(&mut self, file: &File, number: u64) -> Result<bool> {
        let what = format!("a copy, allocation {number} failed");
        one_folio(file, number * 4 + 3)?;
        // What is on disk has let go of what it replaces: from here on only these bytes take space.
        sync_all_files(file)?;
        let mut wanted = pattern::bytes(3, number, 0, BLOCK * BLOCKS);
        let late = pattern::bytes(4, number, 0, BLOCK * BLOCKS / 2);
        let mapping = Mapping::shared(file, BLOCK * BLOCKS)?;
        mapping.store(0, &wanted);
        let pinned = Pinned::begin(&mapping, 0, late.clone())?;
        let before = (Room::of(file)?, count(self.counters)?);
        // An fsync would try again until they are sent.
        let (failed, _) = starve(number, || settle::write_out(file, settle::BEGIN))?;
        let after = (Room::of(file)?, count(self.counters)?);
        if after.1 > before.1 {
            self.put_off += 1;
            ensure!(
                after.0 == before.0,
                "{what}: {:?} free, now {:?}",
                before.0,
                after.0
            );
        }
        repeat(file).with_context(|| what.clone())?;
        pinned.finish()?;
        drop(mapping);
        wanted[..late.len()].copy_from_slice(&late);
        clean(file).with_context(|| what.clone())?;
        settle::holds(&what, file, &wanted)?;
        Ok(failed)
    }
}

/// Writes put off so far.
pub(super) fn count(counters: &Path) -> Result<u64> {
    let all = fs::read_to_string(counters).context("counters")?;
    let number = all
        .lines()
        .find_map(|line| line.strip_prefix("writes_put_off "));
    Ok(number.context("writes_put_off")?.trim().parse()?)
}

/// What statvfs(3) says of a volume, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    /// In no extent and in no zone before what was written there.
    free: u64,
    /// Of that, promised to nobody.
    available: u64,
}

impl Room {
    fn of(file: &File) -> Result<Self> {
        let mut found = MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: a structure as the call wants it, which outlives it, of plain numbers.
        let found = unsafe {
            let result = libc::fstatvfs(file.as_raw_fd(), found.as_mut_ptr());
            ensure!(result == 0, std::io::Error::last_os_error());
            found.assume_init()
        };
        Ok(Self {
            free: found.f_bfree,
            available: found.f_bavail,
        })
    }
}

/// syncfs(2).
fn sync_all_files(file: &File) -> Result<()> {
    // SAFETY: a plain number.
    let result = unsafe { libc::syncfs(file.as_raw_fd()) };
    ensure!(result == 0, std::io::Error::last_os_error());
    Ok(())
}

/// Writes until nothing is dirty: a worker sees to pages that were pinned.
fn clean(file: &File) -> Result<()> {
    for _ in 0..50 {
        file.sync_all()?;
        if settle::cached(file)?.dirty == 0 {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The file is cached as one folio, clean, with bytes that were never there before.
fn one_folio(file: &File, round: u64) -> Result<Vec<u8>> {
    settle::evict(file)?;
    let bytes = pattern::bytes(1, round, 0, BLOCK * BLOCKS);
    file.write_all_at(&bytes, 0)?;
    file.sync_all()?;
    Ok(bytes)
}

/// What the kernel takes next as a folio of that size holds what no file must.
fn soil_memory(path: &Path) -> Result<()> {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?;
    for number in 0..32 {
        file.write_all_at(&[0xa5; BLOCK * BLOCKS], number * (BLOCK * BLOCKS) as u64)?;
    }
    file.sync_all()?;
    settle::evict(&file)?;
    Ok(fs::remove_file(path)?)
}

/// Whether the `number`th allocation of `call` failed, and what the call said.
pub(super) fn starve<T>(number: u64, call: impl FnOnce() -> T) -> Result<(bool, T)> {
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
