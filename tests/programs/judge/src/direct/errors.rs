// SPDX-License-Identifier: GPL-2.0

//! A device that fails in the middle of direct requests, by a block here and there where file data is (the badblocks of
//! null_blk). Whoever met one gets EIO; of each block the old or the new bytes are there; a file that was to grow has its
//! old size; and everything works once the device does.

use super::engine::{By, Engine, Request, Way};
use super::transfer::{open, open_direct, BLOCK};
use crate::device::Device;
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Options {
    dir: PathBuf,
    #[command(flatten)]
    device: Device,
    #[arg(long, value_delimiter = ',', default_value = "call,aio,ring")]
    by: Vec<By>,
    /// Any write that fails may leave the file longer, as with C btrfs.
    #[arg(long)]
    may_grow: bool,
}

const SIZE: usize = 4 << 20;
const BATCH: usize = 4;
const LEN: usize = SIZE / BATCH;

#[derive(Clone, Copy, Debug)]
enum Case {
    Overwrite,
    Hole,
    /// Over the end of the file.
    Grow,
    /// Behind the end, several requests at once.
    Behind,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let mut failed = 0;
    for by in &options.by {
        for case in [Case::Overwrite, Case::Hole, Case::Grow, Case::Behind] {
            let name = format!("errors-{by:?}-{case:?}");
            failed += writes(options, *by, case, &name).context(name)?;
        }
        let name = format!("errors-{by:?}-read");
        failed += reads(options, *by, &name).context(name)?;
    }
    ensure!(failed > 0, "no request failed");
    println!("{failed} requests failed");
    Ok(())
}

fn batch(way: Way, start: usize, len: usize) -> Vec<Request> {
    (0..BATCH)
        .map(|number| Request::new(way, start + number * len, vec![(number * len, len)]))
        .collect()
}

fn is_error(result: &io::Result<usize>, len: usize) -> Result<bool> {
    match result {
        Ok(done) if *done == len => Ok(false),
        Ok(done) => bail!("{done} of {len} bytes"),
        Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(true),
        Err(error) => bail!("{error}"),
    }
}

fn writes(options: &Options, by: By, case: Case, name: &str) -> Result<u64> {
    let path = options.dir.join(name);
    let (file, direct) = (open(&path)?, open_direct(&path, 0)?);
    let memory = Mapping::anonymous(SIZE)?;
    let mut engine = Engine::new(by, &memory)?;
    let old = before(&mut engine, &memory, &file, &direct, case)?;
    let requests = match case {
        Case::Overwrite | Case::Hole => batch(Way::Write, 0, LEN),
        Case::Behind => batch(Way::Write, SIZE, LEN),
        Case::Grow => vec![Request::new(Way::Write, SIZE / 2, vec![(0, SIZE)])],
    };
    let start = requests[0].pos as usize;
    memory.store(0, &pattern::bytes(1, 2, start as u64, SIZE));
    options.device.spoil()?;
    let results = engine.run(&direct, &requests)?;
    let size = file.metadata()?.len() as usize;
    options.device.mend()?;
    let mut failed = 0;
    for (request, result) in requests.iter().zip(&results) {
        failed += u64::from(is_error(result, request.len())?);
    }
    println!("{by:?} {case:?}: {failed} of {} failed", requests.len());
    let wanted = match failed {
        0 => old.len().max(start + SIZE),
        _ => old.len(),
    };
    // A request that went on without its caller leaves the file as long as what of it is there, and those behind one that
    // failed count.
    let ends = requests
        .iter()
        .zip(&results)
        .filter(|(_, result)| result.is_ok());
    let written = ends
        .map(|(request, _)| request.pos as usize + request.len())
        .max();
    let least = wanted.max(written.unwrap_or(0));
    let may_grow = failed > 0 && (options.may_grow || by != By::Call);
    ensure!(
        size == least || may_grow && (least..=start + SIZE).contains(&size),
        "{size} bytes instead of {least}"
    );
    for cold in [false, true] {
        let what = if cold { "cold" } else { "warm" };
        if cold {
            file.sync_all()?;
            settle::evict(&file)?;
        }
        let found = settle::contents(&file)?;
        judge(&found, &old, &requests, &results).context(what)?;
    }
    // All is well again.
    memory.store(0, &pattern::bytes(1, 3, 0, SIZE));
    for result in engine.run(&direct, &batch(Way::Write, 0, LEN))? {
        ensure!(!is_error(&result, LEN)?, "an error of a device that works");
    }
    settle::evict(&file)?;
    let found = settle::contents(&file)?;
    pattern::same(
        "in the end",
        &pattern::bytes(1, 3, 0, SIZE),
        &found[..SIZE],
        0,
    )?;
    ensure!(found.len() == size, "{} bytes, no more {size}", found.len());
    // Their sizes are judged by others, too.
    if matches!(case, Case::Overwrite | Case::Hole) {
        fs::remove_file(path)?;
    }
    Ok(failed)
}

/// What the file has before the device fails.
fn before(
    engine: &mut Engine<'_>,
    memory: &Mapping,
    file: &File,
    direct: &File,
    case: Case,
) -> Result<Vec<u8>> {
    file.set_len(SIZE as u64)?;
    if let Case::Hole = case {
        return Ok(vec![0; SIZE]);
    }
    let old = pattern::bytes(1, 1, 0, SIZE);
    memory.store(0, &old);
    for result in engine.run(direct, &batch(Way::Write, 0, LEN))? {
        ensure!(!is_error(&result, LEN)?, "an error of a device that works");
    }
    file.sync_all()?;
    Ok(old)
}

/// Of what was written all is there; of what failed each block is old or new.
fn judge(
    found: &[u8],
    old: &[u8],
    requests: &[Request],
    results: &[io::Result<usize>],
) -> Result<()> {
    let old = |at: usize| match old.get(at..at + BLOCK) {
        Some(old) => old.to_vec(),
        None => vec![0; BLOCK],
    };
    for (number, found) in found.chunks(BLOCK).enumerate() {
        let at = number * BLOCK;
        let request = requests.iter().zip(results).find(|(request, _)| {
            (request.pos as usize..request.pos as usize + request.len()).contains(&at)
        });
        let new = pattern::bytes(1, 2, at as u64, BLOCK);
        match request {
            Some((_, Ok(_))) => pattern::same("written", &new, found, at as u64)?,
            Some((_, Err(_))) if found == new => {}
            _ => pattern::same("old", &old(at), found, at as u64)?,
        }
    }
    Ok(())
}

fn reads(options: &Options, by: By, name: &str) -> Result<u64> {
    let path = options.dir.join(name);
    let (file, direct) = (open(&path)?, open_direct(&path, 0)?);
    let memory = Mapping::anonymous(SIZE)?;
    let mut engine = Engine::new(by, &memory)?;
    let bytes = before(&mut engine, &memory, &file, &direct, Case::Overwrite)?;
    let mut failed = 0;
    for len in [LEN, LEN / 16] {
        memory.store(0, &vec![0; SIZE]);
        let requests = batch(Way::Read, LEN / 2, len);
        options.device.spoil()?;
        let results = engine.run(&direct, &requests)?;
        options.device.mend()?;
        for (request, result) in requests.iter().zip(&results).filter(|_| true) {
            if is_error(result, len.min(SIZE - request.pos as usize))? {
                failed += 1;
                continue;
            }
            let (pos, len) = (request.pos as usize, result.as_ref().map_or(0, |len| *len));
            let found = memory.load(request.pieces[0].0, len);
            pattern::same("read", &bytes[pos..pos + len], &found, pos as u64)?;
        }
    }
    for request in batch(Way::Read, 0, LEN) {
        ensure!(engine.one(&direct, &request)?? == LEN, "a short read");
    }
    pattern::same("in the end", &bytes, &memory.load(0, SIZE), 0)?;
    println!("{by:?} reads: {failed} failed");
    fs::remove_file(path)?;
    Ok(failed)
}
