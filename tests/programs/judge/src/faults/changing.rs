// SPDX-License-Identifier: GPL-2.0

//! Pinned pages whose owner changes them while they are written out.
//!
//! What is on disk after the fsync is one or the other version of each byte, and readable: its
//! checksum is of the bytes that were written.  The disk must be a slow one, so that pages change
//! between the two, and a copy of it be judged before the pages are written again.

use crate::mapping::Mapping;
use crate::pattern;
use crate::pin::Pinned;
use anyhow::{ensure, Context, Result};
use clap::{Args, Subcommand};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand)]
enum Step {
    /// Changes pages under an fsync; the last changes are left dirty.
    Change {
        dir: PathBuf,
        /// Milliseconds from the beginning of the fsync to the change.
        #[arg(long, default_value_t = 400)]
        after: u64,
        /// Pins the pages then, not before the fsync: it takes until they are written.
        #[arg(long)]
        late: bool,
    },
    /// Judges the files in a copy of the disk: of each byte the old or the new version.
    Either { dir: PathBuf },
    /// Judges them in the end: the new version.
    Last { dir: PathBuf },
}

const FILES: u64 = 16;
const SIZE: usize = 1 << 20;

pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.step {
        Step::Change { dir, after, late } => {
            let when = match late {
                false => Pin::Before,
                true => Pin::Meanwhile,
            };
            change(dir, Duration::from_millis(*after), when)
        }
        Step::Either { dir } => judge(dir, &[1, 2]),
        Step::Last { dir } => judge(dir, &[2]),
    }
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("changing{number}"))
}

/// When pages are pinned: before they are written out, or meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pin {
    Before,
    Meanwhile,
}

/// The files' bytes; only their last pages are stored to again once they are pinned.
fn change(dir: &Path, after: Duration, when: Pin) -> Result<()> {
    let mut files = Vec::new();
    for number in 0..FILES {
        let path = path(dir, number);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.write_all_at(&vec![0; SIZE], 0)?;
        let mapping = Mapping::shared(&file, SIZE)?;
        files.push((file, mapping));
    }
    // SAFETY: takes no arguments.
    unsafe { libc::sync() };
    for (number, (_, mapping)) in (0..).zip(&files) {
        mapping.store(0, &pattern::bytes(number, 1, 0, SIZE));
    }
    let pin = || -> Result<Vec<Pinned>> {
        (0..)
            .zip(&files)
            .map(|(number, (_, map))| Pinned::begin(map, 0, pattern::bytes(number, 2, 0, SIZE)))
            .collect()
    };
    let before = match when {
        Pin::Before => Some(pin()?),
        Pin::Meanwhile => None,
    };
    thread::scope(|scope| {
        let syncs: Vec<_> = files
            .iter()
            .map(|(file, _)| scope.spawn(|| file.sync_all().context("fsync")))
            .collect();
        thread::sleep(after);
        let early = syncs.iter().filter(|sync| sync.is_finished()).count();
        let pins = before.map_or_else(pin, Ok)?;
        for pin in pins {
            pin.finish()?;
        }
        for sync in syncs {
            sync.join().expect("no panic")?;
        }
        ensure!(
            early < FILES as usize,
            "the disk is too fast: no page changed while written"
        );
        println!("{early} of {FILES} files were written before their pages changed");
        Ok(())
    })
}

/// Every byte must be readable and of one of the versions.
fn judge(dir: &Path, versions: &[u64]) -> Result<()> {
    for number in 0..FILES {
        let path = path(dir, number);
        let file = File::open(&path)?;
        let mut found = vec![0; SIZE];
        let what = path.display();
        file.read_exact_at(&mut found, 0)
            .with_context(|| format!("{what}: read"))?;
        let wanted: Vec<_> = versions
            .iter()
            .map(|version| pattern::bytes(number, *version, 0, SIZE))
            .collect();
        for (place, byte) in found.iter().enumerate() {
            ensure!(
                wanted.iter().any(|bytes| bytes[place] == *byte),
                "{what}: byte {place} is of neither version: {byte:#04x}"
            );
        }
    }
    println!("{FILES} files of versions {versions:?}");
    Ok(())
}
