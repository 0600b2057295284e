// SPDX-License-Identifier: GPL-2.0
//! A transaction that keeps exact books of references.

use engine::btree::{Allocate, BlockRefs, DataRef, Holder};
use engine::disk::{Generation, Key, Logical, TreeId};
use kernel::alloc::inject;
use kernel::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;

/// Who references what, how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub blocks: BTreeMap<u64, BTreeMap<Holder, u64>>,
    pub data: BTreeMap<(u64, u64, Holder, u64, u64), u64>,
}

#[derive(Default)]
struct State {
    books: Books,
    full: std::collections::BTreeSet<u64>,
    free: std::vec::Vec<u64>,
    pinned: std::vec::Vec<u64>,
    next: u64,
}

pub(crate) struct Ledger {
    node_size: u64,
    generation: AtomicU64,
    poisoned: AtomicBool,
    lies: AtomicBool,
    state: Mutex<State>,
}

impl Ledger {
    pub(crate) fn new(node_size: u32) -> Self {
        let state = State {
            next: 1 << 20,
            ..State::default()
        };
        Self {
            node_size: node_size.into(),
            generation: AtomicU64::new(10),
            poisoned: AtomicBool::new(false),
            lies: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// The next block is given the address of the one beside it, as if that were free.
    pub(crate) fn lie_once(&self) {
        self.lies.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    pub(crate) fn books(&self) -> Books {
        self.state.lock().unwrap().books.clone()
    }

    pub(crate) fn is_full(&self, addr: u64) -> bool {
        self.state.lock().unwrap().full.contains(&addr)
    }

    /// Ends the transaction: what it freed may be used by the next. Gives what may be dropped from the cache.
    pub(crate) fn commit(&self) -> std::vec::Vec<u64> {
        assert!(!self.is_poisoned());
        let mut state = self.state.lock().unwrap();
        let pinned = core::mem::take(&mut state.pinned);
        state.free.extend(&pinned);
        self.generation.fetch_add(1, Ordering::Relaxed);
        pinned
    }

    /// A data extent comes into use: the caller inserts the item that holds it.
    pub(crate) fn share_for_insert(&self, data: &DataRef) {
        self.change_data(data, 1).unwrap();
    }

    fn change_data(&self, data: &DataRef, by: i64) -> Result {
        may_fail()?;
        // Holders by parent do not record the root's view of the file.
        let entry = (
            data.addr.get(),
            data.len.get(),
            data.holder,
            data.inode.get(),
            data.offset,
        );
        if let Holder::Tree(id) = data.holder {
            assert_eq!(id, data.root);
        }
        let books = &mut self.state.lock().unwrap().books;
        let count = books.data.entry(entry).or_default();
        *count = count
            .checked_add_signed(by)
            .unwrap_or_else(|| panic!("no reference to drop: {data:?}"));
        if *count == 0 {
            books.data.remove(&entry);
        }
        Ok(())
    }
}

fn may_fail() -> Result {
    Ok(inject::allocate(8, GFP_KERNEL)?)
}

impl Allocate for Ledger {
    fn generation(&self) -> Generation {
        Generation::new(self.generation.load(Ordering::Relaxed))
    }

    fn allocate_block(
        &self,
        tree: TreeId,
        holder: Holder,
        _level: u8,
        _first_key: &Key,
        near: Logical,
    ) -> Result<Logical> {
        may_fail()?;
        if self.lies.swap(false, Ordering::Relaxed) {
            return Ok(near);
        }
        assert_eq!(holder, Holder::Tree(tree.objectid));
        let mut state = self.state.lock().unwrap();
        let addr = match state.free.pop() {
            Some(addr) => addr,
            None => {
                state.next += self.node_size;
                state.next - self.node_size
            }
        };
        let old = state
            .books
            .blocks
            .insert(addr, BTreeMap::from([(holder, 1)]));
        assert_eq!(old, None);
        Ok(Logical::new(addr))
    }

    fn abandon_block(&self, addr: Logical) {
        let state = self.state.lock().unwrap();
        assert!(state.books.blocks.contains_key(&addr.get()));
    }

    fn release_block(&self, addr: Logical, _level: u8, _tree: TreeId, holder: Holder) -> Result {
        may_fail()?;
        let mut state = self.state.lock().unwrap();
        let refs = state
            .books
            .blocks
            .get_mut(&addr.get())
            .unwrap_or_else(|| panic!("{addr:?} is free"));
        let count = refs
            .get_mut(&holder)
            .unwrap_or_else(|| panic!("{addr:?} is not held by {holder:?}"));
        *count -= 1;
        if *count == 0 {
            refs.remove(&holder);
        }
        if refs.is_empty() {
            state.books.blocks.remove(&addr.get());
            state.full.remove(&addr.get());
            state.pinned.push(addr.get());
        }
        Ok(())
    }

    fn share_block(&self, addr: Logical, _level: u8, holder: Holder) -> Result {
        may_fail()?;
        let mut state = self.state.lock().unwrap();
        let refs = state
            .books
            .blocks
            .get_mut(&addr.get())
            .unwrap_or_else(|| panic!("{addr:?} is free"));
        *refs.entry(holder).or_default() += 1;
        Ok(())
    }

    fn block_refs(&self, addr: Logical, _level: u8) -> Result<BlockRefs> {
        may_fail()?;
        let state = self.state.lock().unwrap();
        let refs = state
            .books
            .blocks
            .get(&addr.get())
            .unwrap_or_else(|| panic!("{addr:?} is free"));
        let full_backref = state.full.contains(&addr.get());
        Ok(BlockRefs {
            count: refs.values().sum(),
            full_backref,
        })
    }

    fn set_full_backref(&self, addr: Logical, _level: u8) -> Result {
        may_fail()?;
        self.state.lock().unwrap().full.insert(addr.get());
        Ok(())
    }

    fn add_data(&self, _: &DataRef) -> Result {
        Ok(())
    }

    fn share_data(&self, data: &DataRef) -> Result {
        self.change_data(data, 1)
    }

    fn release_data(&self, data: &DataRef) -> Result {
        self.change_data(data, -1)
    }

    fn poison(&self, _error: Error) {
        self.poisoned.store(true, Ordering::Relaxed);
    }
}
