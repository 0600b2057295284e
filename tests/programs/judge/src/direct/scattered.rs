// SPDX-License-Identifier: GPL-2.0

//! Many small writes at once, beside each other and by every way, to files that were given their space, on a volume that is
//! full of data and of small files: each finds what it needs, if it waits for others.
//!
//! A store through a mapping may be caught by writeback before it is done. Its block is a written one then, and has no space to
//! be written again: only what is unwritten must not be refused. The stores are the kernel's, for whom a bus error is an error.

use super::engine::{By, Engine, Request, Way};
use super::transfer::{open, open_direct, BLOCK};
use crate::faults::space::when_full::fill;
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{ensure, Context, Result};
use clap::Args;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

#[derive(Args)]
pub(super) struct Options {
    dir: PathBuf,
    /// Tasks of each kind; those with engines have a quarter as many, and several requests each.
    #[arg(long, default_value_t = 16)]
    tasks: usize,
    /// Blocks that each writes.
    #[arg(long, default_value_t = 48)]
    each: usize,
}

/// What a file is written by.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Buffered,
    Mapped,
    Direct(By),
}

const KINDS: [Kind; 4] = [
    Kind::Buffered,
    Kind::Mapped,
    Kind::Direct(By::Aio),
    Kind::Direct(By::Ring),
];

/// Requests that an engine has under way at once.
const BATCH: usize = 16;

/// A file that was given its space: every other block of it is written.
struct Given {
    number: u64,
    kind: Kind,
    path: PathBuf,
    file: File,
    blocks: usize,
    /// Blocks that were written out before something was stored.
    caught: Mutex<Vec<usize>>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let blocks = options.tasks * options.each;
    let mut all = Vec::new();
    for (number, kind) in (0..).zip(KINDS) {
        all.push(Given::new(&options.dir, number, kind, blocks)?);
    }
    let taken = fill(&open(&options.dir.join("filler"))?, 1 << 20)?;
    let count = fill_with_small(&options.dir.join("small"))?;
    println!("{taken} bytes and {count} small files fill the volume");
    thread::scope(|scope| {
        let mut tasks = Vec::new();
        for given in &all {
            let count = match given.kind {
                Kind::Direct(_) => options.tasks / 4,
                _ => options.tasks,
            };
            let task = move |task| scope.spawn(move || given.write(task, count));
            tasks.extend((0..count).map(task));
        }
        let ended = tasks.into_iter().map(|task| task.join().expect("no panic"));
        ended.collect::<Result<Vec<()>>>()
    })?;
    for given in &all {
        given.file.sync_all().context("fsync")?;
        given.check()?;
    }
    settle::drop_caches()?;
    for given in &all {
        given.check()?;
        fs::remove_file(&given.path)?;
    }
    Ok(())
}

/// Files that are in the tree, until there is no space for one more; how many.
fn fill_with_small(dir: &Path) -> Result<usize> {
    fs::create_dir(dir)?;
    for number in 0.. {
        match fs::write(dir.join(format!("{number}")), [7; 2000]) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => return Ok(number),
            written => written?,
        }
    }
    unreachable!()
}

impl Given {
    fn new(dir: &Path, number: u64, kind: Kind, blocks: usize) -> Result<Self> {
        let path = dir.join(format!("given{number}"));
        let file = open(&path)?;
        let len = (2 * blocks * BLOCK) as libc::off_t;
        // SAFETY: plain numbers.
        let result = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len) };
        ensure!(result == 0, "fallocate: {}", io::Error::last_os_error());
        Ok(Self {
            number,
            kind,
            path,
            file,
            blocks,
            caught: Mutex::default(),
        })
    }

    fn bytes(&self, pos: usize) -> Vec<u8> {
        pattern::bytes(self.number, 1, pos as u64, BLOCK)
    }

    /// Writes the part of task `task` of `count`: no two of its blocks beside each other.
    fn write(&self, task: usize, count: usize) -> Result<()> {
        let places = (task..self.blocks)
            .step_by(count)
            .map(|block| 2 * block * BLOCK);
        let places: Vec<usize> = places.collect();
        let written = match self.kind {
            Kind::Buffered => places
                .iter()
                .try_for_each(|&pos| self.file.write_all_at(&self.bytes(pos), pos as u64))
                .map_err(Into::into),
            Kind::Mapped => self.store(&places),
            Kind::Direct(by) => self.send(by, &places),
        };
        written.with_context(|| format!("{:?} by task {task}", self.kind))
    }

    /// A page at a time comes into memory: a store takes all of its folio along.
    fn store(&self, places: &[usize]) -> Result<()> {
        let mapping = Mapping::shared(&self.file, 2 * self.blocks * BLOCK)?;
        mapping.expect_random()?;
        let (mut from, mut to) = UnixStream::pair()?;
        for &pos in places {
            to.write_all(&self.bytes(pos))?;
            let mut done = 0;
            while done < BLOCK {
                // SAFETY: inside the mapping, which nobody borrows.
                let read = unsafe {
                    libc::read(
                        from.as_raw_fd(),
                        mapping.at(pos + done).cast(),
                        BLOCK - done,
                    )
                };
                match usize::try_from(read) {
                    Ok(count) => done += count,
                    Err(_) => break,
                }
            }
            if done < BLOCK {
                let error = io::Error::last_os_error();
                ensure!(self.is_data(pos)?, "a store at {pos}: {error}");
                self.caught.lock().expect("no panic").push(pos);
                from.read_exact(&mut vec![0; BLOCK - done])?;
            }
        }
        Ok(())
    }

    /// Whether a block is a written one, in the file or in memory.
    fn is_data(&self, pos: usize) -> Result<bool> {
        let at = pos as libc::off_t;
        // SAFETY: plain numbers.
        let found = unsafe { libc::lseek(self.file.as_raw_fd(), at, libc::SEEK_DATA) };
        ensure!(found >= 0, "SEEK_DATA: {}", io::Error::last_os_error());
        Ok(found == at)
    }

    fn send(&self, by: By, places: &[usize]) -> Result<()> {
        let direct = open_direct(&self.path, 0)?;
        let memory = Mapping::anonymous(BATCH * BLOCK)?;
        let mut engine = Engine::new(by, &memory)?;
        for batch in places.chunks(BATCH) {
            let request = |(slot, &pos): (usize, &usize)| {
                memory.store(slot * BLOCK, &self.bytes(pos));
                Request::new(Way::Write, pos, vec![(slot * BLOCK, BLOCK)])
            };
            let requests: Vec<Request> = batch.iter().enumerate().map(request).collect();
            for result in engine.run(&direct, &requests)? {
                ensure!(result? == BLOCK, "a short count");
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let mut wanted = vec![0; 2 * self.blocks * BLOCK];
        for block in (0..2 * self.blocks).step_by(2) {
            let pos = block * BLOCK;
            wanted[pos..pos + BLOCK].copy_from_slice(&self.bytes(pos));
        }
        let caught = self.caught.lock().expect("no panic");
        println!(
            "{:?}: {} blocks were written out before",
            self.kind,
            caught.len()
        );
        for &pos in caught.iter() {
            self.file
                .read_exact_at(&mut wanted[pos..pos + BLOCK], pos as u64)?;
        }
        settle::holds(&format!("{:?}", self.kind), &self.file, &wanted)
    }
}
