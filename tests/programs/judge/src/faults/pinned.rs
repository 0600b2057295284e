// SPDX-License-Identifier: GPL-2.0

//! Pages of a mapping dirtied without page_mkwrite: pinned, then cleaned by an fsync, then
//! changed and marked dirty by whoever pinned them.

use crate::mapping::Mapping;
use crate::pattern;
use crate::pin::Pinned;
use crate::settle::{self, Settle};
use crate::source::{is_not_registered, Call, Source};
use anyhow::{bail, ensure, Context, Result};
use clap::{Args, ValueEnum};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    /// A block device or a file on any file system whose bytes are read by O_DIRECT; a slow one
    /// gives fsync time to clean the pages meanwhile.
    #[arg(long, default_value = "/run/source")]
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
        default_value = "writev,short-writev,read,uring"
    )]
    by: Vec<By>,
    /// Nobody settles. What the files are to hold goes to files of the same names in this folder.
    #[arg(long)]
    leave: Option<PathBuf>,
    /// The volume is full when the pin ends, which fsync tells; once there is room all is well.
    #[arg(long)]
    full: bool,
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
    match (&options.leave, options.full) {
        (Some(expected), _) => leave(options, expected),
        (None, true) => full(&options.dir),
        (None, false) => settled(options),
    }
}

/// Files with dirty pages that nobody asked for.
fn leave(options: &Options, expected: &Path) -> Result<()> {
    let source = Source::fill(&options.source, pattern::bytes(200, 1, 0, SIZE))?;
    for by in &options.by {
        let name = format!("left-{by:?}");
        let mut victim = Victim::new(&options.dir.join(&name))?;
        victim.dirty(&source, *by)?;
        std::fs::write(expected.join(name), &victim.bytes)?;
    }
    Ok(())
}

/// There is no room for what was stored to pinned pages.
fn full(dir: &Path) -> Result<()> {
    let mut victim = Victim::new(&dir.join("pinned"))?;
    let (offset, filler) = (8 * PAGE, dir.join("filler"));
    let bytes = pattern::bytes(1, 2, offset as u64, 20 * PAGE);
    let pinned = Pinned::begin(&victim.mapping, offset, bytes.clone())?;
    victim.file.sync_all().context("fsync while pinned")?;
    fill(&filler)?;
    pinned.finish()?;
    victim.bytes[offset..offset + bytes.len()].copy_from_slice(&bytes);
    match victim.file.sync_all() {
        Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {}
        other => bail!("fsync without room: {other:?}"),
    }
    std::fs::remove_file(&filler)?;
    Settle::Sync.settle(&victim.file, &victim.mapping)?;
    // The kernel has tried again in between, and failed: that is news.
    match victim.file.sync_all() {
        Err(error) if error.raw_os_error() != Some(libc::ENOSPC) => bail!("fsync: {error}"),
        _ => victim.judge(),
    }
}

/// Leaves no block of data.
fn fill(path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    for len in [1 << 20, PAGE, PAGE] {
        let piece = vec![1; len];
        while file.write(&piece).is_ok() {}
        file.sync_all().context("fsync of what fills the volume")?;
    }
    Ok(())
}

fn settled(options: &Options) -> Result<()> {
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
    fn new(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        let bytes = pattern::bytes(1, 1, 0, SIZE);
        file.write_all_at(&bytes, 0)?;
        file.sync_all().context("the first fsync")?;
        let mapping = Mapping::shared(&file, SIZE)?;
        is_not_registered(&mapping)?;
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
