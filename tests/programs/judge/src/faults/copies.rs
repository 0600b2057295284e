// SPDX-License-Identifier: GPL-2.0

//! Writes from memory that is not all there, and from a mapping of the file that is written.

use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{ensure, Context, Result};
use clap::Args;
use std::fs::{File, OpenOptions};
use std::io::Error;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system.
    dir: PathBuf,
}

const PAGE: usize = 4096;
const SIZE: usize = 320 << 10;

pub(crate) fn run(options: &Options) -> Result<()> {
    let (mut failed, mut cases) = (0, 0);
    let mut judge = |what: String, result: Result<()>| {
        cases += 1;
        if let Err(error) = result {
            println!("{what}: {error:#}");
            failed += 1;
        }
    };
    for good in [0, 1, 100, PAGE, PAGE + 17, 65 * PAGE + 10] {
        for place in [0, 3 * PAGE - 7, SIZE - PAGE, SIZE] {
            for state in [State::Hole, State::Dirty, State::Written, State::Cold] {
                let path = options.dir.join(format!("short-{good}-{place}-{state:?}"));
                let what = format!("{good} good bytes to {place}, {state:?}");
                judge(
                    what,
                    Target::new(path, state).and_then(|t| t.write_short(good, place)),
                );
            }
        }
    }
    let copies = [
        (0, 0),
        (PAGE, PAGE),
        (10, 10),
        (0, SIZE / 2),
        (SIZE / 2 + 77, 3),
    ];
    for (from, to) in copies {
        for state in [State::Dirty, State::Written, State::Cold] {
            let path = options.dir.join(format!("self-{from}-{to}-{state:?}"));
            let what = format!("from {from} of its own mapping to {to}, {state:?}");
            judge(
                what,
                Target::new(path, state).and_then(|t| t.write_itself(from, to)),
            );
        }
    }
    ensure!(failed == 0, "{failed} of {cases} cases failed");
    println!("{cases} cases");
    Ok(())
}

/// The file before the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Hole,
    Dirty,
    Written,
    /// Written, and not in the page cache.
    Cold,
}

struct Target {
    file: File,
    bytes: Vec<u8>,
}

impl Target {
    fn new(path: PathBuf, state: State) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        let mut bytes = vec![0; SIZE];
        if state == State::Hole {
            file.set_len(SIZE as u64)?;
        } else {
            pattern::fill(&mut bytes, 1, 1, 0);
            file.write_all_at(&bytes, 0)?;
        }
        if matches!(state, State::Written | State::Cold) {
            file.sync_all()?;
        }
        if state == State::Cold {
            settle::forget(&file, 0, 0);
        }
        Ok(Self { file, bytes })
    }

    /// Writes from memory that ends, in a bad address, behind `good` bytes.
    fn write_short(mut self, good: usize, place: usize) -> Result<()> {
        let front = good.next_multiple_of(PAGE);
        let memory = Mapping::anonymous(front + PAGE)?;
        memory.store(front - good, &pattern::bytes(1, 2, place as u64, good));
        memory.forbid(front, PAGE)?;
        let done = write(&self.file, memory.at(front - good), good + 500, place);
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                ensure!(error.raw_os_error() == Some(libc::EFAULT), error);
                0
            }
        };
        ensure!(done <= good, "{done} bytes written of {good} good ones");
        self.now_has(place, &pattern::bytes(1, 2, place as u64, done));
        self.judge()
    }

    /// Writes from a mapping of the file, none of which is in the page tables yet.
    fn write_itself(mut self, from: usize, to: usize) -> Result<()> {
        let len = SIZE / 2 - 100;
        let mapping = Mapping::shared(&self.file, SIZE)?;
        let mut done = 0;
        while done < len {
            let now = write(&self.file, mapping.at(from + done), len - done, to + done)?;
            ensure!(now > 0, "wrote nothing at {done} of {len}");
            done += now;
        }
        drop(mapping);
        let copied = self.bytes[from..from + len].to_vec();
        self.now_has(to, &copied);
        self.judge()
    }

    fn now_has(&mut self, place: usize, bytes: &[u8]) {
        let end = if bytes.is_empty() {
            0
        } else {
            place + bytes.len()
        };
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[place..place + bytes.len()].copy_from_slice(bytes);
    }

    fn judge(self) -> Result<()> {
        let found = settle::contents(&self.file)?;
        pattern::same("in memory", &self.bytes, &found, 0)?;
        self.file.sync_all().context("fsync")?;
        settle::forget(&self.file, 0, 0);
        let cached = settle::cached(&self.file)?;
        ensure!(cached.dirty == 0, "dirty after fsync: {cached:?}");
        pattern::same("on disk", &self.bytes, &settle::contents(&self.file)?, 0)
    }
}

/// One pwrite(2) from an address.
pub(crate) fn write(
    file: &File,
    from: *const u8,
    len: usize,
    place: usize,
) -> Result<usize, Error> {
    // SAFETY: the kernel checks the address, which belongs to a mapping that nobody borrows.
    let done = unsafe { libc::pwrite(file.as_raw_fd(), from.cast(), len, place as i64) };
    usize::try_from(done).map_err(|_| Error::last_os_error())
}
