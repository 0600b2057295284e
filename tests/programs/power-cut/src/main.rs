// SPDX-License-Identifier: GPL-2.0
//! Power cuts under the module.
//!
//! A disk in this program's memory, a ublk device, holds a volume of the module. Programs write to it in all ways that
//! promise durability, while a [`log::Log`] takes down in one order what the disk is asked, when it answers, what the
//! programs begin and what they are told. Then the power is cut at many points of the log: what a disk with a volatile
//! cache may have kept is mounted and judged.

mod block;
mod choose;
mod disk;
mod expect;
mod judge;
mod log;
mod media;
mod mount;
mod record;
mod replay;
mod ublk;
mod workload;

use anyhow::{ensure, Result};
use clap::{Parser, ValueEnum};
use judge::Judge;
use rand::{rngs::SmallRng, SeedableRng};
use record::Recorder;
use std::path::PathBuf;
use std::time::Instant;
use ublk::Geometry;

const MIB: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Regular,
    Zoned,
}

/// Records what a file system writes, cuts the power at many points of that, and judges what is left.
#[derive(Parser)]
struct Options {
    /// The kind of the disk.
    #[arg(long, value_enum)]
    kind: Kind,
    /// How often the power is cut.
    #[arg(long, default_value_t = 54)]
    cuts: usize,
    /// How many of these belong to one recording, after which the volume is written to again.
    #[arg(long, default_value_t = 100)]
    cuts_each: usize,
    /// Repeats the choices of a run, though not its timing.
    #[arg(long)]
    seed: Option<u64>,
    /// C btrfs judges every so many cuts.
    #[arg(long, default_value_t = 8)]
    c_every: usize,
    /// The file system's name: that of the module, or btrfs for C btrfs.
    #[arg(long, default_value = "rbtrfs")]
    driver: String,
    /// Where volumes are mounted.
    #[arg(long, default_value = "/mnt/power_cut")]
    folder: PathBuf,
    /// More for mkfs.btrfs.
    #[arg(last = true)]
    mkfs: Vec<String>,
}

impl Kind {
    fn geometry(self) -> Geometry {
        match self {
            Self::Regular => Geometry {
                size: 512 * MIB,
                zone: None,
            },
            Self::Zoned => Geometry {
                size: 1024 * MIB,
                zone: Some(8 * MIB),
            },
        }
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(rand::random);
    let mut random = SmallRng::seed_from_u64(seed);
    println!("--- {:?}, seed {seed}", options.kind);
    let (geometry, started) = (options.kind.geometry(), Instant::now());
    let mut recorder = Recorder::start(geometry, &options, seed)?;
    let mut judge = Judge::new(geometry, &options);
    let mut left = options.cuts;
    while left > 0 {
        let recording = recorder.record(&mut random)?;
        println!(
            "{:.0?}: recorded {} events",
            started.elapsed(),
            recording.events.len()
        );
        let cuts = left.min(options.cuts_each);
        judge.cut(&recording, cuts, &mut random)?;
        println!(
            "{:.0?}: {} cuts, {} failures",
            started.elapsed(),
            judge.cuts,
            judge.failures
        );
        left -= cuts;
        if left == 0 {
            judge.find_out_a_liar(&recording, &mut random)?;
        }
    }
    recorder.stop()?;
    println!("{}", judge.summary());
    ensure!(
        judge.failures == 0,
        "{} of {} power cuts lost something, seed {seed}",
        judge.failures,
        judge.cuts
    );
    Ok(())
}
