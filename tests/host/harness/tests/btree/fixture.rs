// SPDX-License-Identifier: GPL-2.0
//! A store with one tree and a map that must agree with it.

use crate::ledger::Ledger;
use crate::shape::{self, walk};
use engine::btree::{BlockRef, RootPointer, Store, Tree, WriteMode};
use engine::disk::{Bytes, Key, Kind, Logical, ObjectId};
use harness::random::Random;
use harness::store::{Flat, HostStore};
use kernel::prelude::GFP_KERNEL;
use kernel::sync::Arc;
use std::collections::BTreeMap;

pub(crate) const EVERYTHING: u64 = u64::MAX;

pub(crate) struct Fixture {
    pub host: Arc<HostStore<Flat>>,
    pub store: Arc<dyn Store>,
    pub ledger: Ledger,
    pub tree: Arc<Tree>,
    pub model: BTreeMap<Key, Vec<u8>>,
    pub random: Random,
    /// The root of the last commit, and what stood in the tree.
    committed: Option<(RootPointer, BTreeMap<Key, Vec<u8>>)>,
    /// Blocks that went out, with the bytes they had.
    written: Vec<(BlockRef, Vec<u8>)>,
}

impl Fixture {
    pub(crate) fn new(node_size: u32, id: ObjectId, seed: u64) -> Self {
        let host = Arc::new(HostStore::new(Flat::new(1 << 30, node_size)), GFP_KERNEL).unwrap();
        let store: Arc<dyn Store> = host.clone();
        let ledger = Ledger::new(node_size);
        let tree = Tree::create(store.clone(), id, &ledger).unwrap();
        let random = Random::new(seed);
        Self {
            host,
            store,
            ledger,
            tree,
            model: BTreeMap::new(),
            random,
            committed: None,
            written: Vec::new(),
        }
    }

    /// A key among about `span`, spread over all three parts. The kind is one whose bytes are free.
    pub(crate) fn key(&mut self, span: u64) -> Key {
        let n = self.random.below(span);
        Key::new(300 + n / 64, Kind::STRING_ITEM, n % 64 * 1000)
    }

    pub(crate) fn bytes(&mut self, most: usize) -> Vec<u8> {
        let len = self.random.below(most as u64 + 1) as usize;
        let mut bytes = vec![0; len];
        self.random.fill(&mut bytes);
        bytes
    }

    /// Writes all that is dirty in the store, as a background writer may at any time.
    pub(crate) fn write_back(&self) {
        self.store
            .write(
                Logical::new(0),
                Bytes::new(EVERYTHING),
                WriteMode::Background,
            )
            .unwrap();
    }

    /// As [`Self::write_back`], and remembers what was written: it must never change again.
    pub(crate) fn write_and_watch(&mut self) {
        self.write_back();
        for (child, level) in walk(&self.tree).places {
            let block = shape::block(&*self.store, &child, level);
            let bytes = shape::copy(&block);
            self.written.push((block, bytes));
        }
    }

    /// Checks the tree's shape and that it has what the model has.
    pub(crate) fn check(&self) -> shape::Found {
        let found = walk(&self.tree);
        assert_eq!(found.items.len(), self.model.len());
        assert!(found.items == self.model, "the tree differs from the model");
        let roots = [(self.tree.owner(), self.tree.root_pointer())];
        let books = shape::books(&*self.store, &self.ledger, &roots);
        assert_eq!(books.blocks, self.ledger.books().blocks);
        found
    }

    /// Commits, after checking that what the last commit left is still there, and reads the tree from the device.
    pub(crate) fn commit(&mut self) {
        self.check();
        for (block, bytes) in self.written.drain(..) {
            assert!(
                shape::copy(&block) == bytes,
                "a written block changed: {:?}",
                block.meta()
            );
        }
        self.store
            .write(Logical::new(0), Bytes::new(EVERYTHING), WriteMode::Commit)
            .unwrap();
        self.store
            .wait(Logical::new(0), Bytes::new(EVERYTHING))
            .unwrap();
        assert_eq!(self.host.dirty(), 0);
        let on_disk: Arc<dyn Store> =
            Arc::new(HostStore::new(self.host.backing().clone()), GFP_KERNEL).unwrap();
        if let Some((root, items)) = &self.committed {
            assert!(
                shape::walk_from(&*on_disk, self.tree.owner(), *root).items == *items,
                "the past changed"
            );
        }
        let root = self.tree.root_pointer();
        assert!(
            shape::walk_from(&*on_disk, self.tree.owner(), root).items == self.model,
            "not on the disk"
        );
        self.committed = Some((root, self.model.clone()));
        let node_size = u64::from(self.store.node_size());
        for addr in self.ledger.commit() {
            self.store
                .discard(Logical::new(addr), Bytes::new(node_size));
        }
        if self.random.one_in(2) {
            self.reopen();
        }
    }

    /// Opens the tree anew, from the device for the most part.
    pub(crate) fn reopen(&mut self) {
        let (id, root) = (self.tree.owner(), self.tree.root_pointer());
        let snapshot = self.tree.last_snapshot();
        self.host.shrink();
        self.tree = Tree::open(self.store.clone(), id, root, snapshot).unwrap();
        self.host.shrink();
    }
}
