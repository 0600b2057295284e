// SPDX-License-Identifier: GPL-2.0
//! The host's [`Store`]: a map of blocks in front of simulated devices.
//!
//! A written block waits in a queue until somebody waits for it or the queue is full, as IO does: metadata that a
//! commit forgets to wait for is missing after a power cut. Blocks are sealed under their own lock, one at a time; on
//! volumes with an attached [`WriteOrder`] they pass it in the order of their addresses.

mod backing;
mod send;
mod volume;

pub use backing::{Backing, Flat};
pub use volume::OnVolume;

use crate::checksums::HostChecksums;
use engine::btree::{BlockBytes, BlockInfo, BlockRef, Expected, Identity, Store, WriteMode};
use engine::disk::{check_block, BlockContext, Bytes, Corrupt, Logical, ObjectId};
use engine::space::{InFlight, WriteOrder};
use kernel::prelude::*;
use kernel::sync::Arc;
use latch::Latched;
#[cfg(feature = "shuttle")]
use shuttle::sync::{Mutex, MutexGuard};
use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;
#[cfg(not(feature = "shuttle"))]
use std::sync::{Mutex, MutexGuard};

/// How many written blocks may be on their way.
const QUEUE: usize = 64;

/// A cache of tree blocks over a [`Backing`].
pub struct HostStore<B> {
    backing: B,
    state: Mutex<State>,
    // Not the space, whose trees hold this store.
    order: OnceLock<Arc<WriteOrder>>,
    hook: Mutex<Option<Hook>>,
}

/// What a test does when a tree looks a block up.
struct Hook {
    owner: ObjectId,
    // Look-ups before the one.
    left: u64,
    work: std::boxed::Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
struct State {
    blocks: BTreeMap<u64, Cached>,
    queue: VecDeque<Sent>,
    failed: std::vec::Vec<(u64, Error)>,
    counters: Counters,
    // Blocks that will be made before one is refused.
    until_refused: Option<u64>,
}

/// A block on its way.
struct Sent {
    addr: u64,
    bytes: std::vec::Vec<u8>,
    // Dropped on completion.
    _in_flight: Option<InFlight>,
}

struct Cached {
    block: BlockRef,
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
struct HostBytes(KVVec<u8>);

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
            order: OnceLock::new(),
            hook: Mutex::default(),
        }
    }

    /// From now on blocks pass `order`.
    pub fn attach(&self, order: Arc<WriteOrder>) {
        assert!(self.order.set(order).is_ok(), "a store is attached once");
    }

    /// Another task does some work while the tree with this id looks a block up, the `n`th time from now on, counted from 0.
    pub fn hook(&self, owner: ObjectId, n: u64, work: impl FnOnce() + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Hook {
            owner,
            left: n,
            work: std::boxed::Box::new(work),
        });
    }

    /// Takes the hook out; whether it was waiting still.
    pub fn unhook(&self) -> bool {
        self.hook.lock().unwrap().take().is_some()
    }

    fn call_hook(&self, owner: Option<ObjectId>) {
        let mut waiting = self.hook.lock().unwrap();
        let Some(hook) = waiting.as_mut().filter(|hook| Some(hook.owner) == owner) else {
            return;
        };
        if hook.left > 0 {
            hook.left -= 1;
            return;
        }
        let work = waiting.take().unwrap().work;
        drop(waiting);
        std::thread::spawn(work).join().unwrap();
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

    /// The `n`th block that is to be made from now on, counted from 0, is not (`EIO`).
    pub fn refuse_creation(&self, n: Option<u64>) {
        self.state().until_refused = n;
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
    fn read_good_copy(&self, addr: Logical, expected: &Expected) -> Result<KVVec<u8>> {
        let format = self.backing.format();
        let context = self.context(&format, expected, addr);
        let places = self.backing.places(addr, u64::from(format.node_size))?;
        let mut bytes = KVVec::from_elem(0, format.node_size as usize, GFP_NOFAIL)?;
        let mut result = Err(EIO);
        for (index, &(device, at)) in places.iter().enumerate() {
            result = self.backing.device(device).read(at, &mut bytes);
            if result.is_ok() {
                result = check_block(&bytes, &context).map_err(Corrupt::report);
            }
            if result.is_ok() {
                self.repair(&places[..index], &bytes);
                break;
            }
        }
        result.map(|()| bytes)
    }

    fn repair(&self, bad: &[(engine::disk::DeviceId, engine::disk::Physical)], good: &[u8]) {
        for &(device, at) in bad {
            if self.backing.may_repair(device, at)
                && self.backing.device(device).write(at, good).is_ok()
            {
                self.state().counters.repairs += 1;
            }
        }
    }

    fn new_block(info: BlockInfo, bytes: KVVec<u8>) -> Result<BlockRef> {
        let bytes: KBox<dyn BlockBytes> = KBox::new(HostBytes(bytes), GFP_NOFAIL)?;
        Latched::shared(info, bytes)
    }
}

impl<B: Backing> Store for HostStore<B> {
    fn node_size(&self) -> u32 {
        self.backing.format().node_size
    }

    fn identity(&self) -> Identity {
        self.backing.identity()
    }

    fn read(&self, addr: Logical, expected: &Expected) -> Result<BlockRef> {
        self.call_hook(expected.owner);
        if let Some(cached) = self.state().blocks.get(&addr.get()) {
            return Ok(cached.block.clone());
        }
        self.submit_all();
        let bytes = self.read_good_copy(addr, expected)?;
        let block = Self::new_block(expected.info(addr), bytes)?;
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

    fn try_read(&self, addr: Logical, _expected: &Expected) -> Option<BlockRef> {
        let state = self.state();
        state
            .blocks
            .get(&addr.get())
            .map(|cached| cached.block.clone())
    }

    fn read_ahead(&self, _addr: Logical, _expected: &Expected) {}

    fn create(&self, info: BlockInfo) -> Result<BlockRef> {
        let until_refused = self.state().until_refused;
        self.state().until_refused = until_refused.and_then(|left| left.checked_sub(1));
        (until_refused != Some(0)).then_some(()).ok_or(EIO)?;
        let bytes = KVVec::from_elem(0, self.node_size() as usize, GFP_NOFAIL)?;
        let block = Self::new_block(info, bytes)?;
        let cached = Cached {
            block: block.clone(),
            dirty: false,
            filler: false,
        };
        self.state().blocks.insert(info.addr.get(), cached);
        Ok(block)
    }

    fn mark_dirty(&self, block: &BlockRef) {
        let mut state = self.state();
        match state.blocks.get_mut(&block.meta().addr.get()) {
            Some(cached) if Arc::ptr_eq(&cached.block, block) => {
                cached.dirty = true;
                cached.filler = false;
            }
            _ => panic!("block {:?} marked dirty after it was dropped", block.meta()),
        }
    }

    fn forget(&self, block: &BlockRef) {
        let addr = block.meta().addr;
        let mut state = self.state();
        let Some(cached) = state.blocks.get_mut(&addr.get()) else {
            return;
        };
        if !Arc::ptr_eq(&cached.block, block) {
            return;
        }
        if self.backing.is_ordered(addr) {
            cached.dirty = true;
            cached.filler = true;
        } else {
            cached.dirty = false;
        }
    }

    fn write(&self, start: Logical, len: Bytes, mode: WriteMode) -> Result {
        let all = start.get()..start.get().saturating_add(len.get());
        for group in self.active_groups() {
            let both = all.start.max(group.start)..all.end.min(group.end);
            if !both.is_empty() {
                self.send_range(both, mode)?;
            }
        }
        self.send_range(all, mode)
    }

    fn wait(&self, start: Logical, len: Bytes) -> Result {
        let range = start.get()..start.get().saturating_add(len.get());
        self.complete(range.clone());
        let mut state = self.state();
        let error = state
            .failed
            .iter()
            .find(|(addr, _)| range.contains(addr))
            .map(|(_, error)| *error);
        state.failed.retain(|(addr, _)| !range.contains(addr));
        error.map_or(Ok(()), Err)
    }

    fn discard(&self, start: Logical, len: Bytes) {
        // What is on its way arrives before the range is used again.
        self.submit_all();
        let range = start.get()..start.get().saturating_add(len.get());
        self.state().blocks.retain(|addr, _| !range.contains(addr));
    }
}
