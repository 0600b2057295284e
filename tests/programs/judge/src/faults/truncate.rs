// SPDX-License-Identifier: GPL-2.0

//! A file is cut in the middle of what may be one large folio and grows again, before or after
//! it was written out, with and without stores to a mapping between: no race, every combination.

use super::emptied;
use crate::mapping::Mapping;
use crate::pattern;
use crate::settle::{self, Settle};
use anyhow::{Context, Result};
use clap::Args;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    /// Who brings the bytes to the disk.
    #[arg(long, value_enum, default_values = ["fsync"])]
    settle: Vec<Settle>,
}

/// Before the cut.
#[derive(Clone, Copy, Debug)]
enum Before {
    Dirty,
    Written,
    /// Written, and read again from the disk.
    Cold,
}

/// Between the cut and growth: a store to the mapping.
#[derive(Clone, Copy, Debug)]
enum Store {
    Nowhere,
    First,
    /// In the block with the end of the file.
    Last,
}

/// How the file grows again.
#[derive(Clone, Copy, Debug)]
enum Growth {
    /// It does not.
    No,
    Truncate,
    /// A write where it ended before, which leaves a hole.
    WriteAtEnd,
    /// A write right behind the cut.
    Append,
    /// By truncation, then a store to the mapping in what was added.
    TruncateAndStore,
}

const SIZES: [usize; 3] = [12 << 10, 64 << 10, 1 << 20];
/// Files that are made before any of them is settled.
const BATCH: usize = 45;

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut cases = Vec::new();
    for size in SIZES {
        for cut in [100, size / 3 + 7, (size / 2) & !4095] {
            for before in [Before::Dirty, Before::Written, Before::Cold] {
                for store in [Store::Nowhere, Store::First, Store::Last] {
                    for growth in growths() {
                        cases.push(Case {
                            size,
                            cut,
                            before,
                            store,
                            growth,
                        });
                    }
                }
            }
        }
    }
    let mut failed = 0;
    for settle in &options.settle {
        failed += run_all(options, *settle, &cases)?;
    }
    anyhow::ensure!(
        failed == 0,
        "{failed} of {} cases failed",
        cases.len() * options.settle.len()
    );
    println!("{} cases", cases.len() * options.settle.len());
    Ok(())
}

fn growths() -> [Growth; 5] {
    [
        Growth::No,
        Growth::Truncate,
        Growth::WriteAtEnd,
        Growth::Append,
        Growth::TruncateAndStore,
    ]
}

#[derive(Debug)]
struct Case {
    size: usize,
    cut: usize,
    before: Before,
    store: Store,
    growth: Growth,
}

/// A file whose contents are known.
struct Known {
    file: File,
    mapping: Mapping,
    bytes: Vec<u8>,
    version: u64,
}

/// Files that are made, settled and judged together.
struct Batch<'a> {
    settle: Settle,
    files: Vec<(&'a Case, Known)>,
    /// Cases that failed in some step.
    failed: usize,
}

impl<'a> Batch<'a> {
    fn make(dir: &Path, settle: Settle, cases: &'a [Case]) -> Result<Self> {
        let mut files = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            files.push((case, Known::new(&dir.join(format!("cut{number}")), case)?));
        }
        Ok(Self {
            settle,
            files,
            failed: 0,
        })
    }

    /// Takes every file a step further; those that fail are told and left behind.
    fn step(&mut self, mut step: impl FnMut(&Case, &mut Known) -> Result<()>) {
        let settle = self.settle;
        self.files
            .retain_mut(|(case, known)| match step(case, known) {
                Ok(()) => true,
                Err(error) => {
                    self.failed += 1;
                    println!("{case:?} {settle:?}: {error:#}");
                    false
                }
            });
    }

    /// What settles all files at once is done for one of them.
    fn settle(&mut self) {
        let settle = self.settle;
        let mut turns = match settle {
            Settle::Sync | Settle::Flusher | Settle::Pressure => 1,
            Settle::Fsync | Settle::Fdatasync | Settle::Msync => usize::MAX,
        };
        self.step(|_, known| {
            if turns == 0 {
                return Ok(());
            }
            turns -= 1;
            settle.settle(&known.file, &known.mapping)
        });
    }
}

/// The number of cases that failed.  All is settled twice: an error is told only once.
fn run_all(options: &Options, settle: Settle, cases: &[Case]) -> Result<usize> {
    let mut failed = 0;
    for cases in cases.chunks(BATCH) {
        let mut batch = Batch::make(&options.dir, settle, cases)?;
        batch.step(|case, known| known.run(case));
        batch.settle();
        batch.step(|_, known| known.write_again());
        batch.settle();
        settle::drop_caches()?;
        batch.step(|_, known| known.judge());
        failed += batch.failed;
    }
    Ok(failed)
}

impl Known {
    fn new(path: &Path, case: &Case) -> Result<Self> {
        let file = emptied(path)?;
        let mapping = Mapping::shared(&file, case.size)?;
        let bytes = Vec::new();
        Ok(Self {
            file,
            mapping,
            bytes,
            version: 0,
        })
    }

    fn run(&mut self, case: &Case) -> Result<()> {
        self.write(0, case.size)?;
        match case.before {
            Before::Dirty => {}
            Before::Written => self.file.sync_all().context("the first fsync")?,
            Before::Cold => {
                self.file.sync_all().context("the first fsync")?;
                settle::forget(&self.file, 0, 0);
                settle::contents(&self.file)?;
            }
        }
        self.truncate(case.cut)?;
        match case.store {
            Store::Nowhere => {}
            Store::First => self.store(0, 10),
            Store::Last => self.store(case.cut - 20, 20),
        }
        match case.growth {
            Growth::No => {}
            Growth::Truncate => self.truncate(case.size)?,
            Growth::WriteAtEnd => self.write(case.size - 3, 3)?,
            Growth::Append => self.write(case.cut, 4096.min(case.size - case.cut))?,
            Growth::TruncateAndStore => {
                self.truncate(case.size)?;
                self.store(case.size - 100, 100);
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: usize, len: usize) -> Result<()> {
        self.version += 1;
        let bytes = pattern::bytes(1, self.version, offset as u64, len);
        self.file
            .write_all_at(&bytes, offset as u64)
            .context("write")?;
        self.bytes.resize(self.bytes.len().max(offset + len), 0);
        self.bytes[offset..offset + len].copy_from_slice(&bytes);
        Ok(())
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        self.file.set_len(len as u64).context("truncate")?;
        self.bytes.resize(len, 0);
        Ok(())
    }

    fn store(&mut self, offset: usize, len: usize) {
        self.version += 1;
        let bytes = pattern::bytes(1, self.version, offset as u64, len);
        self.mapping.store(offset, &bytes);
        self.bytes[offset..offset + len].copy_from_slice(&bytes);
    }

    fn write_again(&mut self) -> Result<()> {
        let again = pattern::bytes(1, 99, 0, 8);
        self.file.write_all_at(&again, 0).context("write")?;
        self.bytes[..8].copy_from_slice(&again);
        pattern::same("in memory", &self.bytes, &settle::contents(&self.file)?, 0)
    }

    fn judge(&self) -> Result<()> {
        // What is mapped stays in the page cache.
        self.mapping.forget()?;
        settle::forget(&self.file, 0, 0);
        let cached = settle::cached(&self.file)?;
        anyhow::ensure!(cached.pages == 0, "still in the page cache: {cached:?}");
        pattern::same("on disk", &self.bytes, &settle::contents(&self.file)?, 0)
    }
}
