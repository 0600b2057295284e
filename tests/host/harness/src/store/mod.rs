// SPDX-License-Identifier: GPL-2.0
//! The host's [`Store`]: a map of blocks in front of simulated devices.
//!
//! A written block waits in a queue until somebody waits for it or the queue is full, as IO does: metadata that a
//! commit forgets to wait for is missing after a power cut. Blocks are sealed under their own lock, one at a time,
//! with no other lock held.

mod backing;

pub use backing::{Backing, Flat};

use crate::checksums::HostChecksums;
use engine::btree::{seal, Block, BlockBytes, BlockInfo, Expected, Identity, Store, WriteMode};
use engine::disk::{check_block, BlockContext, Corrupt, Logical};
use kernel::prelude::*;
use kernel::sync::Arc;
use latch::{Latched, Nesting, Side, TreeKind};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

/// How many written blocks may be on their way.
const QUEUE: usize = 64;

/// A cache of tree blocks over a [`Backing`].
pub struct HostStore<B> {
    backing: B,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    blocks: BTreeMap<u64, Cached>,
    queue: VecDeque<(u64, std::vec::Vec<u8>)>,
    failed: std::vec::Vec<(u64, Error)>,
    counters: Counters,
}

struct Cached {
    block: Arc<Block>,
    dirty: bool,
    // Forgotten, but its place on a sequential zone must be written.
    filler: bool,
}

/// What a store did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Blocks read from a device.
    pub reads: u64,
    /// Blocks sent to the devices.
    pub writes: u64,
    /// Bad copies written anew.
    pub repairs: u64,
}

/// A block's bytes.
struct HostBytes(KVec<u8>);

impl BlockBytes for HostBytes {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl<B: Backing> HostStore<B> {
    /// An empty cache.
    pub fn new(backing: B) -> Self {
        Self {
            backing,
            state: Mutex::default(),
        }
    }

    /// What the store reads from and writes to.
    pub fn backing(&self) -> &B {
        &self.backing
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What the store did so far.
    pub fn counters(&self) -> Counters {
        self.state().counters
    }

    /// How many blocks are dirty.
    pub fn dirty(&self) -> usize {
        self.state()
            .blocks
            .values()
            .filter(|cached| cached.dirty)
            .count()
    }

    /// Drops the clean blocks that nobody uses, as memory pressure does.
    pub fn shrink(&self) {
        self.state()
            .blocks
            .retain(|_, cached| cached.dirty || Arc::references(&cached.block) > 1);
    }

    fn context<'a>(
        &self,
        format: &'a engine::disk::Format,
        info: &Expected,
        addr: Logical,
    ) -> BlockContext<'a> {
        BlockContext {
            format,
            checksums: &HostChecksums,
            addr,
            owner: info.owner,
            level: Some(info.level),
            generation: Some(info.generation),
            first_key: info.first_key,
            newest: self.backing.newest(),
        }
    }

    /// The first copy that passes the gate; earlier ones are repaired.
    fn read_good_copy(&self, addr: Logical, expected: &Expected) -> Result<KVec<u8>> {
        let format = self.backing.format();
        let context = self.context(&format, expected, addr);
        let places = self.backing.places(addr, u64::from(format.node_size))?;
        let mut bytes = KVec::from_elem(0, format.node_size as usize, GFP_KERNEL)?;
        let mut result = Err(EIO);
        for (index, &(device, at)) in places.iter().enumerate() {
            result = self.backing.device(device).read(at, &mut bytes);
            if result.is_ok() {
                result = check_block(&bytes, &context).map_err(report);
            }
            if result.is_ok() {
                self.repair(&places[..index], &bytes);
                break;
            }
        }
        result.map(|()| bytes)
    }

    fn repair(&self, bad: &[(usize, engine::disk::Physical)], good: &[u8]) {
        for &(device, at) in bad {
            if self.backing.may_repair(device, at)
                && self.backing.device(device).write(at, good).is_ok()
            {
                self.state().counters.repairs += 1;
            }
        }
    }

    fn new_block(info: BlockInfo, bytes: KVec<u8>) -> Result<Arc<Block>> {
        let bytes: KBox<dyn BlockBytes> = KBox::new(HostBytes(bytes), GFP_KERNEL)?;
        Latched::new(info, bytes)
    }

    /// The first dirty block in a range.
    fn next_dirty(&self, range: Range<u64>) -> Option<Arc<Block>> {
        let state = self.state();
        let mut dirty = state.blocks.range(range).filter(|(_, cached)| cached.dirty);
        dirty.next().map(|(_, cached)| cached.block.clone())
    }

    /// Seals a block and puts it into the queue.
    fn send(&self, block: &Arc<Block>) -> Result {
        let info = *block.meta();
        let nesting = Nesting {
            tree: TreeKind::Other,
            level: info.level,
            side: Side::Path,
        };
        let mut guard = Latched::write(block, nesting);
        let mut state = self.state();
        let Some(cached) = state.blocks.get_mut(&info.addr.get()) else {
            return Ok(());
        };
        if !Arc::ptr_eq(&cached.block, block) || !cached.dirty {
            return Ok(());
        }
        let bytes = if cached.filler {
            vec![0; guard.bytes().len()]
        } else {
            let expected = Expected {
                owner: None,
                level: info.level,
                generation: info.generation,
                first_key: None,
            };
            let format = self.backing.format();
            let context = self.context(&format, &expected, info.addr);
            seal(guard.bytes_mut(), &context).map_err(report)?;
            guard.bytes().to_vec()
        };
        cached.dirty = false;
        if cached.filler {
            state.blocks.remove(&info.addr.get());
        }
        state.queue.push_back((info.addr.get(), bytes));
        state.counters.writes += 1;
        while state.queue.len() > QUEUE {
            self.submit_first(&mut state);
        }
        Ok(())
    }

    fn submit_first(&self, state: &mut State) {
        let Some((addr, bytes)) = state.queue.pop_front() else {
            return;
        };
        let result = self
            .backing
            .places(Logical::new(addr), bytes.len() as u64)
            .and_then(|places| {
                let mut result = Ok(());
                for (device, at) in places {
                    let written = self.backing.device(device).write(at, &bytes);
                    result = result.and(written);
                }
                result
            });
        if let Err(error) = result {
            state.failed.push((addr, error));
        }
    }

    fn submit_all(&self) {
        let mut state = self.state();
        while !state.queue.is_empty() {
            self.submit_first(&mut state);
        }
    }
}

fn report(corrupt: Corrupt) -> Error {
    pr_err!("{}\n", corrupt);
    EUCLEAN
}

impl<B: Backing> Store for HostStore<B> {
    fn node_size(&self) -> u32 {
        self.backing.format().node_size
    }

    fn identity(&self) -> Identity {
        self.backing.identity()
    }

    fn read(&self, addr: Logical, expected: &Expected) -> Result<Arc<Block>> {
        if let Some(cached) = self.state().blocks.get(&addr.get()) {
            return Ok(cached.block.clone());
        }
        self.submit_all();
        let bytes = self.read_good_copy(addr, expected)?;
        let info = BlockInfo {
            addr,
            level: expected.level,
            generation: expected.generation,
        };
        let block = Self::new_block(info, bytes)?;
        let mut state = self.state();
        state.counters.reads += 1;
        // Another task may have been faster.
        let cached = Cached {
            block,
            dirty: false,
            filler: false,
        };
        Ok(state
            .blocks
            .entry(addr.get())
            .or_insert(cached)
            .block
            .clone())
    }

    fn read_ahead(&self, _addr: Logical, _expected: &Expected) {}

    fn create(&self, info: BlockInfo) -> Result<Arc<Block>> {
        let bytes = KVec::from_elem(0, self.node_size() as usize, GFP_KERNEL)?;
        let block = Self::new_block(info, bytes)?;
        let cached = Cached {
            block: block.clone(),
            dirty: false,
            filler: false,
        };
        self.state().blocks.insert(info.addr.get(), cached);
        Ok(block)
    }

    fn mark_dirty(&self, block: &Arc<Block>) {
        let mut state = self.state();
        match state.blocks.get_mut(&block.meta().addr.get()) {
            Some(cached) if Arc::ptr_eq(&cached.block, block) => {
                cached.dirty = true;
                cached.filler = false;
            }
            _ => panic!("block {:?} marked dirty after it was dropped", block.meta()),
        }
    }

    fn forget(&self, block: &Arc<Block>) {
        let addr = block.meta().addr;
        let mut state = self.state();
        let Some(cached) = state.blocks.get_mut(&addr.get()) else {
            return;
        };
        if !Arc::ptr_eq(&cached.block, block) {
            return;
        }
        if self.backing.is_sequential(addr) {
            cached.dirty = true;
            cached.filler = true;
        } else {
            cached.dirty = false;
        }
    }

    fn write(&self, start: Logical, len: u64, _mode: WriteMode) -> Result {
        let end = start.get().saturating_add(len);
        let mut from = start.get();
        while let Some(block) = self.next_dirty(from..end) {
            self.send(&block)?;
            from = block.meta().addr.get() + 1;
        }
        Ok(())
    }

    fn wait(&self, start: Logical, len: u64) -> Result {
        let range = start.get()..start.get().saturating_add(len);
        let mut state = self.state();
        while state.queue.iter().any(|(addr, _)| range.contains(addr)) {
            self.submit_first(&mut state);
        }
        let error = state
            .failed
            .iter()
            .find(|(addr, _)| range.contains(addr))
            .map(|(_, error)| *error);
        state.failed.retain(|(addr, _)| !range.contains(addr));
        error.map_or(Ok(()), Err)
    }

    fn discard(&self, start: Logical, len: u64) {
        // What is on its way arrives before the range is used again.
        self.submit_all();
        let range = start.get()..start.get().saturating_add(len);
        self.state().blocks.retain(|addr, _| !range.contains(addr));
    }
}
