// SPDX-License-Identifier: GPL-2.0

//! Direct requests of all sizes at all places, from and to pieces of memory of all kinds - whole blocks, odd
//! ones, some that are not there - by all engines, over blocks, holes, bytes in the tree, and the end of the file,
//! beside cuts and buffered writes. After each the file is what the model is, and memory beside the pieces is as before.

use super::engine::{By, Engine, Request, Way};
use super::transfer::{open, open_direct, write, BLOCK};
use crate::mapping::Mapping;
use crate::{pattern, settle};
use anyhow::{ensure, Context, Result};
use clap::Args;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::fs::File;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Options {
    dir: PathBuf,
    #[arg(long, default_value_t = 400)]
    rounds: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Who is asked; all of them, if nobody is named.
    #[arg(long, value_delimiter = ',')]
    by: Vec<By>,
}

const ALL: [By; 5] = [By::Call, By::Aio, By::Ring, By::Worker, By::Fixed];

/// The file is never longer.
const MAX_SIZE: usize = 256 << 10;
/// What requests are from and to: pieces are apart from each other.
const MEMORY: usize = 512 << 10;
/// More than is promised space at once, and than one bio takes.
const LONG: usize = 20 << 20;
const CANARY: u8 = 0xee;

pub(super) fn run(options: &Options) -> Result<()> {
    let engines = match &options.by[..] {
        [] => &ALL[..],
        some => some,
    };
    for by in engines {
        long(options, *by).with_context(|| format!("{by:?}: a long write"))?;
        let mut judge = Judge::new(options, *by)?;
        for round in 0..options.rounds {
            judge
                .round()
                .with_context(|| format!("{by:?}, round {round}, seed {}", options.seed))?;
        }
        judge.settle().with_context(|| format!("{by:?}: the end"))?;
        println!("{by:?}");
    }
    println!("{} rounds of each engine", options.rounds);
    Ok(())
}

/// A write of which the first part can be sent before it is found that the memory of the rest is not there.
fn long(options: &Options, by: By) -> Result<()> {
    let file = open_direct(&options.dir.join(format!("long-{by:?}")), 0)?;
    file.set_len(LONG as u64)?;
    let memory = Mapping::anonymous(LONG)?;
    let mut engine = Engine::new(by, &memory)?;
    let mut wanted = pattern::bytes(1, 1, 0, LONG);
    memory.store(0, &wanted);
    // Memory that is registered is always there.
    if by != By::Fixed {
        let absent = LONG - (1 << 20);
        memory.forget_part(absent, LONG - absent)?;
        wanted[absent..].fill(0);
    }
    let request = Request::new(Way::Write, 0, vec![(0, LONG)]);
    let done = engine.one(&file, &request)??;
    ensure!(done == LONG, "{done} of {LONG} bytes");
    settle::evict(&file)?;
    pattern::same("afterwards", &wanted, &settle::contents(&file)?, 0)?;
    file.set_len(0)?;
    Ok(())
}

struct Judge {
    by: By,
    random: StdRng,
    file: File,
    direct: File,
    memory: &'static Mapping,
    engine: Engine<'static>,
    model: Vec<u8>,
    version: u64,
}

impl Judge {
    fn new(options: &Options, by: By) -> Result<Self> {
        let path = options.dir.join(format!("shapes-{by:?}"));
        let file = open(&path)?;
        file.set_len(0)?;
        let memory: &'static Mapping = Box::leak(Box::new(Mapping::anonymous(MEMORY)?));
        Ok(Self {
            by,
            random: StdRng::seed_from_u64(options.seed),
            direct: open_direct(&path, 0)?,
            file,
            memory,
            engine: Engine::new(by, memory)?,
            model: Vec::new(),
            version: 0,
        })
    }

    fn round(&mut self) -> Result<()> {
        match self.random.random_range(0..20u32) {
            0 => self.cut(),
            1 => self.small(),
            2 => self.buffered(),
            3 => self.settle(),
            4..12 => self.read(),
            _ => self.write(),
        }
    }

    /// A number up to `max`: mostly of whole blocks.
    fn number(&mut self, max: usize) -> usize {
        let number = self.random.random_range(0..=max);
        match self.random.random_range(0..8u32) {
            0 => number,
            1 => number / 512 * 512,
            _ => number / BLOCK * BLOCK,
        }
    }

    /// Pieces of `len` bytes in all, with room between them.
    fn pieces(&mut self, len: usize) -> Vec<(usize, usize)> {
        let odd = self.random.random_range(0..4u32) == 0;
        let count = self.random.random_range(1..=6usize);
        let (mut at, mut left) = (BLOCK, len);
        let mut pieces = Vec::new();
        for number in (0..count).rev() {
            let size = match (number, odd) {
                (0, _) => left,
                (_, true) => self.number(left),
                (_, false) => self.random.random_range(0..=left) / BLOCK * BLOCK,
            };
            let skip = match odd {
                true => self.number(2 * BLOCK),
                false => self.random.random_range(0..3) * BLOCK,
            };
            if size > 0 {
                pieces.push((at + skip, size));
                at = (at + skip + size).next_multiple_of(BLOCK);
                left -= size;
            }
        }
        pieces
    }

    /// Pages of some pieces go away: they read as zeroes.
    fn forget_some(&mut self, pieces: &[(usize, usize)]) -> Result<()> {
        for (begin, len) in pieces {
            if self.by == By::Fixed || self.random.random_range(0..3u32) > 0 {
                continue;
            }
            let first = self.random.random_range(*begin..begin + len);
            let (first, end) = (first / BLOCK * BLOCK, begin + len);
            let len = (end - first).next_multiple_of(BLOCK);
            self.memory.forget_part(first, len)?;
        }
        Ok(())
    }

    /// One request, which must not fail, and how many bytes it moved.
    fn ask(
        &mut self,
        way: Way,
        pos: usize,
        pieces: Vec<(usize, usize)>,
    ) -> Result<(Request, usize)> {
        let pos = pos as u64;
        let request = Request::new(way, pos as usize, pieces);
        let done = self
            .engine
            .one(&self.direct, &request)?
            .with_context(|| format!("{request:x?} of {} bytes", self.model.len()))?;
        Ok((request, done))
    }

    fn write(&mut self) -> Result<()> {
        let pos = self.number(MAX_SIZE - 1);
        let len = self.number(MAX_SIZE - pos).max(1);
        let pieces = self.pieces(len);
        self.version += 1;
        let memory = pattern::bytes(2, self.version, 0, MEMORY);
        self.memory.store(0, &memory);
        self.forget_some(&pieces)?;
        let mut bytes = Vec::new();
        for (begin, len) in &pieces {
            // What is not there must not be fetched by looking.
            bytes.extend(self.peek(&memory, *begin, *len)?);
        }
        let (request, done) = self.ask(Way::Write, pos, pieces)?;
        ensure!(done == len, "{done} of {len} bytes: {request:x?}");
        let size = self.model.len().max(pos + len);
        self.model.resize(size, 0);
        self.model[pos..pos + len].copy_from_slice(&bytes);
        self.look(pos, len)
            .with_context(|| format!("after {request:x?}"))
    }

    /// What is in memory: `stored`, but for pages that were forgotten.
    fn peek(&self, stored: &[u8], begin: usize, len: usize) -> Result<Vec<u8>> {
        let first = begin / BLOCK * BLOCK;
        let count = (begin + len - first).div_ceil(BLOCK);
        let mut there = vec![0u8; count];
        // SAFETY: whole pages of the mapping, a byte for each.
        let result = unsafe {
            let at = self.memory.at(first).cast();
            libc::mincore(at, count * BLOCK, there.as_mut_ptr())
        };
        ensure!(
            result == 0,
            "mincore(2): {}",
            std::io::Error::last_os_error()
        );
        let byte = |at: usize| match there[(at - first) / BLOCK] & 1 {
            0 => 0,
            _ => stored[at],
        };
        Ok((begin..begin + len).map(byte).collect())
    }

    fn read(&mut self) -> Result<()> {
        let pos = self.number(self.model.len() + 3 * BLOCK);
        let len = self.number(MAX_SIZE / 2).max(1);
        let pieces = self.pieces(len);
        let mut wanted = vec![CANARY; MEMORY];
        self.memory.store(0, &wanted);
        self.forget_some(&pieces)?;
        let (request, done) = self.ask(Way::Read, pos, pieces)?;
        let want = self.model.len().saturating_sub(pos).min(len);
        ensure!(
            done == want,
            "{done} bytes instead of {want}, of {}: {request:x?}",
            self.model.len()
        );
        // What is behind the end of the file in the pieces is nobody's business.
        let mut found = self.memory.load(0, MEMORY);
        let mut at = pos;
        for (begin, len) in &request.pieces {
            for byte in *begin..begin + len {
                match self.model.get(at) {
                    Some(model) => wanted[byte] = *model,
                    None => found[byte] = wanted[byte],
                }
                at += 1;
            }
            // A page that was forgotten has no canaries.
            for byte in (begin / BLOCK * BLOCK..*begin)
                .chain(begin + len..(begin + len).next_multiple_of(BLOCK))
            {
                if found[byte] == 0 {
                    wanted[byte] = 0;
                }
            }
        }
        let size = self.model.len();
        pattern::same("memory", &wanted, &found, 0)
            .with_context(|| format!("{request:x?} of {size} bytes"))
    }

    /// Both ways to read see the model.
    fn look(&mut self, pos: usize, len: usize) -> Result<()> {
        let first = pos.saturating_sub(100);
        let end = (pos + len + 100).min(self.model.len());
        let mut found = vec![0; end - first];
        std::os::unix::fs::FileExt::read_exact_at(&self.file, &mut found, first as u64)?;
        pattern::same(
            "from the cache",
            &self.model[first..end],
            &found,
            first as u64,
        )
    }

    fn cut(&mut self) -> Result<()> {
        let size = self.number(MAX_SIZE);
        self.file.set_len(size as u64)?;
        self.model.resize(size, 0);
        Ok(())
    }

    /// A file whose bytes are in the tree.
    fn small(&mut self) -> Result<()> {
        self.file.set_len(0)?;
        self.version += 1;
        let len = self.random.random_range(1..2000);
        self.model = pattern::bytes(3, self.version, 0, len);
        std::os::unix::fs::FileExt::write_all_at(&self.file, &self.model, 0)?;
        if self.random.random_range(0..4u32) > 0 {
            self.file.sync_all()?;
        }
        Ok(())
    }

    fn buffered(&mut self) -> Result<()> {
        let pos = self.number(MAX_SIZE - 1);
        let len = self.number((MAX_SIZE - pos).min(8 * BLOCK)).max(1);
        self.version += 1;
        let bytes = pattern::bytes(4, self.version, pos as u64, len);
        self.memory.store(0, &bytes);
        let done = write(&self.file, self.memory, 0, len, pos as u64, 0)?;
        ensure!(done == len, "{done} of {len} buffered bytes");
        let size = self.model.len().max(pos + len);
        self.model.resize(size, 0);
        self.model[pos..pos + len].copy_from_slice(&bytes);
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        self.file.sync_all()?;
        settle::evict(&self.file)?;
        pattern::same("cold", &self.model, &settle::contents(&self.file)?, 0)
    }
}
