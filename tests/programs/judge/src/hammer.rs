// SPDX-License-Identifier: GPL-2.0

//! The hammer: many tasks do to a few files all that can be done to files, while memory is short
//! and the kernel writes out all the time, and at any moment every byte is known.
//!
//! Each file has a copy of its bytes in memory, cut into chunks with a lock each (see `model`).
//! Chunks are not whole blocks, so that tasks meet in blocks and folios.

mod act;
mod check;
mod history;
mod model;
mod worker;

use crate::beside::{rounds, Until};
use crate::source::Source;
use crate::{pattern, pressure, settle};
use anyhow::{ensure, Context, Result};
use check::Wrong;
use clap::{Args, ValueEnum};
use model::Known;
use std::fs;
use std::path::PathBuf;
use std::thread::{self, Scope, ScopedJoinHandle};
use worker::{Counts, Worker};

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[arg(long, default_value_t = 6)]
    tasks: u64,
    #[arg(long, default_value_t = 3)]
    files: u64,
    /// MiB of each file at most.
    #[arg(long, default_value_t = 6)]
    size: usize,
    /// What O_DIRECT reads into mappings come from: a block device or a file.
    #[arg(long)]
    source: PathBuf,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// MiB of memory left to others; none is taken without it.
    #[arg(long)]
    leave: Option<u64>,
    /// A file that takes a percentage of allocations to fail, as /sys/kernel/debug/failslab has
    /// one.  System calls may fail then, and may or may not have done what they were to do; no
    /// byte may be lost.
    #[arg(long)]
    failing: Vec<PathBuf>,
    #[arg(long, default_value_t = 1)]
    percent: u32,
    /// Only these acts, and the checks.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<act::Act>,
    /// What the file system does not do: it must say so.
    #[arg(long, value_enum, value_delimiter = ',')]
    missing: Vec<act::Act>,
}

const PAGE: usize = 4096;

pub(crate) fn run(options: &Options) -> Result<()> {
    let source = Source::fill(&options.source, pattern::bytes(200, 1, 0, 256 << 10))?;
    let files = (1..=options.files)
        .map(|number| Known::create(&options.dir, number, options.size << 20))
        .collect::<Result<Vec<_>>>()?;
    let counts = Counts::default();
    let until = Until::seconds(options.seconds);
    // This tries what the file system can do, which changes bytes: before anybody works, or fails.
    for act in act::Act::value_variants() {
        act.expect(&options.missing, &files[0])?;
    }
    let workers = (1..=options.tasks)
        .map(|task| Worker::new(options, task, &files, &source, &counts))
        .collect::<Result<Vec<_>>>()?;
    options.fail(options.percent)?;
    let worked = thread::scope(|scope| {
        let mut threads = company(options, scope, &until, &files);
        for mut worker in workers {
            threads.push(until.repeat(scope, move || worker.work()));
        }
        rounds(threads)
    });
    options.fail(0)?;
    println!("{counts}");
    println!("{} rounds, seed {}", worked?, options.seed);
    ensure!(
        options.failing.is_empty() || counts.failed() > 0,
        "no call failed"
    );
    for file in &files {
        file.settled(!options.failing.is_empty())?;
    }
    Ok(())
}

/// Those who only make it harder for the others.
fn company<'s, 'e>(
    options: &'s Options,
    scope: &'s Scope<'s, 'e>,
    until: &'s Until,
    files: &'s [Known],
) -> Vec<ScopedJoinHandle<'s, Result<u64>>> {
    let mut threads = vec![until.repeat(scope, || {
        until.sleep(300);
        options.unless_failing(settle::drop_caches())
    })];
    threads.push(until.repeat(scope, move || {
        for file in files {
            until.sleep(5);
            let begun = settle::write_out(&file.file, settle::BEGIN);
            options.unless_failing(begun.context("sync_file_range beside"))?;
        }
        until.sleep(10);
        Ok(())
    }));
    threads.push(until.repeat(scope, move || {
        for file in files {
            until.sleep(20);
            options.unless_failing(file.sweep())?;
        }
        Ok(())
    }));
    if let Some(leave) = options.leave {
        let mut hog = pressure::Hog::new(leave << 20);
        threads.push(until.repeat(scope, move || options.unless_failing(hog.press())));
    }
    threads
}

impl Options {
    /// An error counts, unless it tells of no wrong byte and errors are to be expected.
    fn unless_failing(&self, result: Result<()>) -> Result<()> {
        result.or_else(|error| match error.downcast_ref::<Wrong>() {
            None if !self.failing.is_empty() => Ok(()),
            _ => Err(error),
        })
    }

    /// From now on so many of a hundred allocations fail.
    fn fail(&self, percent: u32) -> Result<()> {
        for path in &self.failing {
            fs::write(path, percent.to_string()).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}
