// SPDX-License-Identifier: GPL-2.0

//! Writers of the same file by all ways at once, whose blocks stand side by side: in the same
//! folios, and in the same extents. Nobody sees another version of his own blocks than the last
//! that he wrote, by whatever way he reads, and no fsync fails.

use super::engine::Way::Write;
use super::engine::{By, Durability, Engine, Request};
use super::transfer::{open, open_direct, open_with, read, BLOCK};
use crate::beside::{rounds, Until};
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{ensure, Context, Result};
use clap::Args;
use rand::{Rng, RngExt, SeedableRng};
use std::fs::File;
use std::path::PathBuf;
use std::thread;

#[derive(Args)]
pub(super) struct Options {
    dir: PathBuf,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Blocks of each writer.
    #[arg(long, default_value_t = 64)]
    blocks: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Direct,
    Buffered,
    Mapped,
}

/// Some have each write durable before it counts, through a descriptor of their own.
const WAYS: [(Way, By, Durability); 6] = [
    (Way::Direct, By::Call, Durability::None),
    (Way::Buffered, By::Call, Durability::None),
    (Way::Direct, By::Aio, Durability::ODsync),
    (Way::Mapped, By::Call, Durability::None),
    (Way::Direct, By::Ring, Durability::RwfDsync),
    (Way::Buffered, By::Ring, Durability::RwfSync),
];

/// Who writes all blocks whose numbers leave the rest `number`, and knows their versions.
struct Writer<'a> {
    number: usize,
    way: Way,
    by: By,
    sync: Durability,
    /// What it writes through.
    file: File,
    versions: Vec<u64>,
    memory: Mapping,
    files: &'a Files,
    random: rand::rngs::StdRng,
    rounds: u64,
}

struct Files {
    file: File,
    direct: File,
    mapping: Mapping,
    size: usize,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let path = options.dir.join("mixed");
    let (file, direct) = (open(&path)?, open_direct(&path, 0)?);
    let size = options.blocks * WAYS.len() * BLOCK;
    file.set_len(size as u64)?;
    let mapping = Mapping::shared(&file, size)?;
    let files = Files {
        file,
        direct,
        mapping,
        size,
    };
    let mut writers = Vec::new();
    for (number, (way, by, sync)) in WAYS.into_iter().enumerate() {
        let flags = match way {
            Way::Direct => libc::O_DIRECT,
            _ => 0,
        };
        writers.push(Writer {
            number,
            way,
            by,
            sync,
            file: open_with(&path, flags | sync.of_file())?,
            versions: vec![0; options.blocks],
            memory: Mapping::anonymous(BLOCK)?,
            files: &files,
            random: rand::rngs::StdRng::seed_from_u64(options.seed + number as u64),
            rounds: 0,
        });
    }
    let until = Until::seconds(options.seconds);
    let rounds = thread::scope(|scope| {
        let threads: Vec<_> = writers
            .iter_mut()
            .map(|writer| until.repeat(scope, || writer.round()))
            .collect();
        rounds(threads)
    })?;
    files.file.sync_all().context("fsync")?;
    settle::drop_caches()?;
    for writer in &mut writers {
        writer.all()?;
    }
    println!("{rounds} writes, in {} bytes", files.size);
    Ok(())
}

impl Writer<'_> {
    fn pos(&self, index: usize) -> usize {
        (index * WAYS.len() + self.number) * BLOCK
    }

    fn wanted(&self, index: usize) -> Vec<u8> {
        match self.versions[index] {
            0 => vec![0; BLOCK],
            version => pattern::bytes(self.number as u64, version, self.pos(index) as u64, BLOCK),
        }
    }

    fn round(&mut self) -> Result<()> {
        let index = self.random.random_range(0..self.versions.len());
        self.versions[index] += 1;
        let (bytes, pos) = (self.wanted(index), self.pos(index));
        match self.way {
            Way::Mapped => self.files.mapping.store(pos, &bytes),
            Way::Direct | Way::Buffered => {
                self.memory.store(0, &bytes);
                let request = Request::new(Write, pos, vec![(0, BLOCK)]).durable(self.sync);
                let done = Engine::new(self.by, &self.memory)?.one(&self.file, &request)??;
                ensure!(done == BLOCK, "{done} bytes written");
            }
        }
        let other = self.random.random_range(0..self.versions.len());
        let by = [Way::Direct, Way::Buffered, Way::Mapped][self.random.random_range(0..3)];
        self.look(index, by)?;
        self.look(other, by)?;
        self.rounds += 1;
        if self.rounds % 64 == 0 {
            self.files.file.sync_data().context("fdatasync")?;
        }
        if self.random.next_u32() % 200 == 0 {
            settle::forget(&self.files.file, 0, 0);
        }
        Ok(())
    }

    /// The block is what was written last.
    fn look(&mut self, index: usize, by: Way) -> Result<()> {
        let pos = self.pos(index);
        let found = match by {
            Way::Mapped => self.files.mapping.load(pos, BLOCK),
            Way::Direct | Way::Buffered => {
                let file = match by {
                    Way::Direct => &self.files.direct,
                    _ => &self.files.file,
                };
                let done = read(file, &self.memory, 0, BLOCK, pos as u64, 0)?;
                ensure!(done == BLOCK, "{done} bytes read");
                self.memory.load(0, BLOCK)
            }
        };
        let what = format!("block of {:?} writer {} by {by:?}", self.way, self.number);
        pattern::same(&what, &self.wanted(index), &found, pos as u64)
    }

    fn all(&mut self) -> Result<()> {
        for index in 0..self.versions.len() {
            for by in [Way::Direct, Way::Buffered] {
                self.look(index, by)?;
            }
        }
        Ok(())
    }
}
