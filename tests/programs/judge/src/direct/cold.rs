// SPDX-License-Identifier: GPL-2.0

//! Calls that must not wait, on a file of which no metadata are in memory, and beside a commit, on a slow disk.

use super::transfer::{is_again, open, open_direct, read, write, BLOCK};
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{ensure, Context, Result};
use clap::{Args, ValueEnum};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

#[derive(Args)]
pub(super) struct Options {
    dir: PathBuf,
    step: Step,
    /// Milliseconds that the disk needs for everything.
    #[arg(long, default_value_t = 300)]
    disk: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Makes the files, on a fast disk.
    Prepare,
    /// Asks for them, newly mounted.
    Read,
    /// Writes beside a commit.
    Commit,
}

/// Blocks that stand alone: their extents fill several leaves of the tree.
const EXTENTS: u64 = 1500;
const STRIDE: u64 = 64 << 10;
/// Of the files that are written beside a commit.
const BLOCKS: usize = 16;

pub(super) fn run(options: &Options) -> Result<()> {
    let judge = Judge {
        patience: Duration::from_millis(options.disk / 2),
        options,
    };
    match options.step {
        Step::Prepare => judge.prepare(),
        Step::Read => judge.read(),
        Step::Commit => judge.commit(),
    }
}

struct Judge<'a> {
    patience: Duration,
    options: &'a Options,
}

impl Judge<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.options.dir.join(name)
    }

    fn at_once<R>(&self, what: &str, call: impl FnOnce() -> io::Result<R>) -> Result<io::Result<R>>
    where
        R: std::fmt::Debug,
    {
        let begin = Instant::now();
        let result = call();
        let took = begin.elapsed().as_millis();
        println!("{what}: {result:?} after {took} ms");
        ensure!(
            begin.elapsed() < self.patience,
            "{what}: it waited for {took} ms"
        );
        Ok(result)
    }

    fn prepare(&self) -> Result<()> {
        let file = open(&self.path("scattered"))?;
        for number in 0..EXTENTS {
            let pos = number * STRIDE;
            file.write_all_at(&pattern::bytes(1, 1, pos, BLOCK), pos)?;
        }
        for name in ["cached", "uncached"] {
            open(&self.path(name))?.write_all_at(&[1; BLOCKS * BLOCK], 0)?;
        }
        // SAFETY: takes no arguments.
        unsafe { libc::sync() };
        Ok(())
    }

    fn read(&self) -> Result<()> {
        let path = self.path("scattered");
        let (file, direct) = (open(&path)?, open_direct(&path, 0)?);
        let memory = Mapping::anonymous(BLOCK)?;
        for (what, file) in [("buffered", &file), ("direct", &direct)] {
            let what = format!("a {what} read of cold metadata");
            let pos = EXTENTS / 2 * STRIDE;
            let result = self.at_once(&what, || {
                read(file, &memory, 0, BLOCK, pos, libc::RWF_NOWAIT)
            })?;
            ensure!(is_again(&result), "{what}: {result:?}");
        }
        for (number, (what, file)) in [("buffered", &file), ("direct", &direct)]
            .into_iter()
            .enumerate()
        {
            let pos = (EXTENTS / 8 + number as u64 * EXTENTS / 2) * STRIDE;
            self.by_ring(what, file, &memory, pos)?;
        }
        self.warm(&file, &direct, &memory)
    }

    /// io_uring hands on to its worker what has to wait.
    fn by_ring(&self, what: &str, file: &File, memory: &Mapping, pos: u64) -> Result<()> {
        let mut ring = io_uring::IoUring::new(4)?;
        let fd = io_uring::types::Fd(file.as_raw_fd());
        let entry = io_uring::opcode::Read::new(fd, memory.at(0), BLOCK as u32)
            .offset(pos)
            .build();
        // SAFETY: file and memory outlive the request, which is waited for.
        unsafe { ring.submission().push(&entry)? };
        let what = format!("io_uring_enter for a {what} read of cold metadata");
        self.at_once(&what, || ring.submit())?.context("submit")?;
        ring.submit_and_wait(1)?;
        let done = ring.completion().next().context("no completion")?.result();
        ensure!(done == BLOCK as i32, "{what}: {done}");
        let wanted = pattern::bytes(1, 1, pos, BLOCK);
        pattern::same(&what, &wanted, &memory.load(0, BLOCK), pos)
    }

    /// Metadata are in memory, data is not: then a read that must not wait has it fetched, and finds it later.
    fn warm(&self, file: &File, direct: &File, memory: &Mapping) -> Result<()> {
        let pos = EXTENTS / 2 * STRIDE;
        let done = read(direct, memory, 0, BLOCK, pos, 0).context("a direct read")?;
        ensure!(done == BLOCK, "{done} bytes");
        let what = "a buffered read of warm metadata";
        let first = self.at_once(what, || read(file, memory, 0, BLOCK, pos, libc::RWF_NOWAIT))?;
        ensure!(is_again(&first), "{what}: {first:?}");
        let mut tries = 0;
        let done = loop {
            thread::sleep(self.patience);
            let again =
                self.at_once(what, || read(file, memory, 0, BLOCK, pos, libc::RWF_NOWAIT))?;
            tries += 1;
            if !is_again(&again) || tries > 10 {
                break again?;
            }
        };
        ensure!(done == BLOCK, "{done} bytes");
        let wanted = pattern::bytes(1, 1, pos, BLOCK);
        pattern::same(what, &wanted, &memory.load(0, BLOCK), pos)
    }

    /// Whether a commit is under way or not, who is asked not to wait does not: in the page cache and past it.
    fn commit(&self) -> Result<()> {
        let cached = open(&self.path("cached"))?;
        let uncached = open_direct(&self.path("uncached"), 0)?;
        let other = open(&self.path("other"))?;
        let memory = Mapping::anonymous(BLOCKS * BLOCK)?;
        // In the page cache, and metadata of both in memory.
        settle::contents(&cached)?;
        read(&uncached, &memory, 0, BLOCKS * BLOCK, 0, 0)?;
        let mut past = Past::new(&uncached, &memory)?;
        let served = thread::scope(|scope| {
            other.write_all_at(&[1; 100_000], 0)?;
            let sync = scope.spawn(|| other.sync_all());
            let mut served = 0;
            while !sync.is_finished() {
                let what = "a buffered write beside a commit";
                let result = self.at_once(what, || {
                    write(&cached, &memory, 0, BLOCKS * BLOCK, 0, libc::RWF_NOWAIT)
                })?;
                ensure!(result.is_ok() || is_again(&result), "{what}: {result:?}");
                served += u64::from(result.is_ok());
                self.at_once("a direct write beside a commit", || past.send())??;
                thread::sleep(Duration::from_millis(100));
            }
            sync.join().expect("no panic").context("fsync")?;
            anyhow::Ok(served)
        })?;
        past.finish()?;
        println!(
            "{served} writes were served in the cache, {} past it",
            past.served
        );
        ensure!(served > 0 && past.served > 0, "nothing was served");
        cached.sync_all()?;
        settle::evict(&cached)?;
        settle::contents(&cached).map(|_| ())
    }
}

/// Direct writes that must not wait but for the device.
struct Past<'a> {
    ring: io_uring::IoUring,
    file: &'a File,
    memory: &'a Mapping,
    under_way: usize,
    served: u64,
}

impl<'a> Past<'a> {
    const MOST: usize = 8;

    fn new(file: &'a File, memory: &'a Mapping) -> Result<Self> {
        Ok(Self {
            ring: io_uring::IoUring::new(Self::MOST as u32)?,
            file,
            memory,
            under_way: 0,
            served: 0,
        })
    }

    /// One more, if not too many are under way.
    fn send(&mut self) -> io::Result<()> {
        self.reap()?;
        if self.under_way == Self::MOST {
            return Ok(());
        }
        let fd = io_uring::types::Fd(self.file.as_raw_fd());
        let entry = io_uring::opcode::Write::new(fd, self.memory.at(0), (BLOCKS * BLOCK) as u32)
            .rw_flags(libc::RWF_NOWAIT)
            .build();
        // SAFETY: file and memory outlive the requests, which are all waited for.
        unsafe { self.ring.submission().push(&entry) }.map_err(io::Error::other)?;
        self.under_way += 1;
        self.ring.submit()?;
        Ok(())
    }

    fn reap(&mut self) -> io::Result<()> {
        for done in self.ring.completion() {
            self.under_way -= 1;
            match done.result() {
                done if done == (BLOCKS * BLOCK) as i32 => self.served += 1,
                done if done == -libc::EAGAIN => {}
                done => return Err(io::Error::other(format!("a direct write: {done}"))),
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        while self.under_way > 0 {
            self.ring.submit_and_wait(1)?;
            self.reap()?;
        }
        Ok(())
    }
}
