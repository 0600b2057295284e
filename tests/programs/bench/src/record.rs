// SPDX-License-Identifier: GPL-2.0

//! What the guest hands out: one line of JSON for each figure, as soon as there is one.

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Kinds of devices.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Regular,
    Zoned,
}

impl Kind {
    /// The name, as the command line and the records have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Zoned => "zoned",
        }
    }

    /// The file system beside btrfs.
    pub(crate) fn third(self) -> &'static str {
        match self {
            Self::Regular => "xfs",
            Self::Zoned => "f2fs",
        }
    }
}

/// Who did a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Column {
    /// The module of this checkout.
    Ours,
    /// The module of another commit.
    Base,
    /// The kernel's btrfs.
    C,
    /// See [`Kind::third`].
    Third,
}

impl Column {
    /// The name for people.
    pub(crate) fn name(self, kind: Kind) -> &'static str {
        match self {
            Self::Ours => "rbtrfs",
            Self::Base => "base",
            Self::C => "btrfs",
            Self::Third => kind.third(),
        }
    }
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// How many bytes in a second, and in what time 99 of 100 requests were done.
    Rate {
        bytes_per_second: f64,
        p99_ns: Option<u64>,
    },
    /// How long it took.
    Time { ns: u64 },
    /// It could not be done.
    Failed { why: String },
}

impl Outcome {
    /// What took so long.
    pub(crate) fn took(time: Duration) -> Self {
        Self::Time {
            ns: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub kind: Kind,
    pub round: u32,
    pub job: String,
    pub column: Column,
    pub outcome: Outcome,
}

/// Where the lines are, in a folder of results.
fn path(results: &Path) -> PathBuf {
    results.join("figures.jsonl")
}

/// Adds one line.
pub(crate) fn append(results: &Path, record: &Record) -> Result<()> {
    let mut line = serde_json::to_string(record)?;
    line.push('\n');
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path(results))?;
    Ok(file.write_all(line.as_bytes())?)
}

/// All lines. A last one that is cut off, as by a guest that died, is an error like any other.
pub(crate) fn read(results: &Path) -> Result<Vec<Record>> {
    let path = path(results);
    let file = File::open(&path).with_context(|| path.display().to_string())?;
    BufReader::new(file)
        .lines()
        .map(|line| Ok(serde_json::from_str(&line?)?))
        .collect()
}
