// SPDX-License-Identifier: GPL-2.0
//! Reading where groups are free when that is needed, and forgetting it.

mod trim;

use engine::disk::{BlockGroupItem, Bytes, Key, Kind, Logical, ObjectId};
use engine::space::{BlockClass, Class, NextGroup, Shortage, Space, Urgency};
use engine::txn::{Handle, Units};
use harness::device::faults::{Extent, Faults, Request};
use harness::device::Image;
use harness::mount::{devices, free_ranges, Access, Mounted};
use harness::tools;
use harness::walker::walk;
use kernel::alloc::inject;
use kernel::prelude::{EIO, ENOSPC, EUCLEAN};
use kernel::print::Capture;
use std::ops::ControlFlow;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A mount does not read where groups are free. Who writes first has one group read of what he needs, not all.
#[test]
fn free_space_is_read_when_it_is_needed() {
    let mounted = Mounted::mount(vec![tools::mkfs(512 * MIB, &[])], Access::ReadWrite).unwrap();
    let mut promised = Vec::new();
    for _ in 0..5 {
        promised.push(mounted.txns.reserve_data(Bytes::new(48 * MIB)).unwrap());
    }
    let space = mounted.txns.space().clone();
    let held: Vec<_> = promised
        .iter()
        .map(|reservation| {
            space
                .allocate_data(reservation, Bytes::new(MIB), Bytes::new(MIB))
                .unwrap()
        })
        .collect();
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    for extent in &held {
        space
            .note_allocated(&handle, extent.logical, Bytes::new(MIB))
            .unwrap();
    }
    drop((handle, promised));
    let images = mounted.unmount().unwrap();

    let mounted = Mounted::mount(images, Access::ReadWrite).unwrap();
    let space = mounted.txns.space().clone();
    let before = space.statistics();
    assert!(
        before.available > Bytes::new(200 * MIB),
        "it counts as free all the same"
    );
    let ask = || {
        space
            .reserve(Class::Data, Bytes::new(MIB), Urgency::Ordinary)
            .err()
    };
    assert_eq!(ask(), Some(Shortage::Unread(Class::Data)));
    // One group holds so much, all of them hold all.
    drop(mounted.txns.reserve_data(Bytes::new(MIB)).unwrap());
    assert_eq!(ask(), None);
    let all = space.reserve(Class::Data, Bytes::new(200 * MIB), Urgency::Ordinary);
    assert_eq!(all.err(), Some(Shortage::Unread(Class::Data)));
    assert!(mounted.txns.reserve_data(Bytes::new(200 * MIB)).is_ok());
    assert_eq!(space.statistics().available, before.available);
    space.audit().unwrap();
}

/// What was freed in a group of which it was not read where it is free, and read before the commit, is not allocated
/// before the commit is durable; afterwards it is.
#[test]
fn what_was_freed_unread_waits_for_the_commit() {
    let mounted = Mounted::mount(vec![tools::mkfs(512 * MIB, &[])], Access::ReadWrite).unwrap();
    let space = mounted.txns.space().clone();
    let reservation = mounted.txns.reserve_data(Bytes::new(8 * MIB)).unwrap();
    let extent = space
        .allocate_data(&reservation, Bytes::new(4 * MIB), Bytes::new(4 * MIB))
        .unwrap();
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    space
        .note_allocated(&handle, extent.logical, extent.len)
        .unwrap();
    drop((handle, reservation));
    mounted.txns.commit().unwrap();
    // What a transaction freed comes back with its commit, and there is none for a transaction that changed no tree.
    let tree = mounted.txns.tree(ObjectId::DEV_TREE).unwrap();
    let commit = |handle: Handle| {
        tree.rewrite(&handle, &Key::MIN).unwrap();
        handle.commit().unwrap();
    };
    let is_free = |space: &Space, at: Logical| {
        let at = at.get();
        free_ranges(space)
            .iter()
            .any(|&(start, end)| start <= at && at < end)
    };
    assert!(!is_free(&space, extent.logical));

    space.forget(64);
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    let second = extent.logical.saturating_add(Bytes::new(MIB));
    space
        .note_freed(&handle, extent.logical, Bytes::new(MIB))
        .unwrap();
    space.note_freed(&handle, second, Bytes::new(MIB)).unwrap();
    space.audit().unwrap();
    assert!(!is_free(&space, extent.logical), "it waits for the commit");
    assert!(!is_free(&space, second));
    space.audit().unwrap();
    commit(handle);
    space.audit().unwrap();
    assert!(is_free(&space, extent.logical) && is_free(&space, second));

    // And when it is read only after the commit.
    space.forget(64);
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    let third = second.saturating_add(Bytes::new(MIB));
    space.note_freed(&handle, third, Bytes::new(MIB)).unwrap();
    commit(handle);
    assert!(is_free(&space, third));
    space.audit().unwrap();

    // What waits is known from memory alone: the group is not forgotten meanwhile.
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    let fourth = third.saturating_add(Bytes::new(MIB));
    space.note_freed(&handle, fourth, Bytes::new(MIB)).unwrap();
    let before = space.forgotten();
    space.forget(64);
    assert_eq!(space.forgotten(), before);
    assert!(!is_free(&space, fourth));
    commit(handle);
    assert!(is_free(&space, fourth));
    space.audit().unwrap();
}

/// A volume with many groups of file data, each with little in it: what is empty would be removed.
fn with_groups(gib: u64) -> Image {
    let image = tools::mkfs((gib + 20) * GIB, &["-m", "single"]);
    let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
    let space = mounted.txns.space();
    let mut promised = Vec::new();
    for _ in 0..gib {
        promised.push(mounted.txns.reserve_data(Bytes::new(GIB)).unwrap());
    }
    for reservation in &promised {
        let handle = mounted.txns.start(Units::inserts(1)).unwrap();
        let extent = space
            .allocate_data(reservation, Bytes::new(GIB), Bytes::new(GIB / 2))
            .unwrap();
        space
            .note_allocated(&handle, extent.logical, Bytes::new(MIB))
            .unwrap();
        let rest = extent.logical.saturating_add(Bytes::new(MIB));
        space.release_unwritten(rest, Bytes::new(extent.len.get() - MIB));
    }
    drop(promised);
    let mut images = mounted.unmount().unwrap();
    images.remove(0)
}

/// Where groups are free is kept for 1 TiB of them. Who is promised more is not kept waiting for ever, nor who asks for
/// more than there is; and when it is not needed any more the rest is forgotten, and not read again ahead.
#[test]
fn more_can_be_promised_than_is_known() {
    let image = with_groups(1100);
    let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
    let space = mounted.txns.space();
    let now = |bytes| space.reserve(Class::Data, bytes, Urgency::Ordinary).err();
    let unread = Some(Shortage::Unread(Class::Data));
    let more_than_all = mounted.txns.reserve_data(Bytes::new(1200 * GIB));
    assert_eq!(more_than_all.err(), Some(ENOSPC));
    let promised = mounted.txns.reserve_data(Bytes::new(1080 * GIB)).unwrap();
    for _ in 0..3 {
        mounted.txns.maintain().unwrap();
    }
    space.audit().unwrap();
    drop(promised);
    assert_eq!(
        now(Bytes::new(1080 * GIB)),
        None,
        "what is promised is not forgotten"
    );
    for _ in 0..3 {
        mounted.txns.maintain().unwrap();
    }
    space.audit().unwrap();
    assert_eq!(now(Bytes::new(1030 * GIB)), unread);
    assert_eq!(now(Bytes::new(1000 * GIB)), None);
}

/// Who removes groups to relieve a shortage changes trees, and is perhaps the first to do so: he needs to know where
/// tree blocks can lie.
#[test]
fn who_removes_groups_first_knows_where_tree_blocks_lie() {
    let mounted = Mounted::mount(vec![tools::mkfs(512 * MIB, &[])], Access::ReadWrite).unwrap();
    let mut promised = Vec::new();
    while let Ok(reservation) = mounted.txns.reserve_data(Bytes::new(8 * MIB)) {
        promised.push(reservation);
    }
    drop(promised);
    let images = mounted.unmount().unwrap();
    let mounted = Mounted::mount(images, Access::ReadWrite).unwrap();
    let log = Capture::new();
    let refused = mounted.txns.reserve_data(Bytes::new(GIB)).err();
    assert_eq!(mounted.txns.is_aborted(), None, "{:?}", log.lines());
    assert_eq!(refused, Some(ENOSPC));
    let images = mounted.unmount().unwrap();
    tools::check(&images[0]).unwrap();
}

/// A commit that has groups read does not fail for want of memory.
#[test]
fn groups_are_read_when_memory_is_short() {
    let mounted = Mounted::mount(vec![tools::mkfs(512 * MIB, &[])], Access::ReadWrite).unwrap();
    let space = mounted.txns.space();
    let failing = inject::fail_randomly(1, 1);
    for class in [Class::Data, Class::Metadata, Class::System] {
        assert_eq!(space.read_next(class), Ok(NextGroup::Read), "{class:?}");
    }
    drop(failing);
    space.audit().unwrap();
}

/// What the item of a block group says is used, changed in a transaction of its own.
fn set_used(mounted: &Mounted, group: Logical, used: u64) {
    let trees = [ObjectId::BLOCK_GROUP_TREE, ObjectId::EXTENT_TREE];
    let tree = trees.iter().find_map(|&id| mounted.txns.tree(id).ok());
    let (tree, mut key) = (tree.unwrap(), None);
    let scanned = tree.scan(
        Key::new(group.get(), Kind::new(0), 0)..=Key::MAX,
        |at, _| {
            key = (at.kind == Kind::BLOCK_GROUP_ITEM).then_some(at);
            Ok(match key {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            })
        },
    );
    scanned.unwrap();
    let (key, handle) = (key.unwrap(), mounted.txns.start(Units::inserts(1)).unwrap());
    let updated = tree.update(&handle, &key, |bytes| {
        let item = BlockGroupItem::parse(&key, bytes).unwrap();
        BlockGroupItem {
            used: Bytes::new(used),
            ..item
        }
        .write_to(bytes)
        .unwrap();
    });
    updated.unwrap();
    handle.commit().unwrap();
}

/// A volume with groups of file data, each with an extent at its start; these.
fn with_extents() -> (Mounted, Vec<Logical>) {
    let mounted = Mounted::mount(vec![tools::mkfs(512 * MIB, &[])], Access::ReadWrite).unwrap();
    let promised = [(); 5].map(|()| mounted.txns.reserve_data(Bytes::new(48 * MIB)).unwrap());
    let space = mounted.txns.space().clone();
    let extents = promised.each_ref().map(|reservation| {
        let extent = space.allocate_data(reservation, Bytes::new(40 * MIB), Bytes::new(40 * MIB));
        extent.unwrap().logical
    });
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    for &start in &extents {
        space
            .note_allocated(&handle, start, Bytes::new(MIB))
            .unwrap();
        space.release_unwritten(start.saturating_add(Bytes::new(MIB)), Bytes::new(39 * MIB));
    }
    drop((handle, promised));
    mounted.txns.commit().unwrap();
    (mounted, extents.to_vec())
}

/// A group in which there is something, and of which its item says that nothing is, is not removed.
#[test]
fn a_group_that_only_says_that_it_is_empty_stays() {
    let (mounted, extents) = with_extents();
    let liar = mounted.volume.chunk(extents[2]).unwrap().logical;
    set_used(&mounted, liar, 0);
    let images = mounted.unmount().unwrap();

    let mounted = Mounted::mount(images, Access::ReadWrite).unwrap();
    let chunks = || mounted.volume.chunk(liar).map(|chunk| chunk.logical).ok();
    for _ in 0..3 {
        mounted.txns.maintain().unwrap();
        mounted.txns.commit().unwrap();
        assert_eq!(chunks(), Some(liar), "what is there is lost");
    }
    mounted.txns.space().audit().unwrap();
}

/// Commits a transaction that changed a tree: what was freed comes back.
fn commit(mounted: &Mounted, handle: Handle) {
    let tree = mounted.txns.tree(ObjectId::DEV_TREE).unwrap();
    tree.rewrite(&handle, &Key::MIN).unwrap();
    handle.commit().unwrap();
}

/// What is free in a group that contradicts itself stays unused, whatever is freed there later, and that is said once.
#[test]
fn a_group_that_was_given_up_is_not_read_again() {
    let (mounted, extents) = with_extents();
    let liar = mounted.volume.chunk(extents[2]).unwrap();
    set_used(&mounted, liar.logical, 2 * MIB);
    let images = mounted.unmount().unwrap();

    let mounted = Mounted::mount(images, Access::ReadWrite).unwrap();
    let (space, log) = (mounted.txns.space().clone(), Capture::new());
    let said = || {
        let lines = log.lines();
        lines
            .iter()
            .filter(|line| line.contains("stays unused"))
            .count()
    };
    while space.read_next(Class::Data).unwrap() == NextGroup::Read {}
    assert_eq!(said(), 1);
    let lost = space.statistics().data.read_only;
    assert!(lost >= Bytes::new(liar.len.get() - 2 * MIB));
    for place in [0, 1] {
        let handle = mounted.txns.start(Units::inserts(1)).unwrap();
        let start = extents[2].saturating_add(Bytes::new(place * MIB / 2));
        space
            .note_freed(&handle, start, Bytes::new(MIB / 2))
            .unwrap();
        commit(&mounted, handle);
        space.audit().unwrap();
        assert_eq!(space.read_next(Class::Data), Ok(NextGroup::None));
        mounted.txns.maintain().unwrap();
    }
    assert_eq!(said(), 1, "{:?}", log.lines());
    let data = space.statistics().data;
    assert_eq!(
        (data.read_only.get(), data.pinned.get()),
        (lost.get() + MIB, 0)
    );
    space.audit().unwrap();
    let images = mounted.unmount().unwrap();
    let mounted = Mounted::mount(images, Access::ReadWrite).unwrap();
    assert_eq!(
        mounted.txns.space().statistics().data.used,
        Bytes::new(5 * MIB)
    );
}

/// There may be more in it than its item says is used: all of that can be freed.
#[test]
fn what_a_group_that_was_given_up_does_not_count_can_be_freed() {
    let (mounted, extents) = with_extents();
    let liar = mounted.volume.chunk(extents[2]).unwrap();
    set_used(&mounted, liar.logical, MIB / 4);
    let images = mounted.unmount().unwrap();
    let mounted = Mounted::mount(images, Access::ReadWrite).unwrap();
    let (space, log) = (mounted.txns.space().clone(), Capture::new());
    while space.read_next(Class::Data).unwrap() == NextGroup::Read {}
    assert!(log.contains("stays unused"), "{:?}", log.lines());
    let used = space.statistics().data.used;
    assert_eq!(used, Bytes::new(4 * MIB + MIB / 4));
    for place in [0, 1] {
        let handle = mounted.txns.start(Units::inserts(1)).unwrap();
        let start = extents[2].saturating_add(Bytes::new(place * MIB / 2));
        space
            .note_freed(&handle, start, Bytes::new(MIB / 2))
            .unwrap();
        space.audit().unwrap();
        commit(&mounted, handle);
        space.audit().unwrap();
    }
    let data = space.statistics().data;
    assert_eq!((data.used.get(), data.pinned.get()), (4 * MIB, 0));
    assert!(data.read_only >= liar.len);
    let images = mounted.unmount().unwrap();
    let mounted = Mounted::mount(images, Access::ReadWrite).unwrap();
    assert_eq!(
        mounted.txns.space().statistics().data.used,
        Bytes::new(4 * MIB)
    );
}

/// Whoever wants memory has forgotten what can be read again, with whatever locks; and nothing that was promised.
#[test]
fn what_is_forgotten_for_want_of_memory_can_be_read_again() {
    let mounted = Mounted::mount(vec![with_groups(300)], Access::ReadWrite).unwrap();
    let space = mounted.txns.space();
    let promised = mounted.txns.reserve_data(Bytes::new(20 * GIB)).unwrap();
    let known = free_ranges(space);
    let before = space.forgettable();
    assert!(before >= 20 * 8, "{before} pages");
    space.each_free(|_, _| assert!(space.forget(10) <= before));
    space.forget(1000);
    space.audit().unwrap();
    for _ in 0..20 {
        let extent = space
            .allocate_data(&promised, Bytes::new(16 * MIB), Bytes::new(16 * MIB))
            .unwrap();
        assert_eq!(space.forget(0), 0);
        space.release_unwritten(extent.logical, extent.len);
    }
    drop(promised);
    space.forget(1000);
    assert_eq!(space.forgettable(), 0);
    assert_eq!(space.forgotten(), before);
    space.audit().unwrap();
    let promised = mounted.txns.reserve_data(Bytes::new(20 * GIB)).unwrap();
    assert_eq!(free_ranges(space).len(), known.len());
    drop(promised);
    mounted.unmount().unwrap();
}

/// What no tree has is not forgotten.
#[test]
fn what_cannot_be_read_again_is_not_forgotten() {
    let image = tools::mkfs(4 * GIB, &["-O", "^free-space-tree,^block-group-tree"]);
    let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
    let space = mounted.txns.space();
    assert_eq!((space.forgettable(), space.forget(1000)), (0, 0));
    space.audit().unwrap();
    mounted.unmount().unwrap();
}

/// Where the free space tree cannot be read, that is what whoever asks for space is told, and why the volume becomes
/// read-only.
#[test]
fn a_free_space_tree_that_cannot_be_read_is_no_want_of_space() {
    let image = with_groups(300);
    for class in [Class::Data, Class::Metadata] {
        let mounted = Mounted::mount(vec![image.clone()], Access::ReadWrite).unwrap();
        let space = mounted.txns.space();
        space.forget(1000);
        // The mount has read its root and may have read where tree blocks are free.
        let failing = |faults: &mut Faults| faults.fail_nth(Request::Read, 0, Extent::FromThen);
        mounted.device().faults(failing);
        let log = Capture::new();
        let refused = match class {
            Class::Data => mounted.txns.reserve_data(Bytes::new(MIB)).err(),
            _ => mounted.txns.start(Units::inserts(1)).err(),
        };
        assert_eq!(refused, Some(EIO), "{class:?}: {:?}", log.lines());
        assert_eq!(mounted.txns.is_aborted(), Some(EIO));
        let lines = log.lines();
        let given_up = lines.iter().filter(|line| line.contains("stays unused"));
        assert_eq!(given_up.count(), 0, "{lines:?}");
    }
}

/// Adds to what the items of block groups of metadata in a leaf say is used; how many these are.
fn change_used(block: &mut [u8]) -> usize {
    const HEADER: usize = 101;
    const ITEM: usize = 25;
    let u32_at = |block: &[u8], at: usize| {
        u32::from_le_bytes(block[at..at + 4].try_into().unwrap()) as usize
    };
    if block[100] > 0 {
        return 0;
    }
    let mut changed = 0;
    for nr in 0..u32_at(block, 96) {
        let head = HEADER + nr * ITEM;
        let data = HEADER + u32_at(block, head + 17);
        let is_group = block[head + 8] == Kind::BLOCK_GROUP_ITEM.get();
        if is_group && block[data + 16] & 4 != 0 {
            // So many pages of 64 KiB more.
            block[data + 2] += 1;
            changed += 1;
        }
    }
    changed
}

/// A volume whose only group of tree blocks contradicts itself.
fn without_a_place() -> Mounted {
    let image = tools::mkfs(512 * MIB, &["-m", "single"]);
    let walked = walk(&tools::as_file(&image));
    let (device, mut changed) = (devices(vec![image]).unwrap().remove(0), 0);
    for found in &walked.blocks {
        let mut block = found.bytes.clone();
        changed += change_used(&mut block);
        device.damage(|image| walked.write(image, found.addr, &mut block));
    }
    assert_eq!(changed, 1);
    Mounted::mount_on(vec![device], Access::ReadWrite).unwrap()
}

/// Where the only group of tree blocks contradicts itself, that is why the volume becomes read-only.
#[test]
fn tree_blocks_that_have_no_place_are_no_want_of_space() {
    let mounted = without_a_place();
    let refused = mounted.txns.start(Units::inserts(1)).err();
    assert_eq!(refused, Some(EUCLEAN));
    assert_eq!(mounted.txns.is_aborted(), Some(EUCLEAN));
}

/// An empty group can be spared where others hold what was promised, though it is the one of which it is known where it
/// is free.
#[test]
fn the_empty_group_that_was_read_can_be_spared() {
    let (mounted, extents) = with_extents();
    let empty = mounted.volume.chunk(extents[2]).unwrap().logical;
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    let space = mounted.txns.space().clone();
    space
        .note_freed(&handle, extents[2], Bytes::new(MIB))
        .unwrap();
    commit(&mounted, handle);
    let images = mounted.unmount().unwrap();

    let mounted = Mounted::mount(images, Access::ReadWrite).unwrap();
    let promised = mounted.txns.reserve_data(Bytes::new(48 * MIB)).unwrap();
    let space = mounted.txns.space();
    let next = || space.next_unused().unwrap();
    let removals: Vec<_> = std::iter::from_fn(next).collect();
    assert!(removals.iter().any(|removal| removal.start() == empty));
    while promised.bytes() > Bytes::ZERO {
        space
            .allocate_data(&promised, Bytes::new(48 * MIB), Bytes::new(4096))
            .unwrap();
    }
    drop(removals);
    space.audit().unwrap();
}

/// Where the groups that changed are written, more of what is free for tree blocks is read before it runs out.
#[test]
fn writing_groups_reads_where_tree_blocks_can_lie() {
    let mounted = Mounted::mount(vec![tools::mkfs(512 * MIB, &[])], Access::ReadWrite).unwrap();
    let metadata = |mounted: &Mounted| mounted.txns.space().statistics().metadata;
    let (mut promised, before) = (Vec::new(), metadata(&mounted).total);
    while metadata(&mounted).total == before {
        promised.push(mounted.txns.reserve(Units::inserts(8)).unwrap());
    }
    drop(promised);
    let images = mounted.unmount().unwrap();

    let mounted = Mounted::mount(images, Access::ReadWrite).unwrap();
    let space = mounted.txns.space();
    let data = mounted.txns.reserve_data(Bytes::new(MIB)).unwrap();
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    let extent = space
        .allocate_data(&data, Bytes::new(MIB), Bytes::new(MIB))
        .unwrap();
    space
        .note_allocated(&handle, extent.logical, Bytes::new(MIB))
        .unwrap();
    let ask = |bytes| {
        space
            .reserve(Class::Metadata, bytes, Urgency::Ordinary)
            .err()
    };
    let all = metadata(&mounted);
    let free = all.total.get()
        - all.used.get()
        - all.reserved.get()
        - all.pinned.get()
        - all.read_only.get()
        - all.promised.get();
    let unread = Some(Shortage::Unread(Class::Metadata));
    assert_eq!(ask(Bytes::new(free - MIB)), unread);
    // All but a few blocks of what is known.
    let nothing = space.reserve_nothing(Class::Metadata);
    let near = Logical::new(0);
    let mut taken = Vec::new();
    while let Ok(block) = space.allocate_block(BlockClass::Metadata, near, &nothing) {
        taken.push(block);
    }
    taken.truncate(taken.len() - 16);
    assert_eq!(space.write_dirty_groups(&handle), Ok(1));
    let next = space.read_next(Class::Metadata);
    assert_eq!(next, Ok(NextGroup::None), "it was read");
    handle.abort(EIO);
}
