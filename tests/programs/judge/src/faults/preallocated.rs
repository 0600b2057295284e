// SPDX-License-Identifier: GPL-2.0

//! A promise of fallocate(2): when the volume is full, what a file was given before can be written,
//! by whatever way, and written again as long as it is only dirty.

use super::emptied;
use super::space::when_full::fill;
use crate::mapping::Mapping;
use crate::pattern;
use crate::settle;
use anyhow::{ensure, Context, Result};
use clap::{Args, ValueEnum};
use rand::seq::SliceRandom;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system. The files stay there.
    dir: PathBuf,
    /// Bytes that each file is given.
    #[arg(long, default_value_t = 16 << 20)]
    len: usize,
}

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Way {
    Buffered,
    Mapped,
    Direct,
    /// Each piece by one of these.
    Mixed,
}

const WAYS: [Way; 4] = [Way::Buffered, Way::Mapped, Way::Direct, Way::Mixed];

/// What is written at a time. A mapping's store takes all of a folio with it, which is no larger.
const PIECE: usize = 1 << 20;

const BLOCK: usize = 4096;

/// A file that was given space.
struct Given {
    way: Way,
    file: File,
    direct: File,
    bytes: Vec<u8>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut files = Vec::new();
    for way in WAYS {
        files.push(Given::new(&options.dir, way, options.len)?);
    }
    // Most of the rest is written at once, and a file goes that was there before: holes everywhere.
    let filler = emptied(&options.dir.join("filler"))?;
    let taken = fill(&filler, PIECE)?;
    filler.sync_all().context("fsync of what fills")?;
    let more = fill(&emptied(&options.dir.join("rest"))?, BLOCK)?;
    println!("{taken} and {more} bytes fill the volume");
    for (number, given) in files.iter_mut().enumerate() {
        // What has its space keeps it.
        given.allocate(libc::FALLOC_FL_ZERO_RANGE)?;
        given
            .write_all(number as u64)
            .with_context(|| format!("{:?}", given.way))?;
        ensure!(is_full(&filler, taken), "the volume is not full any more");
    }
    for given in &files {
        let what = format!("{:?}", given.way);
        settle::holds(&what, &given.file, &given.bytes)?;
    }
    settle::drop_caches()?;
    for given in &files {
        settle::holds("on disk", &given.file, &given.bytes)?;
    }
    Ok(())
}

/// Whether there is no place for one more block at `end` of a file.
fn is_full(file: &File, end: u64) -> bool {
    let refused = file.write_at(&[1; BLOCK], end).is_err();
    let _ = file.set_len(end);
    refused
}

impl Given {
    fn new(dir: &Path, way: Way, len: usize) -> Result<Self> {
        let path = dir.join(format!("given-{way:?}"));
        let file = emptied(&path)?;
        let mut open = File::options();
        let direct = open.write(true).custom_flags(libc::O_DIRECT).open(&path)?;
        let given = Self {
            way,
            file,
            direct,
            bytes: vec![0; len],
        };
        given.allocate(0)?;
        Ok(given)
    }

    /// Has the file given space, all of it, in this way.
    fn allocate(&self, mode: i32) -> Result<()> {
        let len = self.bytes.len() as u64;
        // SAFETY: plain numbers.
        let result = unsafe { libc::fallocate(self.file.as_raw_fd(), mode, 0, len as i64) };
        let error = std::io::Error::last_os_error();
        ensure!(result == 0, "fallocate: {error}");
        let metadata = self.file.metadata()?;
        ensure!(metadata.len() == len, "it is {} bytes", metadata.len());
        let taken = metadata.blocks() * 512;
        ensure!(taken == len, "it takes {taken} bytes");
        Ok(())
    }

    /// Writes all of it, in pieces that follow in no order.
    fn write_all(&mut self, number: u64) -> Result<()> {
        let mapping = Mapping::shared(&self.file, self.bytes.len())?;
        let mut pieces: Vec<usize> = (0..self.bytes.len() / PIECE).collect();
        pieces.shuffle(&mut rand::rng());
        for (turn, piece) in pieces.into_iter().enumerate() {
            let offset = piece * PIECE;
            let way = match self.way {
                Way::Mixed => WAYS[turn % 3],
                way => way,
            };
            let bytes = pattern::bytes(number, turn as u64, offset as u64, PIECE);
            self.write(way, &mapping, offset, &bytes)
                .with_context(|| format!("{way:?} at {offset}"))?;
            self.bytes[offset..offset + PIECE].copy_from_slice(&bytes);
            if turn % 5 == 4 {
                self.file.sync_data().context("fdatasync")?;
            }
        }
        self.file.sync_all().context("fsync")
    }

    fn write(&self, way: Way, mapping: &Mapping, offset: usize, bytes: &[u8]) -> Result<()> {
        match way {
            Way::Mapped => mapping.store(offset, bytes),
            Way::Direct => {
                let room = Mapping::anonymous(bytes.len())?;
                room.store(0, bytes);
                let (fd, at) = (self.direct.as_raw_fd(), offset as libc::off_t);
                // SAFETY: memory of the mapping, which nobody borrows.
                let written = unsafe { libc::pwrite(fd, room.at(0).cast(), bytes.len(), at) };
                ensure!(
                    written == bytes.len() as isize,
                    "wrote {written}: {}",
                    std::io::Error::last_os_error()
                );
            }
            Way::Buffered | Way::Mixed => {
                // The second time it is dirty already.
                self.file
                    .write_all_at(&bytes[..BLOCK + 100], offset as u64)?;
                self.file.write_all_at(bytes, offset as u64)?;
            }
        }
        Ok(())
    }
}
