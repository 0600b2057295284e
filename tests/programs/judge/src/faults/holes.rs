// SPDX-License-Identifier: GPL-2.0

//! Holes are punched into files, and ranges zeroed, in every place of what may be large folios, from dirty, written and
//! cold pages, with stores to a mapping before and after: no race, every combination. What is in no hole is there, and a
//! hole takes no space; what is zeroed has all its space where there is such a thing.

use super::emptied;
use crate::mapping::Mapping;
use crate::pattern;
use crate::settle::{self, Settle};
use anyhow::{ensure, Context, Result};
use clap::Args;
use std::fs::File;
use std::io::Error;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    /// A range that is zeroed has all its space, as on ordinary disks.
    #[arg(long)]
    zeroed_is_given: bool,
}

/// Before the hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Dirty,
    Written,
    /// Written, and read again from the disk, a byte here and there.
    Cold,
    /// Written, then stored to through a mapping, whose pages are still writable.
    Stored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Punch,
    ZeroKeepingSize,
    Zero,
}

/// After it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Nothing,
    /// A store right before the hole.
    StoreBefore,
    /// A store into the hole, where the file has it.
    StoreInside,
    /// A write across the beginning of the hole.
    Write,
    /// A second hole across the end of the first.
    Again,
}

#[derive(Debug)]
struct Case {
    size: usize,
    hole: (usize, usize),
    call: Call,
    after: After,
}

const BLOCK: usize = 4096;
const SIZES: [usize; 4] = [1000, 12 << 10, 64 << 10, (1 << 20) + 123];

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in SIZES {
        let third = size / 3;
        for hole in [
            (third, third + 10),
            (third & !(BLOCK - 1), (2 * third).next_multiple_of(BLOCK)),
            (third | 1, (2 * third) | 1),
            (0, third),
            (third, size),
            (third, size + 10_000),
            (0, size),
        ] {
            for call in [Call::Punch, Call::ZeroKeepingSize, Call::Zero] {
                for after in [
                    After::Nothing,
                    After::StoreBefore,
                    After::StoreInside,
                    After::Write,
                    After::Again,
                ] {
                    if call == Call::ZeroKeepingSize && after != After::Nothing {
                        continue;
                    }
                    cases.push(Case {
                        size,
                        hole,
                        call,
                        after,
                    });
                }
            }
        }
    }
    cases
}

pub(crate) fn run(options: &Options) -> Result<()> {
    long_hole(&options.dir.join("long"))?;
    let cases = cases();
    let mut failed = 0;
    for before in [Before::Dirty, Before::Written, Before::Cold, Before::Stored] {
        for some in cases.chunks(60) {
            failed += run_some(options, before, some)?;
        }
    }
    ensure!(failed == 0, "{failed} of {} cases failed", 4 * cases.len());
    println!("{} cases", 4 * cases.len());
    Ok(())
}

/// A hole over many extents, which no one step takes out.
fn long_hole(path: &Path) -> Result<()> {
    const EXTENTS: usize = 600;
    let case = Case {
        size: (2 * EXTENTS - 1) * BLOCK,
        hole: (0, 0),
        call: Call::Punch,
        after: After::Nothing,
    };
    let mut known = Known::sparse(path, &case, false)?;
    for extent in 0..EXTENTS {
        known.write(2 * extent * BLOCK, BLOCK)?;
    }
    known.file.sync_all().context("fsync")?;
    known.hole(Call::Punch, (BLOCK, case.size - BLOCK))?;
    known.file.sync_all().context("fsync")?;
    known.takes_no_more(&case)?;
    settle::holds("a long hole", &known.file, &known.bytes)
}

/// The number of cases that failed.
fn run_some(options: &Options, before: Before, cases: &[Case]) -> Result<usize> {
    let mut failed = 0;
    let mut tell = |case: &Case, result: Result<()>| {
        if let Err(error) = result {
            failed += 1;
            println!("{before:?} {case:?}: {error:#}");
        }
    };
    let mut files = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let path = options.dir.join(format!("hole{number}"));
        let gives = options.zeroed_is_given && case.call != Call::Punch;
        files.push((case, Known::new(&path, case, gives)?));
    }
    let Some((_, first)) = files.first() else {
        return Ok(0);
    };
    if before != Before::Dirty {
        Settle::Sync.settle(&first.file, &first.mapping)?;
    }
    if before == Before::Cold {
        settle::drop_caches()?;
    }
    for (case, known) in &mut files {
        tell(case, known.act(case, before));
    }
    if let Some((_, known)) = files.first() {
        Settle::Sync.settle(&known.file, &known.mapping)?;
    }
    for (case, known) in &files {
        tell(case, known.takes_no_more(case));
        known.file.sync_all().context("fsync")?;
    }
    settle::drop_caches()?;
    for (case, known) in &files {
        let on_disk = settle::contents(&known.file)
            .and_then(|found| pattern::same("on disk", &known.bytes, &found, 0));
        tell(case, on_disk);
    }
    Ok(failed)
}

/// A file whose contents are known.
struct Known {
    file: File,
    mapping: Mapping,
    bytes: Vec<u8>,
    version: u64,
    /// Which blocks were given up and not written since.
    holes: Vec<bool>,
    /// What is made zeroes is given all its space.
    gives: bool,
}

impl Known {
    fn new(path: &Path, case: &Case, gives: bool) -> Result<Self> {
        let mut known = Self::sparse(path, case, gives)?;
        known.write(0, case.size)?;
        Ok(known)
    }

    fn sparse(path: &Path, case: &Case, gives: bool) -> Result<Self> {
        let file = emptied(path)?;
        let mapping = Mapping::shared(&file, case.size)?;
        Ok(Self {
            file,
            mapping,
            bytes: Vec::new(),
            version: 0,
            holes: Vec::new(),
            gives,
        })
    }

    fn act(&mut self, case: &Case, before: Before) -> Result<()> {
        match before {
            Before::Dirty | Before::Written => {}
            Before::Cold => {
                self.mapping.load(case.hole.0, 1);
                self.mapping.load(case.size - 1, 1);
            }
            Before::Stored => {
                self.store(0, 10);
                self.store(case.size / 2, 10);
                self.store(case.size - 10, 10);
            }
        }
        self.hole(case.call, case.hole)?;
        let (begin, end) = case.hole;
        match case.after {
            After::Nothing => {}
            After::StoreBefore if begin > 0 => self.store(begin - 1, 1),
            After::StoreInside => self.store(begin, (end.min(case.size) - begin).min(100)),
            After::StoreBefore => {}
            After::Write => self.write(begin.saturating_sub(50), 100)?,
            After::Again => self.hole(case.call, (end - 5, end + 5000))?,
        }
        let loaded = self.mapping.load(0, case.size);
        pattern::same("mapped", &self.bytes[..case.size], &loaded, 0)?;
        pattern::same("read", &self.bytes, &settle::contents(&self.file)?, 0)
    }

    fn hole(&mut self, call: Call, (begin, end): (usize, usize)) -> Result<()> {
        let mode = match call {
            Call::Punch => libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
            Call::ZeroKeepingSize => libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE,
            Call::Zero => libc::FALLOC_FL_ZERO_RANGE,
        };
        let (fd, at, len) = (self.file.as_raw_fd(), begin as i64, (end - begin) as i64);
        // SAFETY: plain numbers.
        if unsafe { libc::fallocate(fd, mode, at, len) } != 0 {
            return Err(Error::last_os_error()).context("fallocate");
        }
        if call == Call::Zero && end > self.bytes.len() {
            self.bytes.resize(end, 0);
            let blocks = self.holes.len().max(end.div_ceil(BLOCK));
            self.holes.resize(blocks, true);
        }
        let size = self.bytes.len();
        let inside = end.min(size).max(begin.min(size));
        self.bytes[begin.min(size)..inside].fill(0);
        if self.gives {
            let last = end.div_ceil(BLOCK);
            self.holes.resize(self.holes.len().max(last), true);
            self.holes[begin / BLOCK..last].fill(false);
            return Ok(());
        }
        let last = match end >= size {
            true => self.holes.len(),
            false => end / BLOCK,
        };
        for block in begin.div_ceil(BLOCK)..last {
            self.holes[block] = true;
        }
        Ok(())
    }

    fn write(&mut self, offset: usize, len: usize) -> Result<()> {
        self.version += 1;
        let bytes = pattern::bytes(1, self.version, offset as u64, len);
        self.file
            .write_all_at(&bytes, offset as u64)
            .context("write")?;
        self.put(offset, &bytes);
        Ok(())
    }

    fn store(&mut self, offset: usize, len: usize) {
        self.version += 1;
        let bytes = pattern::bytes(1, self.version, offset as u64, len);
        self.mapping.store(offset, &bytes);
        self.put(offset, &bytes);
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[offset..end].copy_from_slice(bytes);
        let blocks = self.bytes.len().div_ceil(BLOCK);
        self.holes.resize(self.holes.len().max(blocks), true);
        self.holes[offset / BLOCK..end.div_ceil(BLOCK)].fill(false);
    }

    /// The file takes no space for its holes. A store may give space to all of a folio.
    fn takes_no_more(&self, case: &Case) -> Result<()> {
        let is_small = self.bytes.len() <= 2048;
        if is_small || matches!(case.after, After::StoreBefore | After::StoreInside) {
            return Ok(());
        }
        let wanted = self.holes.iter().filter(|is_hole| !**is_hole).count() * BLOCK;
        let found = self.file.metadata()?.blocks() as usize * 512;
        // A file that was small when it was written has its bytes in the tree.
        ensure!(
            found == wanted || case.size <= 2048 && found < BLOCK,
            "it takes {found} bytes, not {wanted}"
        );
        Ok(())
    }
}
