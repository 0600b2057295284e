// SPDX-License-Identifier: GPL-2.0

//! Takes memory until little is left, so that the kernel reclaims all the time.

use crate::mapping::Mapping;
use anyhow::{Context, Result};
use clap::Args;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

const PIECE: usize = 16 << 20;

#[derive(Args)]
pub struct Options {
    /// Seconds to go on.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// MiB to leave to others.
    #[arg(long, default_value_t = 96)]
    leave: u64,
}

pub fn run(options: &Options) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(options.seconds);
    while Instant::now() < end {
        let left = end.saturating_duration_since(Instant::now());
        squeeze(left.min(Duration::from_secs(10)), options.leave << 20)?;
    }
    Ok(())
}

/// Leaves `leave` bytes to all others for that time, then gives all back.
pub fn squeeze(time: Duration, leave: u64) -> Result<()> {
    let end = Instant::now() + time;
    let mut taken = Vec::new();
    while Instant::now() < end {
        if available()? > leave + PIECE as u64 {
            let piece = Mapping::anonymous(PIECE)?;
            for page in (0..PIECE).step_by(4096) {
                piece.store(page, &[1]);
            }
            taken.push(piece);
        } else {
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Bytes that could be had without harm.
fn available() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.context("no MemAvailable")?.parse::<u64>()? << 10)
}
