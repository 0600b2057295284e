// SPDX-License-Identifier: GPL-2.0

//! Blocks written over and over by some tasks while writeback of the same file goes on.

use crate::beside::{rounds, Until};
use crate::pattern;
use crate::settle::{self, evict};
use anyhow::{ensure, Context, Result};
use clap::Args;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;

#[derive(Args)]
pub(crate) struct Options {
    /// A folder of the file system.
    dir: PathBuf,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Tasks, each with blocks of its own in the one file.
    #[arg(long, default_value_t = 1)]
    tasks: u64,
    /// Bytes of a block.
    #[arg(long, default_value_t = 1 << 20)]
    block: u64,
    /// Blocks of each task.
    #[arg(long, default_value_t = 1)]
    blocks: u64,
    /// Writes of a task between two fsyncs.
    #[arg(long, default_value_t = 10)]
    fsync: u64,
    /// Leave writeback to the fsyncs and the flusher.
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let path = options.dir.join("overwritten");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?;
    let until = Until::seconds(options.seconds);
    let versions = thread::scope(|scope| {
        let starter = until.repeat(scope, || {
            if options.quiet {
                until.sleep(100);
                return Ok(());
            }
            settle::write_out(&file, settle::BEGIN).context("sync_file_range")
        });
        let tasks: Vec<_> = (0..options.tasks)
            .map(|task| (task, &file, &until))
            .map(|(task, file, until)| {
                scope.spawn(move || {
                    write_over(options, file, until, task).inspect_err(|_| until.stop())
                })
            })
            .collect();
        let versions: Vec<_> = tasks
            .into_iter()
            .map(|t| t.join().expect("no panic"))
            .collect();
        rounds([starter])?;
        versions.into_iter().collect::<Result<Vec<_>>>()
    })?;
    file.sync_all().context("the last fsync")?;
    evict(&file)?;
    for (task, versions) in (0..).zip(&versions) {
        judge(options, &file, task, versions)?;
    }
    let writes: u64 = versions.iter().flatten().sum();
    println!(
        "{writes} writes of {} bytes, the last of each block is there",
        options.block
    );
    Ok(())
}

/// One task; the last version of each of its blocks.
fn write_over(options: &Options, file: &File, until: &Until, task: u64) -> Result<Vec<u64>> {
    let mut versions = vec![0; options.blocks as usize];
    let mut count = 0;
    while until.goes_on() {
        for (number, version) in versions.iter_mut().enumerate() {
            *version += 1;
            let offset = place(options, task, number);
            let bytes = pattern::bytes(task, *version, offset, options.block as usize);
            file.write_all_at(&bytes, offset).context("write")?;
            count += 1;
            if count % options.fsync == 0 {
                file.sync_all()
                    .with_context(|| format!("fsync after {count} writes"))?;
            }
        }
    }
    ensure!(versions[0] > 0, "task {task} wrote nothing");
    Ok(versions)
}

/// The tasks' blocks take turns in the file.
fn place(options: &Options, task: u64, number: usize) -> u64 {
    (number as u64 * options.tasks + task) * options.block
}

fn judge(options: &Options, file: &File, task: u64, versions: &[u64]) -> Result<()> {
    for (number, version) in versions.iter().enumerate() {
        let offset = place(options, task, number);
        let wanted = pattern::bytes(task, *version, offset, options.block as usize);
        let mut found = vec![0; wanted.len()];
        file.read_exact_at(&mut found, offset).context("read")?;
        pattern::same(
            &format!("block {number} of task {task}"),
            &wanted,
            &found,
            offset,
        )?;
    }
    Ok(())
}
