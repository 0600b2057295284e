// SPDX-License-Identifier: GPL-2.0

//! A file that is cut and made longer while tasks write and read it directly, some of them with
//! `O_DSYNC` or `RWF_DSYNC`. What stands behind the cut is gone; what is found is zeroes or what somebody wrote there.

use super::engine::{By, Durability, Engine, Request, Way};
use super::transfer::{open, open_direct, read, BLOCK};
use crate::beside::{rounds, Until};
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{ensure, Context, Result};
use clap::Args;
use std::path::PathBuf;
use std::thread;

#[derive(Args)]
pub(super) struct Options {
    dir: PathBuf,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

const SIZE: usize = 1 << 20;
const LEN: usize = 8 * BLOCK;

const WRITERS: [(By, Durability); 4] = [
    (By::Call, Durability::None),
    (By::Call, Durability::OSync),
    (By::Aio, Durability::ODsync),
    (By::Ring, Durability::RwfDsync),
];

pub(super) fn run(options: &Options) -> Result<()> {
    let path = options.dir.join("cut");
    let (file, direct) = (open(&path)?, open_direct(&path, 0)?);
    let until = Until::seconds(options.seconds);
    let mut writers = Vec::new();
    for (by, sync) in WRITERS {
        let file = open_direct(&path, sync.of_file())?;
        writers.push((by, sync, file, Mapping::anonymous(LEN)?));
    }
    let found = Mapping::anonymous(LEN)?;
    let done = thread::scope(|scope| {
        let (mut turn, file) = (0usize, &file);
        let mut threads = vec![until.repeat(scope, move || {
            turn += 1;
            let size = [SIZE, SIZE / 3, 5000, SIZE / 2 + 77][turn % 4];
            let cut = file.set_len(size as u64);
            cut.with_context(|| format!("cut to {size}"))
        })];
        for (by, sync, direct, memory) in &writers {
            let (mut turn, mut engine) = (0usize, Engine::new(*by, memory)?);
            threads.push(until.repeat(scope, move || {
                turn += 1;
                let pos = turn * 5 * BLOCK % (SIZE - LEN) / BLOCK * BLOCK;
                memory.store(0, &pattern::bytes(1, 1, pos as u64, LEN));
                let request = Request::new(Way::Write, pos, vec![(0, LEN)]).durable(*sync);
                let done = engine.one(direct, &request)?;
                let done = done.with_context(|| format!("{by:?} {sync:?} at {pos}"))?;
                ensure!(done == LEN, "{done} of {LEN} bytes written");
                Ok(())
            }));
        }
        let (mut turn, direct, found) = (0usize, &direct, &found);
        threads.push(until.repeat(scope, move || {
            turn += 1;
            let pos = turn * 3 * BLOCK % (SIZE - LEN) / BLOCK * BLOCK;
            let done = read(direct, found, 0, LEN, pos as u64, 0);
            let done = done.with_context(|| format!("read at {pos}"))?;
            judge(&found.load(0, done), pos)
        }));
        rounds(threads)
    })?;
    file.sync_all()?;
    settle::evict(&file)?;
    judge(&settle::contents(&file)?, 0)?;
    println!("{done} calls");
    Ok(())
}

/// A word is what belongs there, or zero; the last may be cut.
fn judge(bytes: &[u8], pos: usize) -> Result<()> {
    let wanted = pattern::bytes(1, 1, pos as u64, bytes.len());
    for (index, (found, wanted)) in bytes.iter().zip(&wanted).enumerate() {
        ensure!(
            found == wanted || *found == 0,
            "byte {}: {found:#04x} is of nobody",
            pos + index
        );
    }
    Ok(())
}
