// SPDX-License-Identifier: GPL-2.0
//! Trees that share blocks: the references must come out right whoever copies first.

use crate::fixture::EVERYTHING;
use crate::ledger::Ledger;
use crate::shape::{self, walk};
use engine::btree::{Allocate, DataRef, Holder, RootPointer, Store, Tree, WriteMode};
use engine::disk::raw::{RawFileExtent, RawFileExtentHead, RawFileExtentTail, RawInodeItem};
use engine::disk::{Bytes, Key, Kind, Logical, ObjectId};
use harness::random::Random;
use harness::store::{Flat, HostStore};
use kernel::prelude::{EEXIST, GFP_KERNEL};
use kernel::sync::Arc;
use std::collections::BTreeMap;
use zerocopy::{FromZeros, IntoBytes};

type Items = BTreeMap<Key, Vec<u8>>;

/// Inodes per tree, and blocks per inode.
const INODES: u64 = 12;
const BLOCKS: u64 = 200;

struct Subvolume {
    tree: Arc<Tree>,
    items: Items,
}

struct Forest {
    host: Arc<HostStore<Flat>>,
    store: Arc<dyn Store>,
    ledger: Ledger,
    subvolumes: Vec<Subvolume>,
    random: Random,
    committed: Vec<(ObjectId, RootPointer, Items)>,
}

impl Forest {
    fn new(seed: u64) -> Self {
        let host = Arc::new(HostStore::new(Flat::new(1 << 30, 4096)), GFP_KERNEL).unwrap();
        let store: Arc<dyn Store> = host.clone();
        let ledger = Ledger::new(4096);
        let tree = Tree::create(store.clone(), ObjectId::FS_TREE, &ledger).unwrap();
        let mut items = Items::new();
        for inode in 0..INODES {
            let key = Key::new(256 + inode, Kind::INODE_ITEM, 0);
            let mut item = RawInodeItem::new_zeroed();
            item.generation = 1.into();
            item.mode = 0o100644.into();
            item.nlink = 1.into();
            tree.insert(&ledger, &key, item.as_bytes()).unwrap();
            items.insert(key, item.as_bytes().to_vec());
        }
        let subvolumes = vec![Subvolume { tree, items }];
        Self {
            host,
            store,
            ledger,
            subvolumes,
            random: Random::new(seed),
            committed: Vec::new(),
        }
    }

    /// Writes or punches a block of a file.
    fn operate(&mut self) {
        let at = self.random.below(self.subvolumes.len() as u64) as usize;
        let subvolume = &mut self.subvolumes[at];
        let (tree, items, ledger) = (&subvolume.tree, &mut subvolume.items, &self.ledger);
        let inode = 256 + self.random.below(INODES);
        let key = Key::new(inode, Kind::EXTENT_DATA, self.random.below(BLOCKS) * 4096);
        if let Some(old) = items.remove(&key) {
            let old_ref = data_ref(tree.owner(), &key, &old);
            if self.random.one_in(3) {
                let new = extent(&mut self.random);
                ledger.share_for_insert(&data_ref(tree.owner(), &key, new.as_bytes()));
                tree.replace(ledger, &key, new.as_bytes()).unwrap();
                items.insert(key, new.as_bytes().to_vec());
            } else {
                tree.remove(ledger, &key).unwrap();
            }
            ledger.release_data(&old_ref).unwrap();
        } else {
            let new = extent(&mut self.random);
            ledger.share_for_insert(&data_ref(tree.owner(), &key, new.as_bytes()));
            tree.insert(ledger, &key, new.as_bytes()).unwrap();
            items.insert(key, new.as_bytes().to_vec());
        }
        assert_eq!(
            tree.insert(ledger, &Key::new(inode, Kind::INODE_ITEM, 0), &[]),
            Err(EEXIST)
        );
    }

    fn snapshot(&mut self) {
        let at = self.random.below(self.subvolumes.len() as u64) as usize;
        let id = ObjectId::new(256 + self.subvolumes.len() as u64);
        let source = &self.subvolumes[at];
        let root = source.tree.snapshot(&self.ledger, id).unwrap();
        assert_eq!(source.tree.last_snapshot(), self.ledger.generation());
        let tree = Tree::open(self.store.clone(), id, root, self.ledger.generation()).unwrap();
        let items = source.items.clone();
        self.subvolumes.push(Subvolume { tree, items });
    }

    fn check(&self) {
        let mut roots = Vec::new();
        for subvolume in &self.subvolumes {
            assert!(
                walk(&subvolume.tree).items == subvolume.items,
                "tree {:?}",
                subvolume.tree.owner()
            );
            roots.push((subvolume.tree.owner(), subvolume.tree.root_pointer()));
        }
        let found = shape::books(&*self.store, &self.ledger, &roots);
        let books = self.ledger.books();
        assert!(found.blocks == books.blocks, "block references");
        assert!(found.data == books.data, "data references");
    }

    fn commit(&mut self) {
        self.check();
        self.store
            .write(Logical::new(0), Bytes::new(EVERYTHING), WriteMode::Commit)
            .unwrap();
        self.store
            .wait(Logical::new(0), Bytes::new(EVERYTHING))
            .unwrap();
        let on_disk = HostStore::new(self.host.backing().clone());
        for (id, root, items) in &self.committed {
            assert!(
                shape::walk_from(&on_disk, *id, *root).items == *items,
                "the past of {id:?} changed"
            );
        }
        let state = |subvolume: &Subvolume| {
            (
                subvolume.tree.owner(),
                subvolume.tree.root_pointer(),
                subvolume.items.clone(),
            )
        };
        self.committed = self.subvolumes.iter().map(state).collect();
        for addr in self.ledger.commit() {
            self.store.discard(Logical::new(addr), Bytes::new(4096));
        }
        self.host.shrink();
    }
}

fn extent(random: &mut Random) -> RawFileExtent {
    let head = RawFileExtentHead {
        ram_bytes: 65536.into(),
        kind: 1,
        ..RawFileExtentHead::new_zeroed()
    };
    let addr = (1 << 40) + random.below(50) * 65536;
    let tail = RawFileExtentTail {
        disk_addr: addr.into(),
        disk_len: 65536.into(),
        offset: 0.into(),
        len: 4096.into(),
    };
    RawFileExtent { head, tail }
}

fn data_ref(root: ObjectId, key: &Key, item: &[u8]) -> DataRef {
    let number = |at: usize| u64::from_le_bytes(item[at..at + 8].try_into().unwrap());
    DataRef {
        addr: Logical::new(number(21)),
        len: Bytes::new(number(29)),
        holder: Holder::Tree(root),
        root,
        inode: key.objectid,
        offset: key.offset.wrapping_sub(number(37)),
    }
}

fn run(seed: u64, snapshots: usize) {
    let mut forest = Forest::new(seed);
    while forest.subvolumes.len() <= snapshots {
        for round in 0..4 {
            for _ in 0..forest.random.below(150) {
                forest.operate();
                if forest.random.one_in(40) {
                    forest
                        .store
                        .write(
                            Logical::new(0),
                            Bytes::new(EVERYTHING),
                            WriteMode::Background,
                        )
                        .unwrap();
                }
            }
            if round == 3 {
                forest.check();
                forest.snapshot();
            }
            // A change behind a snapshot in its own transaction.
            if forest.random.one_in(3) {
                forest.check();
                forest.operate();
            }
            forest.commit();
        }
    }
}

#[test]
fn references_follow_snapshots() {
    for seed in 0..4 {
        run(seed, 8);
    }
}

#[test]
fn an_old_leaf_outlives_its_owner() {
    let mut forest = Forest::new(77);
    for _ in 0..1500 {
        forest.operate();
    }
    forest.commit();
    forest.snapshot();
    forest.commit();
    // The owner copies all: the shared blocks are the snapshot's alone, with references by their addresses.
    let items: Vec<Key> = forest.subvolumes[0].items.keys().copied().collect();
    for key in &items {
        forest.subvolumes[0]
            .tree
            .update(&forest.ledger, key, |_| ())
            .unwrap();
    }
    forest.commit();
    assert!(forest
        .ledger
        .books()
        .data
        .keys()
        .any(|entry| matches!(entry.2, Holder::Parent(_))));
    // The snapshot copies all: nothing is held by an address any more.
    for key in &items {
        forest.subvolumes[1]
            .tree
            .update(&forest.ledger, key, |_| ())
            .unwrap();
    }
    forest.commit();
    let books = forest.ledger.books();
    assert!(!books
        .data
        .keys()
        .any(|entry| matches!(entry.2, Holder::Parent(_))));
    assert!(books
        .blocks
        .values()
        .flatten()
        .all(|(holder, count)| matches!(holder, Holder::Tree(_)) && *count == 1));
}
