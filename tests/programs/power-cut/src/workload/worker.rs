// SPDX-License-Identifier: GPL-2.0
//! A program that writes to files of its own, one for each combination.

use super::combination::{Access, Combination, Durability, Target};
use super::engine::{self, Engine, Piece};
use super::Write;
use crate::block::{self, UNIT};
use crate::log::{Event, Log};
use anyhow::{Context, Result};
use rand::{rngs::SmallRng, RngExt};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Units of a file that is overwritten, and of one with a hole in its middle.
const UNITS: u64 = 160;
/// Units on both sides of that hole.
const EDGE: u64 = 8;
/// Units in a block, which is what direct IO writes.
const BLOCK: u64 = 8;

/// Where the files of a volume are.
#[derive(Clone)]
pub(crate) struct Files {
    pub folder: PathBuf,
}

impl Files {
    pub(crate) fn path(&self, file: u32) -> PathBuf {
        self.folder.join(format!("file{file}"))
    }
}

pub(crate) struct Worker {
    pub files: Files,
    pub log: Log,
    pub random: SmallRng,
    /// The number of the first of its files.
    first_file: u32,
    combinations: Vec<Combination>,
    /// Where the next write to a file goes, for those that go forward.
    cursors: Vec<u64>,
    version: u64,
}

impl Worker {
    pub(crate) fn new(
        files: Files,
        log: Log,
        random: SmallRng,
        number: u32,
        combinations: Vec<Combination>,
    ) -> Self {
        let cursor = |it: &Combination| if it.target == Target::Extend { 0 } else { EDGE };
        let cursors = combinations.iter().map(cursor).collect();
        let first_file = number * 1000;
        Self {
            files,
            log,
            random,
            first_file,
            combinations,
            cursors,
            version: 1,
        }
    }

    fn file(&self, index: usize) -> u32 {
        self.first_file + index as u32
    }

    /// Makes the files that are not new when they are written to, not durable yet.
    pub(crate) fn set_up(&self) -> Result<Vec<Write>> {
        let mut writes = Vec::new();
        for (index, combination) in self.combinations.iter().enumerate() {
            let file = self.file(index);
            let piece = |first, count| Write {
                file,
                first,
                count,
                version: 1,
            };
            let pieces = match combination.target {
                Target::Extend => continue,
                Target::Overwrite => vec![piece(0, UNITS)],
                Target::Hole => vec![piece(0, EDGE), piece(UNITS - EDGE, EDGE)],
            };
            let handle = File::create(self.files.path(file))?;
            for write in pieces {
                self.log.push(Event::Begin(write));
                engine::open(super::Interface::Blocking)?.write(
                    &handle,
                    &[piece_of(&write)],
                    0,
                    &mut |_| {},
                )?;
                writes.push(write);
            }
        }
        Ok(writes)
    }

    /// Writes once with each combination, in an order of its own.
    pub(crate) fn run(&mut self) -> Result<()> {
        let mut order: Vec<usize> = (0..self.combinations.len()).collect();
        rand::seq::SliceRandom::shuffle(&mut order[..], &mut self.random);
        for index in order {
            let combination = self.combinations[index];
            self.write(index, combination)
                .with_context(|| format!("{combination:?}"))?;
        }
        Ok(())
    }

    fn write(&mut self, index: usize, combination: Combination) -> Result<()> {
        let handle = open(&self.files.path(self.file(index)), combination)?;
        let mut engine = engine::open(combination.interface)?;
        let count = self.random.random_range(1..=3);
        let writes: Vec<Write> = (0..count)
            .map(|_| self.next_write(index, combination))
            .collect();
        let pieces: Vec<Piece> = writes.iter().map(piece_of).collect();
        for write in &writes {
            self.log.push(Event::Begin(*write));
        }
        let acknowledge = |writes: Vec<Write>| {
            self.log.push(Event::Acknowledged {
                writes,
                by: Some(combination),
            });
        };
        let each = combination.durability.with_each_write();
        engine.write(
            &handle,
            &pieces,
            combination.durability.write_flags(),
            &mut |index| {
                if each {
                    acknowledge(vec![writes[index]]);
                }
            },
        )?;
        if !each {
            sync(engine.as_mut(), &handle, combination.durability)?;
            acknowledge(writes);
        }
        Ok(())
    }

    /// The next write to a file. Writes that are under way together do not overlap.
    fn next_write(&mut self, index: usize, combination: Combination) -> Write {
        let block = if combination.access == Access::Direct {
            BLOCK
        } else {
            1
        };
        let count = block * self.random.random_range(1..=16 / block);
        let cursor = self.cursors[index];
        let gap = block * self.random.random_range(0..=16 / block);
        let first = match combination.target {
            Target::Extend => cursor,
            _ if cursor + gap + count > UNITS - EDGE => EDGE,
            _ => cursor + gap,
        };
        self.cursors[index] = first + count;
        self.version += 1;
        Write {
            file: self.file(index),
            first,
            count,
            version: self.version,
        }
    }
}

fn piece_of(write: &Write) -> Piece {
    let mut piece = Piece::new(write.first * UNIT, (write.count * UNIT) as usize);
    for (index, unit) in piece.data_mut().chunks_exact_mut(UNIT as usize).enumerate() {
        block::fill(unit, write.file, write.first + index as u64, write.version);
    }
    piece
}

fn open(path: &Path, combination: Combination) -> Result<File> {
    let direct = if combination.access == Access::Direct {
        libc::O_DIRECT
    } else {
        0
    };
    let flags = direct | combination.durability.open_flags();
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(flags)
        .open(path)
        .context("open")
}

fn sync(engine: &mut dyn Engine, file: &File, durability: Durability) -> Result<()> {
    match durability {
        Durability::Syncfs => nix::unistd::syncfs(file)?,
        Durability::Sync => nix::unistd::sync(),
        _ => engine.sync(file, durability)?,
    }
    Ok(())
}
