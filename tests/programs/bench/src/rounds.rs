// SPDX-License-Identifier: GPL-2.0

//! The guest's part: every job in turn by everybody, round after round, each on a fresh volume.

use crate::files;
use crate::fio;
use crate::jobs::{FileBefore, FioJob, Selection, Work};
use crate::record::{self, Column, Kind, Outcome, Record};
use crate::volume::{drop_caches, Drivers, Volume};
use anyhow::{Context, Result};
use clap::Args;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct Options {
    #[arg(long)]
    kind: Kind,
    /// Device for btrfs
    #[arg(long)]
    disk: String,
    /// Device for the third file system
    #[arg(long)]
    third_disk: String,
    /// The module
    #[arg(long)]
    module: PathBuf,
    /// Another build of the module, to compare with
    #[arg(long)]
    base: Option<PathBuf>,
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Folder for the figures and for fio's own reports
    #[arg(long)]
    results: PathBuf,
    #[command(flatten)]
    selection: Selection,
}

/// All rounds on one kind of device. A job that fails is a record; an error is what nothing can follow.
pub(crate) fn run(options: &Options) -> Result<()> {
    let work = options.selection.work()?;
    let mut drivers = Drivers::new(options.module.clone(), options.base.clone())?;
    fs::create_dir_all(options.results.join("fio"))?;
    for round in 1..=options.rounds {
        let mut columns = drivers.columns();
        // So that nobody is always the first.
        let first = (round - 1) as usize % columns.len();
        columns.rotate_left(first);
        for work in &work {
            for &column in &columns {
                let cell = Cell {
                    options,
                    round,
                    column,
                };
                cell.run(&mut drivers, work)?;
            }
        }
    }
    // For the next kind of device.
    drivers.unload()
}

/// One volume of one file system in one round.
struct Cell<'a> {
    options: &'a Options,
    round: u32,
    column: Column,
}

impl Cell<'_> {
    fn run(&self, drivers: &mut Drivers, work: &Work) -> Result<()> {
        let Options {
            kind,
            disk,
            third_disk,
            ..
        } = self.options;
        let disk = if self.column == Column::Third {
            third_disk
        } else {
            disk
        };
        let outcomes = match Volume::new(drivers, *kind, self.column, disk) {
            Ok(volume) => self.work_on(volume, work)?,
            Err(error) => failed(work, &error),
        };
        for (job, outcome) in outcomes {
            self.record(job, outcome)?;
        }
        Ok(())
    }

    fn work_on(&self, volume: Volume<'_>, work: &Work) -> Result<Vec<(String, Outcome)>> {
        let outcomes = match work {
            Work::Files { asked } => on_files(volume.dir(), asked, drop_caches),
            Work::Fio(job) => {
                let report = self.options.results.join("fio").join(format!(
                    "{}-{}-{}-{}.json",
                    self.options.kind.name(),
                    job.name,
                    self.column.name(self.options.kind),
                    self.round
                ));
                let outcome = on_one_file(volume.dir(), job, &report);
                vec![(
                    job.name.clone(),
                    outcome.unwrap_or_else(|error| refused(&error)),
                )]
            }
        };
        // What cannot be unmounted leaves no place for the next.
        volume.unmount()?;
        Ok(match volume.judge() {
            Ok(()) => outcomes,
            Err(error) => failed(work, &error),
        })
    }

    fn record(&self, job: String, outcome: Outcome) -> Result<()> {
        let record = Record {
            kind: self.options.kind,
            round: self.round,
            job,
            column: self.column,
            outcome,
        };
        println!(
            "{} round {} {} {}: {:?}",
            record.kind.name(),
            record.round,
            record.job,
            self.column.name(record.kind),
            record.outcome
        );
        record::append(&self.options.results, &record)
    }
}

fn refused(error: &anyhow::Error) -> Outcome {
    Outcome::Failed {
        why: format!("{error:#}"),
    }
}

/// Every figure of `work` is lost.
fn failed(work: &Work, error: &anyhow::Error) -> Vec<(String, Outcome)> {
    let names = work.names().into_iter();
    names
        .map(|name| (name.to_owned(), refused(error)))
        .collect()
}

/// The jobs on files up to the last of those asked for, each after `settle`. Those after one that failed fail too.
fn on_files(dir: &Path, asked: &[&str], settle: impl Fn() -> Result<()>) -> Vec<(String, Outcome)> {
    let mut outcomes = Vec::new();
    let mut broken: Option<String> = None;
    for (name, job) in files::JOBS {
        if outcomes.len() == asked.len() {
            break;
        }
        let outcome = match &broken {
            Some(why) => Outcome::Failed { why: why.clone() },
            None => match settle().and_then(|()| job(dir)) {
                Ok(time) => Outcome::took(time),
                Err(error) => {
                    broken = Some(format!("{name} had failed"));
                    refused(&error)
                }
            },
        };
        if asked.contains(name) {
            outcomes.push(((*name).to_owned(), outcome));
        }
    }
    outcomes
}

/// One job of fio, on its file.
fn on_one_file(dir: &Path, job: &FioJob, report: &Path) -> Result<Outcome> {
    let file = dir.join("file");
    if job.file != FileBefore::New {
        lay_out(&file, job.mib).context("the file before the job")?;
    }
    if job.file != FileBefore::Warm {
        drop_caches()?;
    }
    fio::run(job, &file, report)
}

/// A file of so many MiB, on the device and in the page cache.
fn lay_out(path: &Path, mib: u64) -> Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut file = File::create(path)?;
    for index in 0..mib {
        files::fill(&mut buffer, index);
        file.write_all(&buffer)?;
    }
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_job_on_files_takes_those_after_it_along() {
        // No folder, no file.
        let outcomes = on_files(Path::new("/nonexistent"), &["read", "stat"], || Ok(()));
        let names: Vec<_> = outcomes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["read", "stat"]);
        for (_, outcome) in outcomes {
            assert!(matches!(outcome, Outcome::Failed { .. }));
        }
    }
}
