// SPDX-License-Identifier: GPL-2.0

//! What a task does to a file.

use super::check::{By, Wrong};
use super::model::{Held, Known};
use super::worker::Worker;
use super::PAGE;
use crate::mapping::Mapping;
use crate::pin::{self, Pinned};
use crate::settle;
use crate::source::Call;
use anyhow::{bail, Context, Result};
use clap::ValueEnum;
use rand::RngExt;
use std::io::Error;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Act {
    /// write(2) inside or across the end.
    Write,
    /// write(2) at the end.
    Append,
    /// Stores to a mapping.
    Store,
    /// Stores by process_vm_writev(2).
    Poke,
    /// Stores by process_vm_writev(2), held up between pinning and copying.
    Pin,
    /// An O_DIRECT read from elsewhere into a mapping.
    ReadInto,
    DirectWrite,
    Truncate,
    Punch,
    /// fallocate(2) of space, the size as it is.
    Allocate,
    Fsync,
    Fdatasync,
    /// sync_file_range(2).
    Range,
    /// POSIX_FADV_DONTNEED.
    Forget,
    Syncfs,
    CheckRead,
    CheckMap,
    CheckDisk,
    CheckDirect,
}

impl Act {
    /// How often, in proportion.
    pub(super) fn weight(self) -> u32 {
        match self {
            Self::Write => 20,
            Self::Store => 12,
            Self::CheckRead => 12,
            Self::CheckMap => 8,
            Self::CheckDisk | Self::Append => 6,
            Self::DirectWrite | Self::CheckDirect | Self::Range | Self::Forget => 4,
            Self::Poke | Self::Pin | Self::ReadInto | Self::Truncate | Self::Punch => 3,
            Self::Fsync | Self::Allocate => 3,
            Self::Fdatasync => 2,
            Self::Syncfs => 1,
        }
    }

    pub(super) fn is_check(self) -> bool {
        matches!(
            self,
            Self::CheckRead | Self::CheckMap | Self::CheckDisk | Self::CheckDirect
        )
    }

    /// A fault that fails kills the program.
    pub(super) fn may_raise_a_signal(self) -> bool {
        matches!(self, Self::Store | Self::CheckMap)
    }
}

impl Worker<'_> {
    pub(super) fn act(&mut self, act: Act, known: &Known) -> Result<()> {
        match act {
            Act::Write => self.write(known, 0),
            Act::Append => self.write(known, known.size()),
            Act::Store | Act::Poke | Act::Pin => self.store(act, known),
            Act::ReadInto => self.read_into(known),
            Act::DirectWrite => self.direct_write(known),
            Act::Truncate => self.truncate(known),
            Act::Punch => self.punch(known),
            Act::Allocate => self.allocate(known),
            Act::Fsync => self.whole(known, act, |k| k.file.sync_all()),
            Act::Fdatasync => self.whole(known, act, |k| k.file.sync_data()),
            Act::Range => self.whole(known, act, |k| settle::write_out(&k.file, settle::BEGIN)),
            Act::Syncfs => self.whole(known, act, |k| {
                // SAFETY: a plain number.
                done(unsafe { libc::syncfs(k.file.as_raw_fd()) })
            }),
            Act::Forget => {
                let (begin, end) = self.range(known.capacity);
                known.history.note(self.task, begin, end, "forget");
                settle::forget(&known.file, begin as u64, (end - begin) as u64);
                Ok(())
            }
            Act::CheckRead => self.check(known, By::Read),
            Act::CheckMap => self.check(known, By::Map),
            Act::CheckDisk => self.check(known, By::Disk),
            Act::CheckDirect => self.check_direct(known),
        }
    }

    /// An act on the whole file, which holds nothing.
    fn whole(&self, known: &Known, act: Act, call: fn(&Known) -> Result<(), Error>) -> Result<()> {
        known
            .history
            .note(self.task, 0, usize::MAX, format!("{act:?} begins"));
        let result = call(known);
        known
            .history
            .note(self.task, 0, usize::MAX, format!("{act:?}: {result:?}"));
        Ok(result?)
    }

    /// A range that begins inside the file, or near the end of a short one.
    fn some_range(&mut self, known: &Known, from: usize) -> (usize, usize) {
        let size = known.size();
        if from > 0 {
            let (begin, end) = self.range(known.capacity);
            let begin_at = from.min(known.capacity - 1);
            return (begin_at, (begin_at + end - begin).min(known.capacity));
        }
        let limit = if self.random.random_ratio(1, 8) {
            size + 100_000
        } else {
            size
        };
        self.range(limit.clamp(PAGE, known.capacity))
    }

    fn write(&mut self, known: &Known, from: usize) -> Result<()> {
        let (begin, end) = self.some_range(known, from);
        let mut held = known.hold_to_write(begin, end);
        let (version, bytes) = self.next_bytes(known, begin, end);
        known
            .history
            .note(self.task, begin, end, format!("write version {version}"));
        let written = known.file.write_at(&bytes, begin as u64);
        self.wrote(&mut held, begin, &bytes, written.context("write"))
    }

    /// Takes over what a write did, which must be all, unless calls may fail.
    fn wrote(
        &self,
        held: &mut Held<'_>,
        begin: usize,
        bytes: &[u8],
        result: Result<usize>,
    ) -> Result<()> {
        if let Ok(count) = &result {
            let count = *count;
            held.put(begin, &bytes[..count]);
            if count == bytes.len() {
                return Ok(());
            }
        }
        let count = result.as_ref().map_or(0, |count| *count);
        held.adopt(begin + count, &bytes[count..])?;
        result.map(drop)?;
        bail!("wrote {count} of {} bytes", bytes.len())
    }

    fn store(&mut self, act: Act, known: &Known) -> Result<()> {
        let (begin, end) = self.range(known.size());
        let mut held = known.hold(begin, end);
        let (begin, end) = held.inside(begin, end);
        if begin == end {
            return Ok(());
        }
        let mapping = Mapping::shared(&known.file, known.capacity)?;
        let (version, bytes) = self.next_bytes(known, begin, end);
        known
            .history
            .note(self.task, begin, end, format!("{act:?} version {version}"));
        let stored = match act {
            Act::Store => {
                mapping.store(begin, &bytes);
                Ok(bytes.len())
            }
            Act::Poke => pin::copy(
                bytes.as_ptr() as usize,
                mapping.at(begin) as usize,
                bytes.len(),
            ),
            _ => Pinned::begin(&mapping, begin, bytes.clone()).and_then(|pinned| {
                let pause = self.random.random_range(0..40);
                thread::sleep(Duration::from_millis(pause));
                pinned.finish().map(|()| bytes.len())
            }),
        };
        known
            .history
            .note(self.task, begin, end, format!("{act:?} is done"));
        self.wrote(&mut held, begin, &bytes, stored)
    }

    fn read_into(&mut self, known: &Known) -> Result<()> {
        let (begin, end) = self.range(known.size());
        let end = end.min(begin + self.source.bytes.len() / 2);
        let Some((mut held, begin, end)) = known.hold_pages(begin, end) else {
            return Ok(());
        };
        let mapping = Mapping::shared(&known.file, known.capacity)?;
        let len = end - begin;
        known
            .history
            .note(self.task, begin, end, "direct read into the mapping");
        let read = self.source.read(Call::Read, &mapping, begin, len);
        known
            .history
            .note(self.task, begin, end, "direct read is done");
        let bytes = self.source.bytes[..len].to_vec();
        self.wrote(&mut held, begin, &bytes, read.map(|()| len))
    }

    fn direct_write(&mut self, known: &Known) -> Result<()> {
        let (begin, end) = self.range(known.size());
        let Some((mut held, begin, end)) = known.hold_pages(begin, end) else {
            return Ok(());
        };
        let (version, bytes) = self.next_bytes(known, begin, end);
        let room = Mapping::anonymous(bytes.len())?;
        room.store(0, &bytes);
        known.history.note(
            self.task,
            begin,
            end,
            format!("direct write version {version}"),
        );
        let fd = known.direct.as_raw_fd();
        // SAFETY: memory of the mapping, which nobody borrows.
        let written =
            unsafe { libc::pwrite(fd, room.at(0).cast(), bytes.len(), begin as libc::off_t) };
        let written = usize::try_from(written).map_err(|_| Error::last_os_error());
        known
            .history
            .note(self.task, begin, end, "direct write is done");
        self.wrote(&mut held, begin, &bytes, written.context("direct write"))
    }

    fn truncate(&mut self, known: &Known) -> Result<()> {
        let size = match self.random.random_range(0..20) {
            0 => 0,
            1..6 => self.random.random_range(0..=known.capacity),
            _ => {
                let near = known.size() + self.random.random_range(0..200_000);
                near.saturating_sub(90_000).min(known.capacity)
            }
        };
        let mut held = known.hold_to_resize(size);
        let (low, high) = (size.min(known.size()), size.max(known.size()));
        let what = format!("truncate from {} to {size}", known.size());
        known.history.note(self.task, low, high.max(low + 1), what);
        let result = known.file.set_len(size as u64).context("truncate");
        if result.is_ok() || known.file.metadata()?.len() as usize == size {
            held.resize(size);
        } else {
            held.adopt(low, &vec![0; high - low])?;
        }
        result
    }

    fn punch(&mut self, known: &Known) -> Result<()> {
        let (begin, end) = self.range(known.size());
        let mut held = known.hold(begin, end);
        let (begin, end) = held.inside(begin, end);
        if begin == end {
            return Ok(());
        }
        let (what, how) = match self.random.random_range(0..2) {
            0 => ("punch", libc::FALLOC_FL_PUNCH_HOLE),
            _ => ("zero", libc::FALLOC_FL_ZERO_RANGE),
        };
        known.history.note(self.task, begin, end, what);
        let result = punch(known, begin, end, how)
            .context(what)
            .map(|()| end - begin);
        self.wrote(&mut held, begin, &vec![0; end - begin], result)
    }

    /// Gives space to what has none, perhaps behind the end. No byte changes, whoever writes meanwhile.
    fn allocate(&mut self, known: &Known) -> Result<()> {
        let (begin, end) = self.range(known.capacity);
        known.history.note(self.task, begin, end, "allocate begins");
        let result = allocate(known, begin, end);
        let what = format!("allocate: {result:?}");
        known.history.note(self.task, begin, end, what);
        result.context("allocate")
    }

    fn check(&mut self, known: &Known, by: By) -> Result<()> {
        let (begin, end) = self.range(known.size());
        let held = known.hold(begin, end);
        held.check(by, begin, end)
    }

    fn check_direct(&mut self, known: &Known) -> Result<()> {
        let (begin, end) = self.range(known.size());
        match known.hold_pages(begin, end) {
            Some((held, begin, end)) => held.check(By::Direct, begin, end),
            None => Ok(()),
        }
    }
}

impl Held<'_> {
    /// After a call that failed: of each byte there is the old or the new one, and the file may
    /// have grown; what is there is what must be there from now on.
    fn adopt(&mut self, begin: usize, new: &[u8]) -> Result<()> {
        let known = self.known;
        let size = known.file.metadata()?.len() as usize;
        if size != known.size() {
            if size < known.size() || begin + new.len() < size {
                bail!(Wrong(format!(
                    "a call that failed left {size} bytes, not {}",
                    known.size()
                )));
            }
            self.resize(size);
        }
        let (begin, end) = self.inside(begin, begin + new.len());
        let found = known.read_at_last(begin, end)?;
        let old = self.bytes(begin, end);
        let neither = |index: &usize| found[*index] != old[*index] && found[*index] != new[*index];
        if (0..found.len()).any(|index| neither(&index)) {
            self.compare(By::Read, begin, &found, end)
                .context("neither old nor new after a call that failed")?;
        }
        self.put(begin, &found);
        Ok(())
    }
}

impl Known {
    /// Reads again and again where reading fails too.
    fn read_at_last(&self, begin: usize, end: usize) -> Result<Vec<u8>> {
        let mut found = vec![0; end - begin];
        for _ in 0..1000 {
            match self.file.read_exact_at(&mut found, begin as u64) {
                Ok(()) => return Ok(found),
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
        bail!(Wrong(format!("{begin}..{end} cannot be read any more")))
    }
}

fn done(result: i32) -> Result<(), Error> {
    match result {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// Makes zeroes of a range, by a hole or otherwise, as `how` says.
fn punch(known: &Known, begin: usize, end: usize, how: i32) -> Result<(), Error> {
    fallocate(known, how, begin, end)
}

fn allocate(known: &Known, begin: usize, end: usize) -> Result<(), Error> {
    fallocate(known, 0, begin, end)
}

fn fallocate(known: &Known, mode: i32, begin: usize, end: usize) -> Result<(), Error> {
    let mode = mode | libc::FALLOC_FL_KEEP_SIZE;
    let (fd, begin, len) = (known.file.as_raw_fd(), begin as i64, (end - begin) as i64);
    // SAFETY: plain numbers.
    done(unsafe { libc::fallocate(fd, mode, begin, len) })
}

impl Act {
    /// An error where the file system lacks an act that it is to have, or has one that it is to lack.
    pub(super) fn expect(self, missing: &[Self], known: &Known) -> Result<()> {
        let supported = match self {
            Self::Punch => is_supported(punch(known, 0, 1, libc::FALLOC_FL_PUNCH_HOLE)),
            Self::Allocate => is_supported(allocate(known, 0, 1)),
            _ => Ok(true),
        };
        match (supported?, missing.contains(&self)) {
            (true, true) => bail!("{self:?} is missing, as the caller says, but is there"),
            (false, false) => bail!("{self:?} is not supported"),
            _ => Ok(()),
        }
    }
}

fn is_supported(result: Result<(), Error>) -> Result<bool, Error> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
        Err(error) => Err(error),
    }
}
