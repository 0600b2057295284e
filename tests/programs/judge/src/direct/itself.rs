// SPDX-License-Identifier: GPL-2.0

//! Direct requests whose memory is a mapping of the file they read or write.

use super::transfer::{open, open_direct, read, write, BLOCK};
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{ensure, Context, Result};
use clap::Args;
use std::fs::File;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Options {
    dir: PathBuf,
}

const SIZE: usize = 2 << 20;
const LEN: usize = SIZE / 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Hole,
    Dirty,
    Written,
    /// Written, and not in the page cache.
    Cold,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Read,
    Write,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let mut cases = 0;
    for way in [Way::Read, Way::Write] {
        for (memory, pos) in [(0, 0), (BLOCK, BLOCK), (0, SIZE / 2), (SIZE / 2, 0)] {
            for state in [State::Hole, State::Dirty, State::Written, State::Cold] {
                let name = format!("itself-{way:?}-{memory}-{pos}-{state:?}");
                case(options, &name, way, memory, pos, state).context(name)?;
                cases += 1;
            }
        }
    }
    println!("{cases} cases");
    Ok(())
}

fn case(
    options: &Options,
    name: &str,
    way: Way,
    memory: usize,
    pos: usize,
    state: State,
) -> Result<()> {
    let path = options.dir.join(name);
    let file = open(&path)?;
    let direct = open_direct(&path, 0)?;
    let mut bytes = prepare(&file, &direct, state)?;
    let mapping = Mapping::shared(&file, SIZE)?;
    let done = match way {
        Way::Read => read(&direct, &mapping, memory, LEN, pos as u64, 0)?,
        Way::Write => write(&direct, &mapping, memory, LEN, pos as u64, 0)?,
    };
    ensure!(done == LEN, "{done} of {LEN} bytes");
    match way {
        Way::Read => bytes.copy_within(pos..pos + LEN, memory),
        Way::Write => bytes.copy_within(memory..memory + LEN, pos),
    }
    pattern::same("mapped", &bytes, &mapping.load(0, SIZE), 0)?;
    mapping.sync()?;
    drop(mapping);
    settle::holds("afterwards", &file, &bytes)
}

fn prepare(file: &File, direct: &File, state: State) -> Result<Vec<u8>> {
    file.set_len(SIZE as u64)?;
    if state == State::Hole {
        return Ok(vec![0; SIZE]);
    }
    let bytes = pattern::bytes(1, 1, 0, SIZE);
    let memory = Mapping::anonymous(SIZE)?;
    memory.store(0, &bytes);
    let by = if state == State::Dirty { file } else { direct };
    ensure!(write(by, &memory, 0, SIZE, 0, 0)? == SIZE, "a short write");
    if state == State::Written {
        ensure!(read(file, &memory, 0, SIZE, 0, 0)? == SIZE, "a short read");
    }
    Ok(bytes)
}
