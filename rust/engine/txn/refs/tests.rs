// SPDX-License-Identifier: GPL-2.0
//! Extent items and the queue against plain models.

use super::item::{Edit, Record};
use super::queue::{Extent, Queue, Queued};
use crate::disk::{ExtentFlags, Generation, InlineRef, Key, Kind, Logical, ObjectId, Reference};
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

#[test]
fn opposite_changes_meet_in_the_queue() {
    let mut queue = Queue::new();
    let addr = Logical::new(1 << 20);
    let block = Extent::Block { level: 0 };
    let first = Reference::TreeBlock(ObjectId::new(5));
    let second = Reference::SharedBlock(Logical::new(4096));
    assert_eq!(queue.change(addr, block, first, 1), Ok(Queued::Waiting));
    assert_eq!(queue.change(addr, block, second, 1), Ok(Queued::Waiting));
    assert_eq!(queue.change(addr, block, first, -1), Ok(Queued::Waiting));
    assert_eq!(
        queue.get(addr).unwrap().changes.iter().collect::<Vec<_>>(),
        [(second, 1)]
    );
    assert_eq!(queue.change(addr, block, second, -1), Ok(Queued::Cancelled));
    assert_eq!(queue.len(), 0);

    queue.insert_new(addr, block, Key::MIN, first).unwrap();
    assert!(queue.insert_new(addr, block, Key::MIN, first).is_err());
    assert!(queue
        .change(addr, Extent::Block { level: 1 }, first, -1)
        .is_err());
    assert_eq!(queue.change(addr, block, first, -1), Ok(Queued::Vanished));
    assert_eq!(queue.len(), 0);

    let data = Extent::Data { len: 4096 };
    let file = Reference::Data {
        root: ObjectId::new(5),
        inode: ObjectId::new(257),
        offset: 0,
    };
    queue.insert_new(addr, data, Key::MIN, file).unwrap();
    assert_eq!(queue.change(addr, data, file, -1), Ok(Queued::Cancelled));
    assert_eq!(queue.len(), 1, "its checksums are to be deleted");
}

#[test]
fn a_flag_keeps_its_head() {
    let mut queue = Queue::new();
    let addr = Logical::new(1 << 20);
    let held = Reference::TreeBlock(ObjectId::new(5));
    queue.set_full_backref(addr, 1).unwrap();
    queue
        .change(addr, Extent::Block { level: 1 }, held, 1)
        .unwrap();
    queue
        .change(addr, Extent::Block { level: 1 }, held, -1)
        .unwrap();
    assert_eq!(queue.len(), 1);
}
