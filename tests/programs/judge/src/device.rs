// SPDX-License-Identifier: GPL-2.0

//! A device that fails by a block here and there where file data is: the badblocks of null_blk.

use anyhow::{Context, Result};
use clap::Args;
use std::fs;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Device {
    /// Takes `+FIRST-LAST` and `-FIRST-LAST`, in sectors.
    #[arg(long)]
    badblocks: PathBuf,
    /// FIRST-LAST: sectors where file data may go.
    #[arg(long)]
    data: Vec<String>,
    /// Sectors from one bad block to the next.
    #[arg(long, default_value_t = 3072)]
    step: u64,
}

impl Device {
    /// Some blocks fail from now on.
    pub(crate) fn spoil(&self) -> Result<()> {
        self.each('+')
    }

    /// None fails.
    pub(crate) fn mend(&self) -> Result<()> {
        self.each('-')
    }

    fn each(&self, sign: char) -> Result<()> {
        // The kernel has room for so many.
        for at in self.places()?.iter().take(500) {
            let range = format!("{sign}{at}-{}", at + 7);
            fs::write(&self.badblocks, range).context("badblocks")?;
        }
        Ok(())
    }

    fn places(&self) -> Result<Vec<u64>> {
        let mut places = Vec::new();
        for range in &self.data {
            let (first, last) = range.split_once('-').context("FIRST-LAST")?;
            let (first, last) = (first.parse::<u64>()?, last.parse::<u64>()?);
            let step = self.step;
            places.extend((first + step / 2..last.saturating_sub(8)).step_by(step as usize));
        }
        Ok(places)
    }
}
