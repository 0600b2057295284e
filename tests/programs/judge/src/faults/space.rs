// SPDX-License-Identifier: GPL-2.0

//! What a file says of the space it takes, and of where its bytes are, right after it was
//! written: sparse copies and archives leave out what is said to be empty.

use crate::beside::Until;
use crate::pattern;
use crate::settle::{self, Settle};
use anyhow::{ensure, Context, Result};
use clap::Args;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::thread;

mod grown;
pub(crate) mod when_full;

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    /// For cutting a file that is written out meanwhile.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Fills the volume, and asks only what must work on a full one.
    #[arg(long)]
    full: bool,
}

const BLOCK: u64 = 4096;

/// What was written, in blocks: begin and count.
type Parts = &'static [(u64, u64)];

const CASES: [(&str, u64, Parts); 5] = [
    ("full", 175, &[(0, 175)]),
    ("sparse", 25_000, &[(1220, 1)]),
    ("ends", 2000, &[(0, 3), (1997, 3)]),
    (
        "comb",
        640,
        &[(0, 16), (64, 16), (200, 1), (202, 1), (400, 100)],
    ),
    ("empty", 512, &[]),
];

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.full {
        return when_full::run(&options.dir);
    }
    let mut failed = 0;
    for (name, size, parts) in CASES {
        if let Err(error) = judge(options, name, size, parts) {
            println!("{name}: {error:#}");
            failed += 1;
        }
    }
    ensure!(failed == 0, "{failed} of {} cases failed", CASES.len());
    grown::run(&options.dir)?;
    cut_beside(options)
}

/// A file that is cut to nothing takes no space, even where its end is written out and evicted before the cut gets there.
fn cut_beside(options: &Options) -> Result<()> {
    let file = File::create_new(options.dir.join("cut"))?;
    let until = Until::seconds(options.seconds);
    let mut cuts = 0;
    while until.goes_on() {
        // One by one: many folios.
        for block in 0..1000 {
            file.write_all_at(&[1; BLOCK as usize], block * BLOCK)?;
        }
        thread::scope(|scope| {
            let cut = scope.spawn(|| file.set_len(0));
            while !cut.is_finished() {
                if file.metadata()?.len() == 0 {
                    // Writes out what is there first.
                    settle::forget(&file, 900 * BLOCK, 100 * BLOCK);
                }
            }
            cut.join().expect("no thread panics")
        })?;
        file.set_len(1000 * BLOCK)?;
        says(&file, 0, 1000, &[]).with_context(|| format!("after {cuts} cuts"))?;
        cuts += 1;
    }
    println!("cut {cuts} times while written out");
    Ok(())
}

fn judge(options: &Options, name: &str, size: u64, parts: Parts) -> Result<()> {
    let path = options.dir.join(name);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    file.set_len(size * BLOCK)?;
    for (begin, count) in parts {
        let bytes = pattern::bytes(1, 1, begin * BLOCK, (count * BLOCK) as usize);
        file.write_all_at(&bytes, begin * BLOCK)?;
    }
    let all: u64 = parts.iter().map(|(_, count)| count).sum();
    says(&file, all, size, parts).context("just written")?;
    file.sync_all().context("fsync")?;
    says(&file, all, size, parts).context("after fsync")?;
    settle::evict(&file)?;
    says(&file, all, size, parts).context("when evicted")?;
    if let Some((begin, _)) = parts.first() {
        file.write_all_at(&pattern::bytes(1, 2, begin * BLOCK, 100), begin * BLOCK)?;
        says(&file, all, size, parts).context("written over")?;
    }
    let mapping = crate::mapping::Mapping::shared(&file, BLOCK as usize)?;
    Settle::Sync.settle(&file, &mapping)?;
    says(&file, all, size, parts).context("after sync")?;
    drop(file);
    settle::drop_caches()?;
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    says(&file, all, size, parts).context("opened again")?;
    file.set_len(0)?;
    says(&file, 0, 0, &[]).context("cut to nothing")?;
    file.write_all_at(&[1; 5 * BLOCK as usize], 0)?;
    says(&file, 5, 5, &[(0, 5)]).context("written anew")?;
    Ok(())
}

/// The file says that it takes `blocks`, and has bytes just where they are.
fn says(file: &File, blocks: u64, size: u64, parts: &[(u64, u64)]) -> Result<()> {
    let sectors = file.metadata()?.blocks();
    ensure!(
        sectors == blocks * 8,
        "st_blocks is {sectors}, not {}",
        blocks * 8
    );
    let mut place = 0;
    for (begin, count) in parts {
        finds(file, place, libc::SEEK_DATA, Some(begin * BLOCK))?;
        place = (begin + count) * BLOCK;
        finds(file, begin * BLOCK, libc::SEEK_HOLE, Some(place))?;
    }
    if place < size * BLOCK {
        finds(file, place, libc::SEEK_DATA, None)?;
    }
    Ok(())
}

fn finds(file: &File, from: u64, whence: i32, wanted: Option<u64>) -> Result<()> {
    // SAFETY: plain numbers.
    let found = unsafe { libc::lseek(file.as_raw_fd(), from as i64, whence) };
    let what = if whence == libc::SEEK_DATA {
        "data"
    } else {
        "a hole"
    };
    match (u64::try_from(found), wanted) {
        (Ok(found), Some(wanted)) if found == wanted => Ok(()),
        (Err(_), None) if io::Error::last_os_error().raw_os_error() == Some(libc::ENXIO) => Ok(()),
        _ => anyhow::bail!("{what} from {from} on is found at {found}, not at {wanted:?}"),
    }
}
