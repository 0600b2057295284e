// SPDX-License-Identifier: GPL-2.0

//! RWF_NOWAIT on a slow disk: a call is served at once or answers EAGAIN at once.

use super::transfer::{is_again, open, open_direct, read, write, BLOCK};
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{ensure, Context, Result};
use clap::Args;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

#[derive(Args)]
pub(super) struct Options {
    /// A folder on a disk that needs as long as --disk for everything.
    dir: PathBuf,
    /// Milliseconds.
    #[arg(long, default_value_t = 300)]
    disk: u64,
}

const SIZE: usize = 64 * BLOCK;

pub(super) fn run(options: &Options) -> Result<()> {
    let judge = Judge {
        patience: Duration::from_millis(options.disk / 2),
        options,
    };
    judge.buffered()?;
    judge.direct()?;
    judge.locked()
}

struct Judge<'a> {
    patience: Duration,
    options: &'a Options,
}

impl Judge<'_> {
    /// The call does not wait, whatever it answers.
    fn at_once(
        &self,
        what: &str,
        call: impl FnOnce() -> io::Result<usize>,
    ) -> Result<io::Result<usize>> {
        let begin = Instant::now();
        let result = call();
        let took = begin.elapsed();
        println!("{what}: {result:?} after {} ms", took.as_millis());
        ensure!(
            took < self.patience,
            "{what}: it waited for {} ms",
            took.as_millis()
        );
        Ok(result)
    }

    fn buffered(&self) -> Result<()> {
        let path = self.options.dir.join("buffered");
        let file = open(&path)?;
        let memory = Mapping::anonymous(SIZE)?;
        memory.store(0, &pattern::bytes(1, 1, 0, SIZE));
        write(&file, &memory, 0, SIZE, 0, 0)?;
        file.sync_all()?;
        let cached = self.at_once("a cached read", || {
            read(&file, &memory, 0, SIZE, 0, libc::RWF_NOWAIT)
        })?;
        ensure!(
            cached.context("a cached read")? == SIZE,
            "a short cached read"
        );
        let whole = self.at_once("whole cached blocks", || {
            write(&file, &memory, 0, 4 * BLOCK, 0, libc::RWF_NOWAIT)
        })?;
        ensure!(
            whole.context("whole cached blocks")? == 4 * BLOCK,
            "a short write"
        );
        // What is on its way to the device holds still until it is there.
        settle::write_out(&file, settle::BEGIN)?;
        let under_way = self.at_once("blocks under writeback", || {
            write(&file, &memory, 0, BLOCK, 0, libc::RWF_NOWAIT)
        })?;
        ensure!(is_again(&under_way), "{under_way:?}");
        file.sync_all()?;
        settle::evict(&file)?;
        let cold = self.at_once("a piece of a block that must be read", || {
            write(&file, &memory, 0, 100, 50, libc::RWF_NOWAIT)
        })?;
        ensure!(is_again(&cold), "{cold:?}");
        let cold = self.at_once("a cold read", || {
            read(&file, &memory, 0, BLOCK, 8 * BLOCK as u64, libc::RWF_NOWAIT)
        })?;
        ensure!(is_again(&cold), "{cold:?}");
        Ok(())
    }

    /// Direct requests, whose device is waited for: by io_uring, which says when it need not ask another task.
    fn direct(&self) -> Result<()> {
        let path = self.options.dir.join("direct");
        let file = open_direct(&path, 0)?;
        let memory = Mapping::anonymous(SIZE)?;
        memory.store(0, &pattern::bytes(1, 1, 0, SIZE));
        let grows = self.at_once("a write that makes the file longer", || {
            write(&file, &memory, 0, BLOCK, 0, libc::RWF_NOWAIT)
        })?;
        ensure!(is_again(&grows), "{grows:?}");
        write(&file, &memory, 0, SIZE, 0, 0)?;
        let mut ring = io_uring::IoUring::new(4)?;
        let fd = io_uring::types::Fd(std::os::fd::AsRawFd::as_raw_fd(&file));
        let flags = libc::RWF_NOWAIT;
        let entries = [
            io_uring::opcode::Write::new(fd, memory.at(0), SIZE as u32)
                .rw_flags(flags)
                .build(),
            io_uring::opcode::Read::new(fd, memory.at(0), BLOCK as u32)
                .rw_flags(flags)
                .build(),
        ];
        for (what, entry) in ["a direct overwrite", "a direct read"]
            .into_iter()
            .zip(&entries)
        {
            // SAFETY: file and memory outlive the request, which is waited for.
            unsafe { ring.submission().push(entry)? };
            self.at_once(what, || ring.submit())?.context(what)?;
            ring.submit_and_wait(1)?;
            let done = ring.completion().next().context("no completion")?.result();
            ensure!(
                done == if what == "a direct read" { BLOCK } else { SIZE } as i32,
                "{what}: {done}"
            );
        }
        Ok(())
    }

    /// A write that makes the file longer has the inode's lock while the disk is busy.
    fn locked(&self) -> Result<()> {
        let path = self.options.dir.join("locked");
        let (file, direct) = (open(&path)?, open_direct(&path, 0)?);
        let memory = Mapping::anonymous(SIZE)?;
        write(&direct, &memory, 0, SIZE, 0, 0)?;
        thread::scope(|scope| {
            let other = scope.spawn(|| write(&direct, &memory, 0, SIZE, SIZE as u64, 0));
            thread::sleep(Duration::from_millis(self.options.disk / 4));
            let mine = Mapping::anonymous(BLOCK)?;
            for (what, file) in [("buffered", &file), ("direct", &direct)] {
                let what = format!("a {what} write while the inode is locked");
                let result =
                    self.at_once(&what, || write(file, &mine, 0, BLOCK, 0, libc::RWF_NOWAIT))?;
                ensure!(is_again(&result), "{what}: {result:?}");
            }
            ensure!(!other.is_finished(), "the disk is too fast");
            ensure!(other.join().expect("no panic")? == SIZE, "a short write");
            Ok(())
        })
    }
}
