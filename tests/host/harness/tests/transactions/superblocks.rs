// SPDX-License-Identifier: GPL-2.0
//! What superblocks say of chunks, and when.

use crate::files::Files;
use crate::hooked::{mount_hooked, Flusher};
use crate::mounted::{mount, unmount, zoned_image};
use engine::btree::{Store, WriteMode};
use engine::disk::{BlockGroupFlags, Bytes, Key, Kind, Logical, ObjectId};
use engine::txn::{Transactions, Units};
use engine::volume::{Chunk, Volume};
use harness::device::zones::ZoneLayout;
use harness::device::Image;
use harness::random::Random;
use harness::store::{HostStore, OnVolume};
use harness::tools;
use kernel::prelude::*;
use std::collections::BTreeSet;

const MIB: u64 = 1 << 20;

/// The system chunks in the superblock in memory.
fn listed(volume: &Volume) -> BTreeSet<u64> {
    volume.superblocks().read(|bytes| {
        let chunks = bytes.system_chunks();
        chunks.map(|chunk| chunk.unwrap().0.offset).collect()
    })
}

/// A system chunk behind all others.
fn another(volume: &Volume) -> Chunk {
    let first = *listed(volume).first().unwrap();
    let old = volume.chunk(Logical::new(first)).unwrap();
    let mut stripes = KVec::new();
    for stripe in old.stripes.iter() {
        stripes.push(*stripe, GFP_KERNEL).unwrap();
    }
    Chunk {
        logical: Logical::new(1 << 50),
        len: old.len,
        flags: old.flags,
        stripes,
    }
}

/// The next transaction may change the superblock in memory before this one's is written.
#[test]
fn a_superblock_is_that_of_its_own_transaction() {
    let (mounted, hooked) = mount_hooked(tools::mkfs(256 * MIB, &["-m", "single"]));
    Files::new(&mounted.txns)
        .create("first", 4096, 4096)
        .unwrap();
    let volume = mounted.txns.volume().clone();
    let before = listed(&volume);
    hooked.hook(move || {
        volume
            .superblocks()
            .add_system_chunk(&another(&volume))
            .unwrap()
    });
    mounted.txns.commit().unwrap();
    let committed = mounted.txns.committed();
    let image = mounted.device().after_power_cut(&mut Random::new(1));
    drop(mounted);
    tools::check(&image).unwrap();
    let mounted = mount(image).unwrap();
    assert_eq!(mounted.txns.committed(), committed);
    assert_eq!(listed(mounted.txns.volume()), before);
}

/// Blocks that are sent must be copied again. A commit comes to its end however fast others send them.
fn ends_while_others_send(image: Image) {
    let (mounted, hooked) = mount_hooked(image);
    let files = Files::new(&mounted.txns);
    files.create("before", 40960, 4096).unwrap();
    mounted.txns.commit().unwrap();
    hooked.set_flusher(Flusher::Busy);
    for number in 0..20 {
        files.create(&format!("file{number}"), 40960, 4096).unwrap();
        mounted.txns.commit().unwrap();
    }
    hooked.set_flusher(Flusher::Idle);
    drop(files);
    tools::check(&unmount(mounted)).unwrap();
}

#[test]
fn a_commit_ends_while_the_flusher_sends() {
    ends_while_others_send(tools::mkfs(256 * MIB, &[]));
    ends_while_others_send(zoned_image(12, 64 * MIB));
}

/// Zones of which the chunk tree fills one soon.
fn small_zones() -> Image {
    let layout = ZoneLayout {
        max_active: Some(14),
        ..tools::zone_layout(16 * MIB)
    };
    tools::mkfs_zoned(16, &["-m", "single", "-d", "single"], layout)
}

fn system_groups(volume: &Volume) -> BTreeSet<u64> {
    let mut groups = BTreeSet::new();
    let mut next = volume.chunk_from(Logical::new(0));
    while let Some(chunk) = next {
        if chunk.flags.contains(BlockGroupFlags::SYSTEM) {
            groups.insert(chunk.logical.get());
        }
        next = volume.chunk_from(chunk.end());
    }
    groups
}

/// Changes the chunk tree and writes it out in turns, in one transaction, until it needs another system chunk.
fn use_up_system_group(txns: &Transactions, store: &HostStore<OnVolume>) {
    let before = system_groups(txns.volume());
    let tree = txns.required_tree(ObjectId::CHUNK_TREE).unwrap();
    let device = Key::new(ObjectId::DEV_ITEMS.get(), Kind::DEV_ITEM, 1);
    for _ in 0..2000 {
        let handle = txns.start(Units::updates(1)).unwrap();
        tree.update(&handle, &device, |_| ()).unwrap();
        drop(handle);
        if system_groups(txns.volume()) != before {
            return;
        }
        store
            .write(Logical::new(0), Bytes::MAX, WriteMode::Background)
            .unwrap();
    }
    panic!("no system chunk was made");
}

/// A system chunk that is made while the transaction before is on its way is in the next superblock, and not before.
#[test]
fn a_system_chunk_is_listed_when_it_is_durable() {
    let (mounted, hooked) = mount_hooked(small_zones());
    let volume = mounted.txns.volume().clone();
    let files = Files::new(&mounted.txns);
    let first = listed(&volume);
    assert_eq!(first, system_groups(&volume));
    files.create("before", 4096, 4096).unwrap();
    let (txns, store) = (mounted.txns.clone(), mounted.store.clone());
    hooked.hook(move || use_up_system_group(&txns, &store));
    mounted.txns.commit().unwrap();
    let early = mounted.device().after_power_cut(&mut Random::new(1));
    tools::check(&early).unwrap();
    let groups = system_groups(&volume);
    assert!(groups.len() > first.len());
    assert_eq!(listed(&volume), first);

    mounted.txns.commit().unwrap();
    assert_eq!(listed(&volume), groups);
    let late = mounted.device().after_power_cut(&mut Random::new(2));
    tools::check(&late).unwrap();
    files.create("behind", 4096, 4096).unwrap();
    drop(files);
    tools::check(&unmount(mounted)).unwrap();

    // The power went before the chunk was durable, or after.
    for (image, known) in [(early, first), (late, groups)] {
        let mounted = mount(image).unwrap();
        assert_eq!(listed(mounted.txns.volume()), known);
        assert_eq!(system_groups(mounted.txns.volume()), known);
        Files::new(&mounted.txns)
            .create("after", 4096, 4096)
            .unwrap();
        tools::check(&unmount(mounted)).unwrap();
    }
}

/// Each leaf of the chunk tree keeps the group that it was written to last, until it is written elsewhere for that: the superblock
/// has no room for as many groups as there are leaves.
#[test]
fn a_large_chunk_tree_keeps_to_few_groups() {
    let layout = tools::zone_layout(4 * MIB);
    let mounted = mount(tools::mkfs_zoned(4000, &[], layout)).unwrap();
    for number in 0..1300 {
        let done = mounted
            .txns
            .make_data_chunk()
            .and_then(|()| mounted.txns.commit());
        assert_eq!(done, Ok(()), "chunk {number}");
        let groups = system_groups(mounted.txns.volume()).len();
        assert!(groups < 8, "{groups} groups behind {number} chunks");
    }
    let image = unmount(mounted);
    tools::check(&image).unwrap();
    let mounted = mount(image).unwrap();
    mounted.txns.make_data_chunk().unwrap();
    mounted.txns.commit().unwrap();
    drop(unmount(mounted));
}

/// The chunk tree moves to another group when the first is full, and back when that is empty.
#[test]
fn the_chunk_tree_moves_from_group_to_group() {
    let mounted = mount(small_zones()).unwrap();
    let volume = mounted.txns.volume().clone();
    let mut homes = BTreeSet::new();
    for _ in 0..3 {
        let tree = mounted.txns.required_tree(ObjectId::CHUNK_TREE).unwrap();
        let device = Key::new(ObjectId::DEV_ITEMS.get(), Kind::DEV_ITEM, 1);
        for _ in 0..700 {
            let handle = mounted.txns.start(Units::updates(1)).unwrap();
            tree.update(&handle, &device, |_| ()).unwrap();
            handle.commit().unwrap();
        }
        let chunk = volume.chunk(volume.superblock().chunk_root).unwrap();
        homes.insert(chunk.logical.get());
        tools::check(&mounted.device().after_power_cut(&mut Random::new(3))).unwrap();
    }
    assert_eq!(homes, system_groups(&volume));
    assert_eq!(homes, listed(&volume));
    assert_eq!(homes.len(), 2);
    drop(volume);
    tools::check(&unmount(mounted)).unwrap();
}
