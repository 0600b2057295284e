// SPDX-License-Identifier: GPL-2.0
//! Extent items and the queue against plain models.

use super::head::{Change, Counts, Extent};
use super::item::{Edit, Record};
use super::queue::{Queue, Queued};
use crate::disk::{
    Bytes, ExtentFlags, Generation, InlineRef, Key, Kind, Logical, ObjectId, Reference,
};
use kernel::print::Capture;
use latch::prelude::*;
use random::Random;
use std::collections::BTreeMap;
use std::format;
use std::vec::Vec;

const NODE_SIZE: u32 = 16384;

fn empty_item(flags: ExtentFlags) -> Record {
    Record::new(Logical::new(0x1000), Generation::new(7), flags, None)
}

fn bytes(record: &Record) -> Vec<u8> {
    let mut bytes = std::vec![0xee; record.encoded_len()];
    record.write_to(&mut bytes).unwrap();
    bytes
}

fn some_reference(random: &mut Random) -> Reference {
    let small = random.below(12);
    match random.below(2) {
        0 => Reference::SharedData(Logical::new(4096 * (1 + small))),
        _ => Reference::Data {
            root: ObjectId::new(5),
            inode: ObjectId::new(256 + small % 4),
            offset: 4096 * small,
        },
    }
}

/// A change that does not fit is refused, and the log says which reference it was.
fn assert_names(reference: Reference, change: impl FnOnce() -> Result<Edit>) {
    let log = Capture::new();
    assert_eq!(change().err(), Some(EUCLEAN));
    let line = match reference {
        Reference::TreeBlock(root) => format!("reference of tree {}", root.get()),
        Reference::SharedBlock(parent) => format!("reference of node {}", parent.get()),
        Reference::Data {
            root,
            inode,
            offset,
        } => {
            let (root, inode) = (root.get(), inode.get());
            format!("reference of tree {root} inode {inode} offset {offset}")
        }
        Reference::SharedData(leaf) => format!("reference of leaf {}", leaf.get()),
    };
    let line = format!("corrupt extent 4096 {line}: ");
    assert!(log.contains(&line), "{line}{:?}", log.lines());
}

/// What the kernel's tree checker demands of inline references, read independently of the code under test.
fn check_order(bytes: &[u8]) -> u64 {
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut at, mut last, mut sum) = (24, (0u8, u64::MAX), 0u64);
    while at < bytes.len() {
        let (kind, sequence, count, len) = match bytes[at] {
            178 => {
                let hash =
                    crate::disk::data_ref_hash(u64_at(at + 1), u64_at(at + 9), u64_at(at + 17));
                (178, hash, u64::from(u32_at(at + 25)), 29)
            }
            184 => (184, u64_at(at + 1), u64::from(u32_at(at + 9)), 13),
            kind => (kind, u64_at(at + 1), 1, 9),
        };
        assert!(kind >= last.0);
        if kind > last.0 {
            last.1 = u64::MAX;
        }
        assert!(sequence <= last.1);
        assert!(count > 0);
        last = (kind, sequence);
        sum += count;
        at += len;
    }
    assert_eq!(at, bytes.len());
    sum
}

#[test]
fn inline_references_follow_the_model() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut item = empty_item(ExtentFlags::DATA);
        let mut model: BTreeMap<(u8, u64), (Reference, u32)> = BTreeMap::new();
        for _ in 0..200 {
            let reference = some_reference(&mut random);
            let counted = InlineRef::new(reference, 1);
            let key = (counted.kind().get(), counted.sequence());
            let held = model.get(&key).map_or(0, |(_, count)| *count);
            let count = 1 + random.below(3) as u32;
            if random.below(2) == 0 {
                assert_eq!(item.add(reference, count, NODE_SIZE).unwrap(), Edit::Done);
                model.insert(key, (reference, held + count));
            } else if held == 0 {
                assert_names(reference, || item.remove(reference, count));
            } else if held < count {
                assert_names(reference, || item.remove(reference, count));
            } else {
                assert_eq!(item.remove(reference, count).unwrap(), Edit::Done);
                model.insert(key, (reference, held - count));
            }
            model.retain(|_, (_, count)| *count > 0);
            let total = model.values().map(|(_, count)| u64::from(*count)).sum();
            assert_eq!(item.refs(), total);
            assert_eq!(check_order(&bytes(&item)), total);
            assert!(item.is_all_inline());
        }
        if item.refs() > 0 {
            let again = Record::parse(Logical::new(0x1000), Kind::EXTENT_ITEM, &bytes(&item));
            assert_eq!(again.unwrap().refs(), item.refs());
        }
    }
}

#[test]
fn a_full_item_sends_references_elsewhere_and_takes_no_more() {
    let mut item = empty_item(ExtentFlags::DATA);
    let mut inline = 0;
    let reference = |leaf| Reference::SharedData(Logical::new(leaf * 4096));
    while item.add(reference(inline + 1), 1, NODE_SIZE).unwrap() == Edit::Done {
        inline += 1;
    }
    assert!(bytes(&item).len() < (16384 - 101) / 16 - 25);
    // What the caller does for a keyed one; from now on there is one, and nothing new goes inline.
    item.change_refs(reference(inline + 1), 1).unwrap();
    assert_eq!(
        item.remove(Reference::SharedData(Logical::new(4096)), 1)
            .unwrap(),
        Edit::Done
    );
    let new = Reference::Data {
        root: ObjectId::new(5),
        inode: ObjectId::new(257),
        offset: 0,
    };
    assert_eq!(item.add(new, 1, NODE_SIZE).unwrap(), Edit::Keyed);
    // One that is there grows where it is.
    let there = Reference::SharedData(Logical::new(8192));
    assert_eq!(item.add(there, 1, NODE_SIZE).unwrap(), Edit::Done);
    assert_eq!(item.refs(), inline + 1);
}

#[test]
fn a_tree_block_is_referenced_once_by_each_holder() {
    let mut item = empty_item(ExtentFlags::TREE_BLOCK);
    let held = Reference::TreeBlock(ObjectId::new(5));
    assert_eq!(item.add(held, 1, NODE_SIZE).unwrap(), Edit::Done);
    assert_names(held, || item.add(held, 1, NODE_SIZE));
}

#[test]
fn broken_items_are_errors() {
    let item = |tail: &[u8]| {
        let one = 1u64.to_le_bytes();
        let mut bytes: Vec<u8> = [&one[..], &[0; 8], &one].concat();
        bytes.extend_from_slice(tail);
        Record::parse(Logical::new(0), Kind::EXTENT_ITEM, &bytes)
    };
    assert!(item(&[]).is_ok());
    for tail in [
        &[178][..],
        &[184, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        &[1; 9],
        &[176, 0, 0],
    ] {
        assert!(item(tail).is_err(), "{tail:?}");
    }
}

const ADDR: Logical = Logical::new(1 << 20);
const BLOCK: Extent = Extent::Block { level: 0 };
const NEW: Change = Change::New(Key::MIN);

/// A reference that came and went.
const ONCE: Counts = Counts {
    added: 1,
    dropped: 1,
};

/// Many pieces of one file have one extent, so looking through those that wait for each of them would take minutes.
#[test]
fn many_references_of_one_extent_wait_and_cancel_out() {
    const MANY: u64 = 200_000;
    let begun = std::time::Instant::now();
    let mut queue = Queue::new();
    let reference = |n: u64| Reference::Data {
        root: ObjectId::new(5),
        inode: ObjectId::new(257),
        offset: n * 4096,
    };
    let extent = Extent::Data {
        len: Bytes::new(4096),
    };
    let mut all = |change| {
        for n in 0..MANY {
            queue.change(ADDR, extent, reference(n), change).unwrap();
        }
        let sum = queue.head(ADDR).map_or(0, |head| head.changes.sum());
        (queue.len() as u64, sum)
    };
    assert_eq!(all(Change::Drop), (MANY, -(MANY as i64)));
    assert_eq!(all(Change::Add), (0, 0));
    assert!(queue.pop_from(Logical::new(0)).is_none());
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

#[test]
fn opposite_changes_meet_in_the_queue() {
    let mut queue = Queue::new();
    let first = Reference::TreeBlock(ObjectId::new(5));
    let second = Reference::SharedBlock(Logical::new(4096));
    let mut change = |extent, reference, change| queue.change(ADDR, extent, reference, change);
    assert_eq!(change(BLOCK, first, Change::Add), Ok(Queued::Waiting));
    assert_eq!(change(BLOCK, second, Change::Add), Ok(Queued::Waiting));
    let cancelled = Ok(Queued::Cancelled(ONCE));
    assert_eq!(change(BLOCK, first, Change::Drop), cancelled);
    let left: Vec<_> = queue.head(ADDR).unwrap().changes.iter().collect();
    let added = Counts {
        added: 1,
        dropped: 0,
    };
    assert_eq!(left, [(second, added)]);
    let mut change = |extent, reference, change| queue.change(ADDR, extent, reference, change);
    assert_eq!(change(BLOCK, second, Change::Drop), cancelled);
    assert_eq!(queue.len(), 0);

    let mut change = |extent, reference, change| queue.change(ADDR, extent, reference, change);
    assert_eq!(change(BLOCK, first, NEW), Ok(Queued::Waiting));
    assert!(change(BLOCK, first, NEW).is_err());
    assert!(change(Extent::Block { level: 1 }, first, Change::Drop).is_err());
    let vanished = Ok(Queued::Vanished(ONCE));
    assert_eq!(change(BLOCK, first, Change::Drop), vanished);
    assert_eq!(queue.len(), 0);

    let data = Extent::Data {
        len: Bytes::new(4096),
    };
    let file = Reference::Data {
        root: ObjectId::new(5),
        inode: ObjectId::new(257),
        offset: 0,
    };
    let mut change = |extent, reference, change| queue.change(ADDR, extent, reference, change);
    assert_eq!(change(data, file, NEW), Ok(Queued::Waiting));
    assert_eq!(change(data, file, Change::Drop), cancelled);
    assert_eq!(queue.len(), 1, "its checksums are to be deleted");
}

#[test]
fn a_flag_keeps_its_head() {
    let mut queue = Queue::new();
    let held = Reference::TreeBlock(ObjectId::new(5));
    queue.set_full_backref(ADDR, 0).unwrap();
    queue.change(ADDR, BLOCK, held, Change::Add).unwrap();
    queue.change(ADDR, BLOCK, held, Change::Drop).unwrap();
    assert_eq!(queue.len(), 1);
}

/// How often each tree came to hold an extent, and ceased to.
type Ledger = BTreeMap<(u64, u64), Counts>;

fn count(ledger: &mut Ledger, addr: Logical, reference: Reference, counts: Counts) {
    let Reference::Data { root, .. } = reference else {
        unreachable!("only files here");
    };
    let entry = ledger.entry((addr.get(), root.get())).or_default();
    entry.added += counts.added;
    entry.dropped += counts.dropped;
}

/// What cancels out in the queue is told to whoever queues, and the rest to whoever applies it: together they know of
/// every tree that came to hold an extent or ceased to.
#[test]
fn nothing_cancels_out_unseen() {
    let (mut met, mut cancelled) = (0, 0);
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let (mut queue, mut put_in, mut seen) = (Queue::new(), Ledger::new(), Ledger::new());
        for _ in 0..400 {
            if random.one_in(20) {
                if let Some((addr, head)) = queue.pop_from(Logical::new(0)) {
                    for (reference, counts) in head.changes.iter() {
                        assert_ne!(counts.net(), 0);
                        met += counts.met();
                        count(&mut seen, addr, reference, counts);
                    }
                }
                continue;
            }
            let addr = Logical::new(4096 * random.below(3));
            let reference = Reference::Data {
                root: ObjectId::new(256 + random.below(3)),
                inode: ObjectId::new(257),
                offset: 4096 * random.below(2),
            };
            let (change, one) = match random.below(2) {
                0 => (Change::Add, (1, 0)),
                _ => (Change::Drop, (0, 1)),
            };
            let one = Counts {
                added: one.0,
                dropped: one.1,
            };
            count(&mut put_in, addr, reference, one);
            let data = Extent::Data {
                len: Bytes::new(4096),
            };
            match queue.change(addr, data, reference, change).unwrap() {
                Queued::Waiting => {}
                Queued::Cancelled(counts) | Queued::Vanished(counts) => {
                    assert_eq!(counts.net(), 0);
                    cancelled += 1;
                    count(&mut seen, addr, reference, counts);
                }
            }
        }
        while let Some((addr, head)) = queue.pop_from(Logical::new(0)) {
            for (reference, counts) in head.changes.iter() {
                count(&mut seen, addr, reference, counts);
            }
        }
        assert_eq!(seen, put_in);
    }
    assert!(cancelled > 0 && met > 0);
}
