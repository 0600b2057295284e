// SPDX-License-Identifier: GPL-2.0

//! Plain logs: some tasks append lines while the file is written out beside them.

use crate::beside::{rounds, Until};
use crate::settle::{self, evict};
use anyhow::{bail, ensure, Context, Result};
use clap::{Args, ValueEnum};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::thread;

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Tasks, each with a log of its own.
    #[arg(long, default_value_t = 1)]
    tasks: u64,
    /// Who writes out beside.
    #[arg(long, value_enum, default_value = "fdatasync")]
    beside: Beside,
    /// Most bytes of a log: writing stops there.
    #[arg(long, default_value_t = 200 << 20)]
    most: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Beside {
    /// Another task calls fdatasync(2) all the time.
    Fdatasync,
    /// Another task starts writeback all the time.
    Range,
    /// The kernel's flusher alone.
    Flusher,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let until = Until::seconds(options.seconds);
    let lines = thread::scope(|scope| {
        let until = &until;
        let tasks: Vec<_> = (0..options.tasks)
            .map(|task| {
                scope.spawn(move || log(options, until, task).inspect_err(|_| until.stop()))
            })
            .collect();
        rounds(tasks)
    })?;
    println!("{lines} lines, all there");
    Ok(())
}

/// Writes one log and reads it back; the number of its lines.
fn log(options: &Options, until: &Until, task: u64) -> Result<u64> {
    let path = options.dir.join(format!("log{task}"));
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create_new(true)
        .open(&path)?;
    let lines = thread::scope(|scope| {
        let beside = until.repeat(scope, || write_out(options.beside, &file, until));
        let lines = append(&file, options.most, until).inspect_err(|_| until.stop());
        until_joined(beside, lines)
    })?;
    file.sync_all().context("the last fsync")?;
    evict(&file)?;
    judge(&file, lines).with_context(|| path.display().to_string())?;
    Ok(lines)
}

fn until_joined(
    beside: thread::ScopedJoinHandle<'_, Result<u64>>,
    lines: Result<u64>,
) -> Result<u64> {
    beside.join().expect("no thread panics")?;
    lines
}

fn write_out(beside: Beside, file: &File, until: &Until) -> Result<()> {
    match beside {
        Beside::Fdatasync => file.sync_data().context("fdatasync beside"),
        Beside::Range => settle::write_out(file, settle::BEGIN).context("sync_file_range beside"),
        Beside::Flusher => {
            until.sleep(100);
            Ok(())
        }
    }
}

fn append(mut file: &File, most: u64, until: &Until) -> Result<u64> {
    let (mut number, mut size) = (0, 0);
    while until.goes_on() {
        if size > most {
            until.sleep(100);
            continue;
        }
        let line = line(number);
        let done = file.write(line.as_bytes()).context("write")?;
        ensure!(done == line.len(), "{done} of {} bytes written", line.len());
        size += done as u64;
        number += 1;
    }
    Ok(number)
}

/// A line of 20 to 179 bytes which says its number over and over.
fn line(number: u64) -> String {
    let len = 20 + (number * 7919 % 160) as usize;
    let mut line = String::with_capacity(len + 12);
    while line.len() < len {
        let _ = write!(line, "{number:010} ");
    }
    line.truncate(len - 1);
    line.push('\n');
    line
}

fn judge(file: &File, lines: u64) -> Result<()> {
    let found = settle::contents(file)?;
    let (mut place, mut damaged, mut first) = (0, 0, None);
    for number in 0..lines {
        let wanted = line(number);
        let end = place + wanted.len();
        if found.get(place..end) != Some(wanted.as_bytes()) {
            damaged += 1;
            first.get_or_insert((number, place));
        }
        place = end;
    }
    ensure!(
        found.len() == place,
        "{} bytes where {place} were written",
        found.len()
    );
    if let Some((number, place)) = first {
        bail!("{damaged} of {lines} lines damaged, the first is {number} at offset {place}");
    }
    Ok(())
}
