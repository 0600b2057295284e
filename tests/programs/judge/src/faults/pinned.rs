// SPDX-License-Identifier: GPL-2.0

//! Pages of a mapping dirtied without page_mkwrite: pinned, then cleaned by an fsync, then
//! changed and marked dirty by whoever pinned them.

use crate::mapping::Mapping;
use crate::pattern;
use crate::pin::Pinned;
use crate::settle::{self, Settle};
use crate::source::{Call, Source};
use anyhow::{ensure, Context, Result};
use clap::{Args, ValueEnum};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    /// A block device or a file on any file system whose bytes are read by O_DIRECT; a slow one
    /// gives fsync time to clean the pages meanwhile.
    #[arg(long)]
    source: PathBuf,
    /// Who brings the bytes to the disk.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "fsync,fdatasync,sync,msync"
    )]
    settle: Vec<Settle>,
    /// Settle again and again while pages are dirty: fsync of C btrfs 7.3 does not wait for those
    /// that it learns of late.
    #[arg(long)]
    patient: bool,
    /// Who dirties the pages.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "writev,short-writev,read,uring,registered"
    )]
    by: Vec<By>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// process_vm_writev(2) whose source is held back, for whole pages.
    Writev,
    /// process_vm_writev(2) whose source is held back, for parts of two pages.
    ShortWritev,
    /// An O_DIRECT read(2) into the mapping, with fsyncs beside.
    Read,
    /// An O_DIRECT read into the mapping by io_uring, with fsyncs beside.
    Uring,
    /// An O_DIRECT read by io_uring into a registered buffer, where the kernel registers it.
    Registered,
}

/// What happens to the file after the pages were dirtied.
#[derive(Clone, Copy, Debug)]
enum After {
    Nothing,
    /// It is cut in the middle of them.
    Cut,
    /// It is cut and grows again.
    CutAndGrown,
    /// A part of them is written over.
    Written,
}

const SIZE: usize = 256 << 10;
const PAGE: usize = 4096;

pub(crate) fn run(options: &Options) -> Result<()> {
    let source = Source::fill(&options.source, pattern::bytes(200, 1, 0, SIZE))?;
    let (mut failed, mut cases) = (0, 0);
    for by in &options.by {
        for settle in &options.settle {
            for after in [
                After::Nothing,
                After::Cut,
                After::CutAndGrown,
                After::Written,
            ] {
                cases += 1;
                let path = options.dir.join(format!("pinned{cases}"));
                let result = Victim::new(&path).and_then(|mut victim| {
                    victim.dirty(&source, *by)?;
                    victim.change(after)?;
                    victim.settle(*settle, options.patient)?;
                    victim.judge()
                });
                if let Err(error) = result {
                    println!("{by:?} {after:?} {settle:?}: {error:#}");
                    failed += 1;
                }
            }
        }
    }
    ensure!(failed == 0, "{failed} of {cases} cases failed");
    println!("{cases} cases");
    Ok(())
}

/// The file whose pages are pinned.
struct Victim {
    file: File,
    mapping: Mapping,
    bytes: Vec<u8>,
}

impl Victim {
    fn new(path: &std::path::Path) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        let bytes = pattern::bytes(1, 1, 0, SIZE);
        file.write_all_at(&bytes, 0)?;
        file.sync_all().context("the first fsync")?;
        let mapping = Mapping::shared(&file, SIZE)?;
        Ok(Self {
            file,
            mapping,
            bytes,
        })
    }

    fn dirty(&mut self, source: &Source, by: By) -> Result<()> {
        match by {
            By::Writev => self.stall(8 * PAGE, 20 * PAGE),
            By::ShortWritev => self.stall(8 * PAGE + 100, PAGE),
            By::Read => self.read(source, Call::Read),
            By::Uring => self.read(source, Call::Uring),
            By::Registered => self.read(source, Call::Registered),
        }
    }

    fn settle(&self, settle: Settle, patient: bool) -> Result<()> {
        settle.settle(&self.file, &self.mapping)?;
        // The flusher has been waited for.
        let late = !matches!(settle, Settle::Flusher | Settle::Pressure);
        let mut turns = if patient && late { 50 } else { 0 };
        while turns > 0 && settle::cached(&self.file)?.dirty > 0 {
            thread::sleep(Duration::from_millis(20));
            settle.settle(&self.file, &self.mapping)?;
            turns -= 1;
        }
        Ok(())
    }

    fn judge(&self) -> Result<()> {
        self.mapping.forget()?;
        settle::holds("the file", &self.file, &self.bytes)?;
        self.file.sync_all().context("the last fsync")
    }

    /// Pins, cleans, lets go.
    fn stall(&mut self, offset: usize, len: usize) -> Result<()> {
        let bytes = pattern::bytes(1, 2, offset as u64, len);
        let pinned = Pinned::begin(&self.mapping, offset, bytes.clone())?;
        self.file.sync_all().context("fsync while pinned")?;
        self.file
            .sync_all()
            .context("the second fsync while pinned")?;
        pinned.finish()?;
        self.bytes[offset..offset + len].copy_from_slice(&bytes);
        Ok(())
    }

    /// Reads into the mapping while the file is synced all the time.
    fn read(&mut self, source: &Source, call: Call) -> Result<()> {
        let (offset, len) = (8 * PAGE, 20 * PAGE);
        for _ in 0..4 {
            thread::scope(|scope| {
                let reader = scope.spawn(|| source.read(call, &self.mapping, offset, len));
                while !reader.is_finished() {
                    self.file.sync_all().context("fsync beside")?;
                }
                reader.join().expect("no panic")
            })?;
        }
        // Pages found clean when the read ends are marked dirty a moment later.
        thread::sleep(Duration::from_millis(50));
        self.bytes[offset..offset + len].copy_from_slice(&source.bytes[..len]);
        Ok(())
    }

    fn change(&mut self, after: After) -> Result<()> {
        let cut = 9 * PAGE + 1000;
        match after {
            After::Nothing => {}
            After::Cut => self.truncate(cut)?,
            After::CutAndGrown => {
                self.truncate(cut)?;
                self.truncate(SIZE)?;
            }
            After::Written => {
                let bytes = pattern::bytes(1, 3, cut as u64, 5000);
                self.file
                    .write_all_at(&bytes, cut as u64)
                    .context("write")?;
                self.bytes[cut..cut + 5000].copy_from_slice(&bytes);
            }
        }
        Ok(())
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        self.file.set_len(len as u64).context("truncate")?;
        self.bytes.resize(len, 0);
        Ok(())
    }
}
