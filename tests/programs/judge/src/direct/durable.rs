// SPDX-License-Identifier: GPL-2.0

//! Writes that are to be durable before they count, one after the other, by any engine and with any flag.

use super::engine::{By, Durability, Engine, Request, Way};
use super::transfer::{open_with, BLOCK};
use crate::mapping::Mapping;
use crate::pattern;
use anyhow::{bail, ensure, Result};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Options {
    file: PathBuf,
    #[arg(long)]
    by: By,
    #[arg(long)]
    sync: Durability,
    #[arg(long, default_value_t = 1)]
    writes: usize,
    /// Through the page cache.
    #[arg(long)]
    buffered: bool,
    /// Nothing becomes durable any more: each write must say so.
    #[arg(long)]
    fails: bool,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let direct = if options.buffered { 0 } else { libc::O_DIRECT };
    let file = open_with(&options.file, direct | options.sync.of_file())?;
    let memory = Mapping::anonymous(BLOCK)?;
    let mut engine = Engine::new(options.by, &memory)?;
    for number in 0..options.writes {
        let pos = number * BLOCK;
        memory.store(0, &pattern::bytes(1, 2, pos as u64, BLOCK));
        let request = Request::new(Way::Write, pos, vec![(0, BLOCK)]).durable(options.sync);
        match (engine.one(&file, &request)?, options.fails) {
            (Ok(done), false) => ensure!(done == BLOCK, "{done} bytes"),
            (Ok(done), true) => bail!("write {number}: {done} bytes count, which are not durable"),
            (Err(error), true) if is_honest(&error) => println!("write {number}: {error}"),
            (Err(error), _) => bail!("write {number}: {error}"),
        }
    }
    Ok(())
}

fn is_honest(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EROFS))
}
