// SPDX-License-Identifier: GPL-2.0

//! Comparing what the file system gives with what must be there.

use super::model::{Held, Known, CHUNK};
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{anyhow, bail, Context, Result};
use std::io::Error;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// What is there is not what must be: never to be forgiven.
#[derive(Debug)]
pub(super) struct Wrong(pub String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// How bytes are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    Read,
    Map,
    /// Written out, forgotten, and read again.
    Disk,
    Direct,
}

impl Held<'_> {
    /// What is found in a range is what must be there.
    pub(super) fn check(&self, by: By, begin: usize, end: usize) -> Result<()> {
        let (begin, end) = self.inside(begin, end);
        if begin == end {
            return Ok(());
        }
        let found = self.look(by, begin, end).with_context(|| {
            let known = self.known;
            format!(
                "file {}: {by:?} {begin}..{end}{}",
                known.number,
                known.history.of(begin)
            )
        })?;
        self.compare(by, begin, &found, end)
    }

    pub(super) fn compare(&self, by: By, begin: usize, found: &[u8], end: usize) -> Result<()> {
        let wanted = self.bytes(begin, end);
        let Some(mismatch) = pattern::difference(&wanted, found, begin as u64) else {
            return Ok(());
        };
        let known = self.known;
        bail!(Wrong(format!(
            "MISMATCH: file {} of {} bytes, {by:?} of {begin}..{end}: {mismatch}{}",
            known.number,
            known.size(),
            known.history.of(mismatch.offset as usize)
        )))
    }

    fn look(&self, by: By, begin: usize, end: usize) -> Result<Vec<u8>> {
        let known = self.known;
        match by {
            By::Read => read(known, begin, end),
            By::Map => Ok(Mapping::shared(&known.file, known.capacity)?.load(begin, end - begin)),
            By::Disk => {
                write_out(known, begin, end).context("sync_file_range")?;
                settle::forget(&known.file, begin as u64, (end - begin) as u64);
                read(known, begin, end)
            }
            By::Direct => {
                let room = Mapping::anonymous(end - begin)?;
                let fd = known.direct.as_raw_fd();
                // SAFETY: memory of the mapping, which nobody borrows.
                let done = unsafe {
                    libc::pread(fd, room.at(0).cast(), end - begin, begin as libc::off_t)
                };
                let done = usize::try_from(done).map_err(|_| anyhow!(Error::last_os_error()))?;
                Ok(room.load(0, done))
            }
        }
    }
}

fn read(known: &Known, begin: usize, end: usize) -> Result<Vec<u8>> {
    let mut found = vec![0; end - begin];
    known
        .file
        .read_exact_at(&mut found, begin as u64)
        .context("read")?;
    Ok(found)
}

fn write_out(known: &Known, begin: usize, end: usize) -> Result<(), Error> {
    let (fd, len) = (known.file.as_raw_fd(), (end - begin) as libc::off_t);
    // SAFETY: plain numbers.
    match unsafe { libc::sync_file_range(fd, begin as libc::off_t, len, settle::FINISH) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

impl Known {
    /// Reads all of the file, chunk by chunk, while others go on.
    pub(super) fn sweep(&self) -> Result<()> {
        for begin in (0..self.capacity).step_by(CHUNK) {
            let held = self.hold(begin, begin + CHUNK);
            held.check(By::Read, begin, begin + CHUNK)?;
        }
        Ok(())
    }

    /// When all is done: the file is as it must be in memory and, after an fsync, on disk.
    pub(super) fn settled(&self, failing: bool) -> Result<()> {
        let held = self.hold(0, self.capacity);
        let size = self.file.metadata()?.len() as usize;
        anyhow::ensure!(size == self.size(), "{size} bytes, not {}", self.size());
        held.check(By::Read, 0, self.capacity)
            .context("in the end")?;
        // An error of before is told once.
        if let (Err(error), false) = (self.file.sync_all(), failing) {
            return Err(error).context("the last fsync");
        }
        self.file.sync_all().context("fsync again")?;
        settle::evict(&self.file)?;
        held.check(By::Read, 0, self.capacity)
            .context("from disk, in the end")
    }
}
