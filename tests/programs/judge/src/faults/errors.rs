// SPDX-License-Identifier: GPL-2.0

//! A device that fails in the middle of what the page cache is written out to. What is lost is what the log names, and no
//! more; whoever has the file open is told once; and all is well when the device is.

use crate::device::Device;
use crate::mapping::Mapping;
use crate::pin::Pinned;
use crate::{pattern, settle};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::fs::{self, File, OpenOptions};
use std::io::Error;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct Options {
    dir: PathBuf,
    #[command(flatten)]
    device: Device,
    /// The log need not name what is lost: that of C btrfs does not.
    #[arg(long)]
    untold: bool,
    /// The file system gives no space before it is written.
    #[arg(long)]
    no_given: bool,
    /// No more is lost than the bad blocks.
    #[arg(long)]
    exact: bool,
}

const SIZE: usize = 4 << 20;
const BLOCK: usize = 4096;
const PIECE: usize = 64 << 10;

/// How many lines of errors the log takes in [`WINDOW`]: all others are left out.
const LINES: usize = 100;
const WINDOW: Duration = Duration::from_millis(5500);
/// More than a case has.
const LINES_OF_CASE: usize = 48;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Write,
    Store,
}

/// What is there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Old {
    Data,
    Hole,
    /// Space that was given and not written.
    Given,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    All,
    /// Every second piece.
    Pieces,
}

impl Layout {
    fn has(self, at: usize) -> bool {
        self == Self::All || at / PIECE % 2 == 0
    }

    fn ranges(self) -> Vec<Range<usize>> {
        let pieces = (0..SIZE).step_by(PIECE).filter(|&at| self.has(at));
        pieces.map(|at| at..at + PIECE).collect()
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let (mut lost, mut kept, mut lines) = (0, 0, 0);
    for how in [How::Write, How::Store] {
        for old in [Old::Data, Old::Hole, Old::Given] {
            if old == Old::Given && options.no_given {
                continue;
            }
            for layout in [Layout::All, Layout::Pieces] {
                if lines < LINES_OF_CASE {
                    thread::sleep(WINDOW);
                    lines = LINES;
                }
                let name = format!("errors-{how:?}-{old:?}-{layout:?}");
                let case = Case::new(options, options.dir.join(&name), how, old, layout);
                let case = case.and_then(|case| case.run()).context(name.clone())?;
                println!("{name}: {} blocks lost, {} kept", case.lost, case.kept);
                lost += case.lost;
                kept += case.kept;
                lines -= case.lines.min(lines);
            }
        }
    }
    ensure!(lost > 0 && kept > 0, "{lost} blocks lost, {kept} kept");
    // C btrfs sends what is pinned as it is.
    if !options.untold {
        thread::sleep(WINDOW);
        pinned(options).context("errors-pinned")?;
    }
    Ok(())
}

/// What is pinned is sent as a copy and stays dirty: of what was lost then nothing is in the end.
fn pinned(options: &Options) -> Result<()> {
    let path = options.dir.join("errors-pinned");
    let case = Case::new(options, path, How::Store, Old::Hole, Layout::All)?;
    let mapping = Mapping::shared(&case.file, SIZE)?;
    case.write(2)?;
    let lines = case.lines()?.len();
    let last = pattern::bytes(1, 3, 0, SIZE);
    let pinned = Pinned::begin(&mapping, 0, last.clone())?;
    options.device.spoil()?;
    let first = case.file.sync_all();
    options.device.mend()?;
    let told = case.lines()?.split_off(lines);
    println!("errors-pinned: {} blocks lost", told.len());
    ensure!(first.is_err() && !told.is_empty(), "{first:?}");
    case.is_no_more(&told)?;
    pinned.finish()?;
    drop(mapping);
    case.file.sync_all().context("on a device that works")?;
    settle::holds("in the end", &case.file, &last)?;
    Ok(fs::remove_file(&case.path)?)
}

/// What came of a case.
struct Told {
    /// Blocks that were lost.
    lost: usize,
    /// Blocks that were written and kept.
    kept: usize,
    /// What the log had of them.
    lines: usize,
}

struct Case<'a> {
    options: &'a Options,
    path: PathBuf,
    file: File,
    how: How,
    old: Vec<u8>,
    layout: Layout,
}

impl<'a> Case<'a> {
    fn new(
        options: &'a Options,
        path: PathBuf,
        how: How,
        old: Old,
        layout: Layout,
    ) -> Result<Self> {
        let file = open(&path)?;
        file.set_len(SIZE as u64)?;
        let mut bytes = vec![0; SIZE];
        match old {
            Old::Data => {
                bytes = pattern::bytes(1, 1, 0, SIZE);
                file.write_all_at(&bytes, 0)?;
            }
            Old::Hole => {}
            Old::Given => allocate(&file)?,
        }
        let old = bytes;
        file.sync_all()?;
        Ok(Self {
            options,
            path,
            file,
            how,
            old,
            layout,
        })
    }

    fn run(&self) -> Result<Told> {
        let other = open(&self.path)?;
        let lines = self.lines()?.len();
        self.write(2)?;
        self.options.device.spoil()?;
        let first = self.file.sync_all();
        self.options.device.mend()?;
        let told = self.lines()?.split_off(lines);
        is_told_once(first, &self.file).context("who wrote")?;
        is_told_once(other.sync_all(), &other).context("who had it open")?;
        open(&self.path)?.sync_all().context("who came later")?;
        let (lost, kept) = self.judge(&told)?;
        self.write(3)?;
        self.file.sync_all().context("on a device that works")?;
        let mut wanted = self.old.clone();
        for range in self.layout.ranges() {
            pattern::fill(&mut wanted[range.clone()], 1, 3, range.start as u64);
        }
        settle::holds("in the end", &self.file, &wanted)?;
        fs::remove_file(&self.path)?;
        let lines = told.len();
        Ok(Told { lost, kept, lines })
    }

    fn write(&self, version: u64) -> Result<()> {
        let mapping = Mapping::shared(&self.file, SIZE)?;
        for range in self.layout.ranges() {
            let bytes = pattern::bytes(1, version, range.start as u64, range.len());
            match self.how {
                How::Write => self.file.write_all_at(&bytes, range.start as u64)?,
                How::Store => mapping.store(range.start, &bytes),
            }
        }
        Ok(())
    }

    /// What is on the disk: old where the log says so, new elsewhere.
    fn judge(&self, told: &[Range<usize>]) -> Result<(usize, usize)> {
        settle::evict(&self.file)?;
        let found = settle::contents(&self.file)?;
        let (mut lost, mut kept) = (0, 0);
        for (index, found) in found.chunks(BLOCK).enumerate() {
            let at = index * BLOCK;
            let old = &self.old[at..at + BLOCK];
            if !self.layout.has(at) {
                pattern::same("not written", old, found, at as u64)?;
                continue;
            }
            let new = pattern::bytes(1, 2, at as u64, BLOCK);
            let is_old = match self.options.untold {
                true => found == old,
                false => told.iter().any(|range| range.contains(&at)),
            };
            let wanted = if is_old { old } else { &new };
            pattern::same(
                if is_old { "lost" } else { "kept" },
                wanted,
                found,
                at as u64,
            )?;
            lost += usize::from(is_old);
            kept += usize::from(!is_old);
        }
        self.is_no_more(told)?;
        for (index, range) in told.iter().enumerate() {
            let twice = told[..index].iter().any(|it| it.contains(&range.start));
            ensure!(!twice, "told twice of byte {}", range.start);
        }
        Ok((lost, kept))
    }

    /// No more is lost than the bad blocks, which are far from one another.
    fn is_no_more(&self, told: &[Range<usize>]) -> Result<()> {
        let more = told.iter().find(|range| range.len() != BLOCK);
        ensure!(
            more.is_none() || !self.options.exact,
            "{more:?} is lost with a block"
        );
        Ok(())
    }

    /// What the log says that could not be written of this file.
    fn lines(&self) -> Result<Vec<Range<usize>>> {
        let ino = format!("inode {} of", self.file.metadata()?.ino());
        let log = Command::new("dmesg").output()?.stdout;
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines = log
            .lines()
            .filter(|line| line.contains("could not be written: EIO") && line.contains(&ino));
        lines
            .map(|line| range_of(line).with_context(|| line.to_string()))
            .collect()
    }
}

fn allocate(file: &File) -> Result<()> {
    // SAFETY: The descriptor is open.
    let result = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, SIZE as i64) };
    ensure!(result == 0, "fallocate: {}", Error::last_os_error());
    Ok(())
}

/// `... bytes FIRST to END could ...`
fn range_of(line: &str) -> Option<Range<usize>> {
    let (_, rest) = line.split_once(": bytes ")?;
    let mut words = rest.split(' ');
    let first = words.next()?.parse().ok()?;
    Some(first..words.nth(1)?.parse().ok()?)
}

fn open(path: &Path) -> Result<File> {
    let mut open = OpenOptions::new();
    open.read(true).write(true).create(true).truncate(false);
    Ok(open.open(path)?)
}

/// `EIO`, and no more of it.
fn is_told_once(first: std::io::Result<()>, file: &File) -> Result<()> {
    match first {
        Err(error) if error.raw_os_error() == Some(libc::EIO) => {}
        other => bail!("{other:?} for bytes that are lost"),
    }
    file.sync_all().context("told twice")
}
