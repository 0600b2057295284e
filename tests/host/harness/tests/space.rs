// SPDX-License-Identifier: GPL-2.0
//! Block groups and free space on images of mkfs.btrfs: as loaded, and kept through histories.

use engine::disk::raw::RawBlockGroup;
use engine::disk::{BlockGroupFlags, Bytes, Generation, Key, Kind, Logical, ObjectId};
use engine::space::{BlockClass, Class, NextGroup, Statistics, Urgency};
use engine::txn::Units;
use harness::device::zones::ZoneLayout;
use harness::device::Image;
use harness::history::{Driver, Generator, Model, Op, Profile};
use harness::mount::{free_ranges, Access, Mounted};
use harness::random::Random;
use harness::tools;
use harness::walker::{walk, Walked};
use std::collections::BTreeMap;
use std::sync::Mutex;
use zerocopy::FromBytes;

const MIB: u64 = 1 << 20;

/// What the extent tree says, read by other code: group -> (end, flags, used, free ranges).
struct Truth {
    groups: BTreeMap<u64, (u64, BlockGroupFlags, u64)>,
    free: Vec<(u64, u64)>,
    walked: Walked,
}

fn truth(image: &Image) -> Truth {
    let walked = walk(image);
    let mut items = walked.items(ObjectId::BLOCK_GROUP_TREE, Kind::BLOCK_GROUP_ITEM);
    items.extend(walked.items(ObjectId::EXTENT_TREE, Kind::BLOCK_GROUP_ITEM));
    let node_size = u64::from(walked.superblock.node_size);
    let mut extents: Vec<(u64, u64)> = Vec::new();
    for kind in [Kind::EXTENT_ITEM, Kind::METADATA_ITEM] {
        let found = walked.items(ObjectId::EXTENT_TREE, kind);
        extents.extend(
            found
                .iter()
                .map(|(key, _)| (key.objectid.get(), len(key, node_size))),
        );
    }
    extents.sort_unstable();
    let mut groups = BTreeMap::new();
    let mut free = Vec::new();
    for (key, bytes) in items {
        let item = RawBlockGroup::read_from_bytes(&bytes).unwrap();
        let start = key.objectid.get();
        let end = start + key.offset;
        groups.insert(
            start,
            (end, BlockGroupFlags::new(item.flags.get()), item.used.get()),
        );
        let mut at = start;
        let mut used = 0;
        for &(extent, len) in extents
            .iter()
            .filter(|(extent, _)| (start..end).contains(extent))
        {
            assert!(extent >= at && extent + len <= end, "extents overlap");
            if at < extent {
                free.push((at, extent));
            }
            at = extent + len;
            used += len;
        }
        if at < end {
            free.push((at, end));
        }
        assert_eq!(used, item.used.get(), "block group {start}");
    }
    free.sort_unstable();
    Truth {
        groups,
        free,
        walked,
    }
}

fn len(key: &Key, node_size: u64) -> u64 {
    match key.kind {
        Kind::METADATA_ITEM => node_size,
        _ => key.offset,
    }
}

/// Takes the superblock copies of a single device out of the free ranges.
fn without_superblocks(truth: &Truth) -> Vec<(u64, u64)> {
    const COPIES: [u64; 3] = [64 << 10, 64 << 20, 256 << 30];
    let mut kept = truth.free.clone();
    for chunk in truth.walked.items(ObjectId::CHUNK_TREE, Kind::CHUNK_ITEM) {
        let (logical, item) = (chunk.0.offset, &chunk.1);
        let word = |at: usize| u64::from_le_bytes(item[at..at + 8].try_into().unwrap());
        let stripes = usize::from(u16::from_le_bytes(item[44..46].try_into().unwrap()));
        for physical in (0..stripes).map(|stripe| word(48 + 32 * stripe + 8)) {
            for copy in COPIES
                .iter()
                .filter(|&&copy| (physical..physical + word(0)).contains(&copy))
            {
                // As C, which keeps off the whole stripe.
                let start = logical + (copy - physical) / 65536 * 65536;
                kept = kept
                    .iter()
                    .flat_map(|&(from, to)| cut((from, to), (start, start + 65536)))
                    .collect();
            }
        }
    }
    kept
}

fn cut((from, to): (u64, u64), (start, end): (u64, u64)) -> Vec<(u64, u64)> {
    let parts = [(from, to.min(start)), (from.max(end), to)];
    parts.into_iter().filter(|(from, to)| from < to).collect()
}

fn class(statistics: &Statistics, flags: BlockGroupFlags) -> engine::space::ClassStatistics {
    match flags.common(BlockGroupFlags::TYPES) {
        BlockGroupFlags::DATA => statistics.data,
        BlockGroupFlags::METADATA => statistics.metadata,
        _ => statistics.system,
    }
}

/// The totals are the sums of the image's groups.
fn agree(statistics: &Statistics, truth: &Truth) {
    for kind in [
        BlockGroupFlags::DATA,
        BlockGroupFlags::METADATA,
        BlockGroupFlags::SYSTEM,
    ] {
        let of_kind = truth
            .groups
            .iter()
            .filter(|(_, (_, flags, _))| flags.contains(kind));
        let (total, used) = of_kind.fold((0, 0), |(total, used), (start, (end, _, u))| {
            (total + (end - start), used + u)
        });
        let found = class(statistics, kind);
        assert_eq!(
            (found.total.get(), found.used.get()),
            (total, used),
            "{kind:?}"
        );
    }
    let used: u64 = truth.groups.values().map(|(_, _, used)| used).sum();
    assert_eq!(statistics.bytes_used, Bytes::new(used));
}

const FORMATS: &[&[&str]] = &[
    &[],
    &["-n", "4096"],
    &["-n", "65536"],
    &["-O", "^block-group-tree"],
    &["-O", "^free-space-tree,^block-group-tree"],
    &["-m", "single", "-d", "single"],
];

#[test]
fn what_is_loaded_is_what_the_image_says() {
    for options in FORMATS {
        let image = tools::mkfs(512 * MIB, options);
        let truth = truth(&image);
        let mounted = Mounted::mount(vec![image.clone()], Access::ReadWrite).unwrap();
        mounted.txns.space().audit().unwrap();
        agree(&mounted.txns.space().statistics(), &truth);
        assert_eq!(
            free_ranges(mounted.txns.space()),
            without_superblocks(&truth),
            "{options:?}"
        );
        let read_only = Mounted::mount(vec![image], Access::ReadOnly).unwrap();
        read_only.txns.space().audit().unwrap();
        agree(&read_only.txns.space().statistics(), &truth);
    }
}

/// After any history and an unmount, the image agrees with what was in memory, and `btrfs check` with the image.
#[test]
fn histories_keep_the_books() {
    for (seed, options) in (1..).zip(FORMATS) {
        let mounted =
            Mounted::mount(vec![tools::mkfs(512 * MIB, options)], Access::ReadWrite).unwrap();
        let mounted = play(mounted, seed, 1500);
        let space = mounted.txns.space().clone();
        let images = mounted.unmount().unwrap();
        space.audit().unwrap();
        for class in Class::ALL {
            assert_eq!(
                space.promised(class),
                Bytes::ZERO,
                "{class:?} is promised to nobody"
            );
        }
        let truth = truth(&images[0]);
        agree(&space.statistics(), &truth);
        assert_eq!(space.statistics().metadata.pinned, Bytes::ZERO);
        tools::check(&images[0]).unwrap();
        assert_eq!(
            free_ranges(&space),
            without_superblocks(&truth),
            "{options:?}"
        );
    }
}

/// Histories on sequential zones: what is freed is unusable until its zone is reset, and zones are reset.
#[test]
fn histories_on_zones_keep_the_books() {
    for (seed, capacity, max_active) in [(1, 4, None), (2, 3, None), (3, 4, Some(11))] {
        let layout = ZoneLayout {
            max_active,
            ..tools::zone_layout(capacity * MIB)
        };
        let image = tools::mkfs_zoned(64, &[], layout);
        let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
        let mounted = play(mounted, seed, 8000);
        let space = mounted.txns.space().clone();
        let violations = mounted.violations();
        assert!(violations.is_empty(), "{violations:?}");
        let images = mounted.unmount().unwrap();
        space.audit().unwrap();
        for class in Class::ALL {
            assert_eq!(
                space.promised(class),
                Bytes::ZERO,
                "{class:?} is promised to nobody"
            );
        }
        tools::check(&images[0]).unwrap();
        agree(&space.statistics(), &truth(&tools::as_file(&images[0])));
        let before = space.statistics();
        let again = Mounted::mount(images, Access::ReadOnly).unwrap();
        assert_eq!(
            again.txns.space().statistics().bytes_used,
            before.bytes_used
        );
    }
}

fn play(mounted: Mounted, seed: u64, steps: usize) -> Mounted {
    play_with(mounted, seed, steps, |_, _| {})
}

/// Plays a history; after each step `and_then` has its turn.
fn play_with(
    mounted: Mounted,
    seed: u64,
    steps: usize,
    mut and_then: impl FnMut(usize, &Mounted),
) -> Mounted {
    let zoned = mounted.volume.rules().writes_in_order();
    let mut driver = Driver::start(mounted).unwrap();
    let mut model = Model::default();
    let mut generator = Generator::new(seed, Profile::DATA);
    for step in 0..steps {
        let op = generator.next(&model);
        let refused = zoned && matches!(op, Op::Preallocate { .. });
        if refused || matches!(op, Op::Remount | Op::DropCaches) {
            continue;
        }
        if model.apply(&op).is_ok() {
            driver
                .apply(&op, model.now())
                .unwrap_or_else(|error| panic!("{step}: {op:?}: {error:?}"));
        }
        driver.mounted().txns.space().audit().unwrap();
        and_then(step, driver.mounted());
    }
    driver.finish()
}

/// Where groups are free is forgotten and read again at any time: between allocations and writes, between what a
/// transaction frees and its commit. The image and the books agree all the same.
#[test]
fn what_is_forgotten_is_read_again() {
    for (seed, options) in (20..).zip(FORMATS) {
        let image = tools::mkfs(512 * MIB, options);
        let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
        let mut random = Random::new(seed);
        let mounted = play_with(mounted, seed, 1200, |_, mounted| {
            let space = mounted.txns.space();
            match random.below(4) {
                0 => drop(space.forget(3)),
                1 => {
                    let _ = space.read_next(Class::Data).unwrap();
                }
                2 if random.one_in(4) => mounted.txns.commit().unwrap(),
                _ => {}
            }
            space.audit().unwrap();
        });
        let space = mounted.txns.space().clone();
        let images = mounted.unmount().unwrap();
        let truth = truth(&images[0]);
        agree(&space.statistics(), &truth);
        tools::check(&images[0]).unwrap();
        assert_eq!(
            free_ranges(&space),
            without_superblocks(&truth),
            "{options:?}"
        );
    }
}

/// A group of which the free space tree tells nothing that makes sense is not allocated from, and counts as full.
#[test]
fn a_group_that_contradicts_itself_is_left_alone() {
    let mounted = Mounted::mount(vec![tools::mkfs(512 * MIB, &[])], Access::ReadWrite).unwrap();
    let space = mounted.txns.space().clone();
    let tree = mounted.txns.tree(ObjectId::FREE_SPACE_TREE).unwrap();
    let start = {
        let groups = truth(&mounted.images()[0]).groups;
        let data =
            |(_, flags, _): &(u64, BlockGroupFlags, u64)| flags.contains(BlockGroupFlags::DATA);
        *groups.iter().find(|(_, group)| data(group)).unwrap().0
    };
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    let key = Key::new(start, Kind::FREE_SPACE_INFO, 0);
    let key = tree.ceiling(&key, |key, _| key).unwrap().unwrap();
    tree.remove(&handle, &key).unwrap();
    drop(handle);
    let before = space.statistics();
    assert_eq!(space.read_next(Class::Data), Ok(NextGroup::Read));
    assert_eq!(space.read_next(Class::Data), Ok(NextGroup::None));
    space.audit().unwrap();
    let after = space.statistics().data;
    assert_eq!(after.read_only, after.total.saturating_sub(after.used));
    assert!(space.statistics().available < before.available);
}

/// All of a small volume's data space is promised, allocated in pieces, and comes back.
#[test]
fn data_can_be_allocated_to_the_last_sector() {
    let mounted = Mounted::mount(vec![tools::mkfs(128 * MIB, &[])], Access::ReadWrite).unwrap();
    let space = mounted.txns.space().clone();
    let before = free_ranges(mounted.txns.space());
    let statistics = space.statistics().data;
    let bytes = statistics.total.get() - statistics.used.get() - statistics.read_only.get();
    let reservation = space
        .reserve(Class::Data, Bytes::new(bytes), Urgency::Ordinary)
        .unwrap();
    assert!(space
        .reserve(Class::Data, Bytes::new(4096), Urgency::Ordinary)
        .is_err());
    let mut random = Random::new(1);
    let mut extents = Vec::new();
    while reservation.bytes() > Bytes::ZERO {
        let wanted = 4096 * (1 + random.below(256));
        let extent = space
            .allocate_data(
                &reservation,
                Bytes::new(wanted.min(reservation.bytes().get())),
                Bytes::new(4096),
            )
            .unwrap();
        extents.push(extent);
        if random.one_in(3) {
            let extent = extents.swap_remove(random.below(extents.len() as u64) as usize);
            space.release_unwritten(extent.logical, extent.len);
            reservation.merge(
                space
                    .reserve(Class::Data, extent.len, Urgency::Ordinary)
                    .unwrap(),
            );
        }
        space.audit().unwrap();
    }
    assert_eq!(
        space.allocate_data(&reservation, Bytes::new(4096), Bytes::new(4096)),
        Err(kernel::prelude::ENOSPC)
    );
    extents.sort_unstable_by_key(|extent| extent.logical);
    assert!(extents
        .windows(2)
        .all(|pair| pair[0].logical.saturating_add(pair[0].len) <= pair[1].logical));
    extents
        .iter()
        .for_each(|extent| space.release_unwritten(extent.logical, extent.len));
    drop(reservation);
    assert_eq!(free_ranges(mounted.txns.space()), before);
    assert_eq!(space.promised(Class::Data), Bytes::ZERO);
    assert!(space
        .take(Logical::new(before[0].0), Bytes::new(4096))
        .is_ok());
    assert!(
        space
            .take(Logical::new(before[0].0), Bytes::new(4096))
            .is_err(),
        "it is taken"
    );
    space.release_unwritten(Logical::new(before[0].0), Bytes::new(4096));
    space.audit().unwrap();
}

/// Threads allocate and give back data and blocks in every way while another unpins. Nothing is given out twice, and in
/// the end everything is where it was.
#[test]
fn threads_share_space() {
    let mounted = Mounted::mount(vec![tools::mkfs(256 * MIB, &[])], Access::ReadWrite).unwrap();
    let space = mounted.txns.space().clone();
    let before = (free_ranges(&space), space.statistics());
    let taken = Mutex::new(BTreeMap::new());
    let take = |start: u64, len: u64| {
        let mut taken = taken.lock().unwrap();
        let last = taken
            .range(..start + len)
            .next_back()
            .map(|(&start, &len)| start + len);
        assert!(
            last.is_none_or(|end| end <= start),
            "{start} was given out twice"
        );
        taken.insert(start, len);
    };
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (space, taken, take) = (&space, &taken, &take);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                let mut held = Vec::new();
                for round in 0..1500u64 {
                    let (start, len) = match random.below(2) {
                        0 => {
                            let len = 4096 * (1 + random.below(8));
                            let from = space
                                .reserve(Class::Data, Bytes::new(len), Urgency::Ordinary)
                                .unwrap();
                            let extent = space
                                .allocate_data(&from, Bytes::new(len), Bytes::new(4096))
                                .unwrap();
                            (extent.logical, extent.len.get())
                        }
                        _ => {
                            let from = space
                                .reserve(Class::Metadata, Bytes::new(16384), Urgency::Commit)
                                .unwrap();
                            let class = [BlockClass::Metadata, BlockClass::TreeLog]
                                [random.below(2) as usize];
                            (
                                space
                                    .allocate_block(class, Logical::new(0), &from)
                                    .unwrap()
                                    .keep(),
                                16384,
                            )
                        }
                    };
                    take(start.get(), len);
                    held.push((start, len));
                    if held.len() < 20 {
                        continue;
                    }
                    let (start, len) = held.swap_remove(random.below(20) as usize);
                    // Whoever gets it next may be faster than this thread.
                    taken.lock().unwrap().remove(&start.get());
                    match random.below(3) {
                        0 => space
                            .pin(start, Bytes::new(len), Generation::new(round))
                            .unwrap(),
                        _ => space.release_unwritten(start, Bytes::new(len)),
                    }
                    if random.one_in(8) {
                        space.unpin(Generation::new(round)).unwrap();
                    }
                }
                for (start, len) in held {
                    taken.lock().unwrap().remove(&start.get());
                    space.release_unwritten(start, Bytes::new(len));
                }
            });
        }
    });
    space.unpin(Generation::new(u64::MAX)).unwrap();
    space.audit().unwrap();
    assert_eq!((free_ranges(&space), space.statistics()), before);
}

/// On sequential zones the log trees' blocks are in a group where no others are.
#[test]
fn log_trees_have_a_group_of_their_own() {
    let image = tools::mkfs_zoned(40, &[], tools::zone_layout(16 * MIB));
    let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
    let space = mounted.txns.space().clone();
    // Make the volume add metadata groups.
    while space
        .reserve(Class::Metadata, Bytes::new(40 * MIB), Urgency::Ordinary)
        .is_err()
    {
        mounted
            .txns
            .reserve(engine::txn::Units::inserts(200))
            .unwrap();
    }
    let from = space
        .reserve(Class::Metadata, Bytes::new(MIB), Urgency::Commit)
        .unwrap();
    let group = |addr: Logical| mounted.volume.chunk(addr).unwrap().logical;
    let mut last = [Logical::new(0); 2];
    let mut groups = [None; 2];
    for index in 0..40 {
        let which = index % 2;
        let class = [BlockClass::Metadata, BlockClass::TreeLog][which];
        let addr = space
            .allocate_block(class, Logical::new(0), &from)
            .unwrap()
            .keep();
        assert!(addr > last[which] || index < 2, "ascending");
        last[which] = addr;
        assert_eq!(*groups[which].get_or_insert(group(addr)), group(addr));
    }
    assert_ne!(groups[0], groups[1]);
    space.audit().unwrap();
}
