// SPDX-License-Identifier: GPL-2.0

//! A volume that runs full in the middle of direct requests: whoever asks gets a short count or ENOSPC, what was counted
//! is there, and what cannot be written over keeps its bytes.

use super::engine::{By, Engine, Request, Way};
use super::transfer::{open, open_direct, BLOCK};
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Options {
    dir: PathBuf,
    #[arg(long, value_delimiter = ',', default_value = "aio,worker")]
    by: Vec<By>,
}

/// More than is promised space at once.
const LONG: usize = 20 << 20;
/// What is left for the last long one, of which only the first part finds space.
const LEFT: usize = 18 << 20;

pub(super) fn run(options: &Options) -> Result<()> {
    let path = options.dir.join("full");
    let mut capacity = fill(By::Call, &path, Growing::Yes, LEFT).context("at first")?;
    for by in &options.by {
        let growing = match by {
            By::Aio => Growing::Yes,
            _ => Growing::No,
        };
        capacity = fill(*by, &path, growing, capacity).with_context(|| format!("{by:?}"))?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growing {
    Yes,
    No,
}

/// Bytes that were written, or `None` at the end of space.
fn written(result: io::Result<usize>) -> Result<Option<usize>> {
    match result {
        Ok(0) => bail!("nothing was written, and no error"),
        Ok(done) => Ok(Some(done)),
        Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => Ok(None),
        Err(error) => bail!("{error}"),
    }
}

/// How much the volume took. What is thought of its capacity decides where long requests begin.
fn fill(by: By, path: &Path, growing: Growing, capacity: usize) -> Result<usize> {
    let (file, direct) = (open(path)?, open_direct(path, 0)?);
    let memory = Mapping::anonymous(LONG)?;
    let mut engine = Engine::new(by, &memory)?;
    if growing == Growing::No {
        file.set_len(4 << 30)?;
    }
    let (mut end, mut short) = (0usize, 0);
    let head = (capacity - LEFT) % LONG / BLOCK * BLOCK;
    for (len, count) in [
        (head, 1),
        (LONG, 99),
        (2 << 20, 99),
        (16 * BLOCK, 99),
        (BLOCK, 99),
    ] {
        for _ in 0..count {
            if len == 0 {
                break;
            }
            memory.store(0, &pattern::bytes(1, 1, end as u64, len));
            let Some(done) = written(request(&mut engine, &direct, end, len)?)? else {
                break;
            };
            ensure!(done % BLOCK == 0 && done <= len, "{done} of {len} bytes");
            short += usize::from(done < len);
            end += done;
        }
    }
    println!("{by:?} {growing:?}: {end} bytes, {short} short counts");
    ensure!(end > 2 * LONG, "so little fits");
    // If the volume took as much as was thought, the last long request found space for its first part.
    ensure!(short > 0 || end != capacity, "no short count");
    let size = file.metadata()?.len() as usize;
    if growing == Growing::Yes {
        ensure!(size == end, "{size} bytes where {end} were written");
    }
    let versions = write_over(&mut engine, &memory, &direct, end)?;
    file.sync_all().context("fsync")?;
    settle::evict(&file)?;
    judge(&file, end, &versions)?;
    fs::remove_file(path)?;
    // All of it is free again, for the next.
    File::open(path.parent().context("a parent")?)?.sync_all()?;
    Ok(end)
}

fn request(
    engine: &mut Engine<'_>,
    file: &File,
    pos: usize,
    len: usize,
) -> Result<io::Result<usize>> {
    let request = Request::new(Way::Write, pos, vec![(0, len)]);
    engine.one(file, &request)
}

/// Where something was written over, and how much.
type Rewritten = Vec<(usize, usize)>;

fn write_over(
    engine: &mut Engine<'_>,
    memory: &Mapping,
    file: &File,
    end: usize,
) -> Result<Rewritten> {
    let mut rewritten = Vec::new();
    for (number, len) in [LONG, 1 << 20, BLOCK, BLOCK, 4 * BLOCK]
        .into_iter()
        .enumerate()
    {
        let pos = end / 8 * number / BLOCK * BLOCK;
        memory.store(0, &pattern::bytes(1, 2, pos as u64, len));
        let done = written(request(engine, file, pos, len)?)?.unwrap_or(0);
        println!("{done} of {len} bytes written over");
        rewritten.push((pos, done));
    }
    Ok(rewritten)
}

/// Behind a short count may stand what was not counted.
fn judge(file: &File, end: usize, rewritten: &Rewritten) -> Result<()> {
    let mut at = 0;
    let mut found = vec![0; 1 << 20];
    while at < end {
        let len = found.len().min(end - at);
        let found = &mut found[..len];
        std::os::unix::fs::FileExt::read_exact_at(file, found, at as u64).context("read")?;
        for (number, found) in found.chunks(BLOCK).enumerate() {
            let at = at + number * BLOCK;
            let is_new = |(pos, len): &(usize, usize)| (*pos..pos + len).contains(&at);
            let version = if rewritten.iter().any(is_new) { 2 } else { 1 };
            let wanted = pattern::bytes(1, version, at as u64, BLOCK);
            let may_be_new = rewritten
                .iter()
                .any(|(pos, _)| (*pos..pos + LONG).contains(&at));
            if version == 1 && may_be_new && found == pattern::bytes(1, 2, at as u64, BLOCK) {
                continue;
            }
            pattern::same("in the end", &wanted, found, at as u64)?;
        }
        at += len;
    }
    Ok(())
}
