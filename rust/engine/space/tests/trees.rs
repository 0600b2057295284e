// SPDX-License-Identifier: GPL-2.0
//! Trees over plain memory, and a transaction that only counts.

use crate::btree::{
    Allocate, BlockBytes, BlockInfo, BlockRef, BlockRefs, DataRef, Expected, Holder, Identity,
    Store, Tree, WriteMode,
};
use crate::disk::{Bytes, Generation, Key, Logical, ObjectId, TreeId, Uuid};
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::Latched;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::vec;

const NODE: u32 = 4096;

struct Block(KVec<u8>);

impl BlockBytes for Block {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[derive(Default)]
struct Memory(Mutex<BTreeMap<u64, BlockRef>>);

impl Store for Memory {
    fn node_size(&self) -> u32 {
        NODE
    }

    fn identity(&self) -> Identity {
        Identity {
            fsid: Uuid::default(),
            chunk_tree_uuid: Uuid::default(),
        }
    }

    fn read(&self, addr: Logical, _expected: &Expected) -> Result<BlockRef> {
        self.0.lock().unwrap().get(&addr.get()).cloned().ok_or(EIO)
    }

    fn try_read(&self, addr: Logical, _expected: &Expected) -> Option<BlockRef> {
        self.0.lock().unwrap().get(&addr.get()).cloned()
    }

    fn read_ahead(&self, _addr: Logical, _expected: &Expected) {}

    fn create(&self, info: BlockInfo) -> Result<BlockRef> {
        let bytes = KVec::from_elem(0, NODE as usize, GFP_KERNEL)?;
        let bytes: KBox<dyn BlockBytes> = KBox::new(Block(bytes), GFP_KERNEL)?;
        let block = Latched::shared(info, bytes)?;
        self.0
            .lock()
            .unwrap()
            .insert(info.addr.get(), block.clone());
        Ok(block)
    }

    fn mark_dirty(&self, _block: &BlockRef) {}

    fn forget(&self, _block: &BlockRef) {}

    fn write(&self, _start: Logical, _len: Bytes, _mode: WriteMode) -> Result {
        Ok(())
    }

    fn wait(&self, _start: Logical, _len: Bytes) -> Result {
        Ok(())
    }

    fn discard(&self, _start: Logical, _len: Bytes) {}
}

/// A transaction without end that takes one address after the other.
pub(super) struct Txn(AtomicU64);

impl Txn {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(1 << 40))
    }
}

impl Allocate for Txn {
    fn generation(&self) -> Generation {
        Generation::new(7)
    }

    fn allocate_block(&self, _: TreeId, _: Holder, _: u8, _: &Key, _: Logical) -> Result<Logical> {
        Ok(Logical::new(
            self.0.fetch_add(NODE.into(), Ordering::Relaxed),
        ))
    }

    fn abandon_block(&self, _: Logical) {}

    fn release_block(&self, _: Logical, _: u8, _: TreeId, _: Holder) -> Result {
        Ok(())
    }

    fn share_block(&self, _: Logical, _: u8, _: Holder) -> Result {
        Ok(())
    }

    fn block_refs(&self, _: Logical, _: u8) -> Result<BlockRefs> {
        Ok(BlockRefs {
            count: 1,
            full_backref: false,
        })
    }

    fn set_full_backref(&self, _: Logical, _: u8) -> Result {
        Ok(())
    }

    fn add_data(&self, _: &DataRef) -> Result {
        Ok(())
    }

    fn share_data(&self, _: &DataRef) -> Result {
        Ok(())
    }

    fn release_data(&self, _: &DataRef) -> Result {
        Ok(())
    }

    fn poison(&self, error: Error) {
        panic!("poisoned: {error:?}");
    }
}

/// An empty free space tree.
pub(super) fn free_space_tree(txn: &Txn) -> Arc<Tree> {
    let store = Arc::new(Memory::default(), GFP_KERNEL).unwrap();
    Tree::create(store, ObjectId::FREE_SPACE_TREE, txn).unwrap()
}

/// All items of a tree.
pub(super) fn items(tree: &Tree) -> vec::Vec<(Key, vec::Vec<u8>)> {
    let mut items = vec::Vec::new();
    tree.scan(Key::MIN..=Key::MAX, |key, bytes| {
        items.push((key, bytes.to_vec()));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    items
}
