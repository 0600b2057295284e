// SPDX-License-Identifier: GPL-2.0

//! Which jobs there are: those of fio from the table `jobs.toml`, those on files from [`files::JOBS`].

use crate::files;
use anyhow::{ensure, Context, Result};
use clap::Args;
use glob::Pattern;
use serde::Deserialize;

/// What `jobs.toml` says.
const TABLE: &str = include_str!("../jobs.toml");

/// A job of fio: one row of the table, whose comment explains the columns.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FioJob {
    pub name: String,
    pub rw: String,
    pub bs: String,
    pub engine: String,
    pub file: FileBefore,
    pub mib: u64,
    #[serde(default = "one")]
    pub depth: u32,
    #[serde(default = "one")]
    pub tasks: u32,
    #[serde(default)]
    pub direct: bool,
    #[serde(default = "not_synchronous")]
    pub sync: String,
}

/// What there is of a job's file before it begins.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileBefore {
    New,
    Cold,
    Warm,
}

fn one() -> u32 {
    1
}

fn not_synchronous() -> String {
    "none".to_owned()
}

impl FioJob {
    /// Whether it writes.
    pub(crate) fn writes(&self) -> bool {
        self.rw.contains("write")
    }

    /// Whether what it wrote is still in the page cache at its end, and so must be synced for it to count.
    pub(crate) fn leaves_dirty_pages(&self) -> bool {
        self.writes() && !self.direct && self.sync == "none"
    }
}

/// What is done on one volume.
pub(crate) enum Work {
    /// The jobs on files up to the last that is asked for, and which of them are.
    Files { asked: Vec<&'static str> },
    /// One job of fio.
    Fio(FioJob),
}

impl Work {
    /// The jobs whose figures it gives.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Files { asked } => asked.clone(),
            Self::Fio(job) => vec![&job.name],
        }
    }
}

/// Which of the jobs.
#[derive(Args)]
pub(crate) struct Selection {
    /// Names of jobs, or patterns as the shell has them; none: all jobs
    #[arg(value_name = "JOB")]
    patterns: Vec<Pattern>,
    /// Make fio's files smaller, this many times: to see that it runs, not for figures
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    shrink: u64,
}

impl Selection {
    /// The jobs asked for, in the order of the tables. A pattern that means no job is an error.
    pub(crate) fn work(&self) -> Result<Vec<Work>> {
        let fio = fio_jobs()?;
        for pattern in &self.patterns {
            let mut names = files::JOBS
                .iter()
                .map(|(name, _)| *name)
                .chain(fio.iter().map(|job| job.name.as_str()));
            ensure!(
                names.any(|name| pattern.matches(name)),
                "no job is called '{pattern}'"
            );
        }
        let asked: Vec<_> = files::JOBS
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| self.has(name))
            .collect();
        let mut work = Vec::new();
        if !asked.is_empty() {
            work.push(Work::Files { asked });
        }
        for mut job in fio {
            if self.has(&job.name) {
                job.mib = (job.mib / self.shrink).max(1);
                work.push(Work::Fio(job));
            }
        }
        Ok(work)
    }

    fn has(&self, name: &str) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(name))
    }
}

/// All rows of the table.
fn fio_jobs() -> Result<Vec<FioJob>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        fio: Vec<FioJob>,
    }
    let table: Table = toml::from_str(TABLE).context("jobs.toml")?;
    Ok(table.fio)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn selection(patterns: &[&str]) -> Selection {
        Selection {
            patterns: patterns.iter().map(|p| Pattern::new(p).unwrap()).collect(),
            shrink: 1,
        }
    }

    fn names(patterns: &[&str]) -> Vec<String> {
        let work = selection(patterns).work().unwrap();
        let names = work.iter().flat_map(Work::names);
        names.map(str::to_owned).collect()
    }

    #[test]
    fn every_job_has_a_name_of_its_own() {
        let all = names(&[]);
        let distinct: HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(all.len(), files::JOBS.len() + fio_jobs().unwrap().len());
    }

    #[test]
    fn both_ways_block_sizes_and_depths_are_read_and_written() {
        let jobs = fio_jobs().unwrap();
        for direct in [false, true] {
            for writes in [false, true] {
                for bs in ["4k", "1m"] {
                    for depth in [1, 16] {
                        assert!(
                            jobs.iter()
                                .any(|job| (job.direct, job.writes()) == (direct, writes)
                                    && (job.bs.as_str(), job.depth) == (bs, depth)
                                    && (job.tasks, job.sync.as_str()) == (1, "none")),
                            "direct {direct}, writes {writes}, {bs}, depth {depth}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn patterns_select() {
        assert_eq!(names(&["stat", "mapped-*"]), ["stat", "mapped-write-4k"]);
        assert!(selection(&["stat", "no-such-*"]).work().is_err());
    }

    #[test]
    fn what_is_synced_at_its_end() {
        let jobs = fio_jobs().unwrap();
        let synced = |name: &str| {
            let job = jobs.iter().find(|job| job.name == name).unwrap();
            job.leaves_dirty_pages()
        };
        assert!(synced("buffered-write-1m-1") && synced("mapped-write-4k"));
        assert!(!synced("direct-write-1m-1") && !synced("dsync-buffered-4k-1"));
        assert!(!synced("buffered-read-1m-1"));
    }
}
