// SPDX-License-Identifier: GPL-2.0

//! Takes memory until little is left, so that the kernel reclaims all the time.

use crate::mapping::Mapping;
use anyhow::{Context, Result};
use clap::Args;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

const PIECE: usize = 8 << 20;

#[derive(Args)]
pub(crate) struct Options {
    /// Seconds to go on.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// MiB to leave to others.
    #[arg(long, default_value_t = 96)]
    leave: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    squeeze(Duration::from_secs(options.seconds), options.leave << 20)
}

/// Leaves `leave` bytes to all others for that time, then gives all back.
pub(crate) fn squeeze(time: Duration, leave: u64) -> Result<()> {
    let end = Instant::now() + time;
    let mut hog = Hog::new(leave);
    while Instant::now() < end {
        hog.press()?;
    }
    Ok(())
}

/// Who holds the memory.
pub(crate) struct Hog {
    leave: u64,
    taken: Vec<Mapping>,
}

impl Hog {
    pub(crate) fn new(leave: u64) -> Self {
        Self {
            leave,
            taken: Vec::new(),
        }
    }

    /// Takes a piece; or, where little is left, gives one back after a while: it is taken again
    /// at once, and the kernel has to find it.
    pub(crate) fn press(&mut self) -> Result<()> {
        if available()? < self.leave + PIECE as u64 {
            thread::sleep(Duration::from_millis(50));
            self.taken.pop();
            return Ok(());
        }
        let piece = Mapping::anonymous(PIECE)?;
        for page in (0..PIECE).step_by(4096) {
            piece.store(page, &[1]);
        }
        self.taken.push(piece);
        Ok(())
    }
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
