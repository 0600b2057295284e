// SPDX-License-Identifier: GPL-2.0
//! The superblock log, groups and their zones, active zones.

use crate::fixture::*;
use engine::disk::{BlockGroupFlags, Bytes, DeviceId, Generation, Logical, Physical, ZoneOffset};
use engine::volume::device::{Device, Zone, ZoneAction, ZoneCondition};
use engine::volume::{
    Activation, Chunk, Copies, DeviceRange, GroupZones, Options, Stripe, Volume, Writes,
};
use harness::checksums::HostChecksums;
use harness::device::zones::ZoneLayout;
use harness::device::{Image, SimDevice};
use harness::random::Random;
use harness::tools;
use harness::walker::{walk, Walked};
use kernel::prelude::*;
use kernel::print::Capture;
use kernel::sync::Arc;
use std::vec::Vec;

const FIRST: DeviceId = DeviceId::new(1);

#[test]
fn the_superblock_log_goes_round() {
    let (image, walked) = zoned_image();
    let device = device(image);
    let mut volume = open_whole(&device, &walked);
    // 8 MiB of 4 KiB superblocks per zone: more than two rounds.
    for step in 1..5000u64 {
        let next = volume.superblock().generation.next();
        volume
            .superblocks()
            .update(|superblock| superblock.generation = next);
        write_superblocks(&volume).unwrap();
        if step % 97 == 0 || (2040..2056).contains(&step) || (4090..4104).contains(&step) {
            let cut = device.after_power_cut(&mut Random::new(step));
            let other = self::device(cut);
            // Nothing was cut off: the newest is found at once, also where it is its zone's last.
            let log = Capture::new();
            assert_eq!(
                open(&other, READ_WRITE).unwrap().superblock().generation,
                next
            );
            volume = open_whole(&device, &walked);
            assert_eq!(volume.superblock().generation, next);
            assert_eq!(log.lines(), Vec::<String>::new(), "step {step}");
        }
    }
    assert_eq!(device.violations(), Vec::<String>::new());
}

#[test]
fn a_power_cut_at_any_point_leaves_the_last_or_the_next_superblock() {
    for block in [4096, 512] {
        power_cuts_where_the_log_changes_its_zone(block);
    }
}

fn power_cuts_where_the_log_changes_its_zone(block: u64) {
    let (image, walked) = zoned_image_of(block);
    let device = device(image);
    let volume = open_whole(&device, &walked);
    let mut random = Random::new(7);
    let first = volume.superblock().generation.get();
    // To the last slot of the first zone.
    for _ in 0..2045 {
        let next = volume.superblock().generation.next();
        volume
            .superblocks()
            .update(|superblock| superblock.generation = next);
        write_superblocks(&volume).unwrap();
    }
    let recorder = harness::device::Recorder::default();
    device.record(&recorder, 0);
    let start = device.image();
    let mut done = volume.superblock().generation.get();
    for _ in 0..6 {
        done += 1;
        volume
            .superblocks()
            .update(|superblock| superblock.generation = Generation::new(done));
        write_superblocks(&volume).unwrap();
        recorder.promise(done);
    }
    let mut replay = recorder.replay(vec![start]);
    let mut cuts = 0;
    loop {
        for _ in 0..4 {
            let [image] = <[Image; 1]>::try_from(replay.power_cut(&mut random))
                .ok()
                .unwrap();
            let opened = open(&self::device(image), READ_WRITE).unwrap();
            let found = opened.superblock().generation.get();
            assert!(found > first && found <= done);
            assert!(found >= replay.promised());
            cuts += 1;
        }
        if !replay.step() {
            break;
        }
    }
    assert!(cuts > 60);
}

fn group_of(volume: &Volume, flags: BlockGroupFlags) -> Arc<Chunk> {
    let mut at = Logical::new(0);
    while let Some(chunk) = volume.chunk_from(at) {
        if chunk.flags.contains(flags) {
            return chunk;
        }
        at = chunk.end();
    }
    panic!("no group of {flags:?}");
}

fn load(volume: &Volume, chunk: &Chunk) -> GroupZones {
    volume
        .zones()
        .load(chunk, &mut || panic!("no zone is conventional"))
        .unwrap()
}

/// Loads all groups, as mount does.
fn load_all(volume: &Volume) {
    let mut at = Logical::new(0);
    while let Some(chunk) = volume.chunk_from(at) {
        load(volume, &chunk);
        at = chunk.end();
    }
}

/// Makes a chunk in zones that are not in `used`, and takes them.
fn make_chunk(volume: &Volume, flags: BlockGroupFlags, used: &mut Vec<DeviceRange>) -> Arc<Chunk> {
    let chunk = volume.unused().plan_chunk(flags, FIRST, used).unwrap();
    used.extend(chunk.stripes.iter().map(|stripe| DeviceRange {
        start: stripe.at,
        len: chunk.len,
    }));
    used.sort();
    volume.add_chunk(chunk).unwrap()
}

/// A volume of `zones` zones, of which `max_active` may be active.
fn limited(zones: u64, max_active: u32) -> (Arc<SimDevice>, Walked) {
    let flat = tools::mkfs(zones * tools::ZONE_SIZE, &["-O", "zoned"]);
    let walked = walk(&flat);
    let mut layout = tools::zone_layout(8 << 20);
    layout.max_active = Some(max_active);
    (device(tools::as_zoned(flat, layout)), walked)
}

#[test]
fn groups_load_from_their_zones() {
    let (image, walked) = zoned_image();
    let device = device(image);
    let volume = open_whole(&device, &walked);
    for flags in [BlockGroupFlags::SYSTEM, BlockGroupFlags::METADATA] {
        let chunk = group_of(&volume, flags);
        assert_eq!(chunk.stripes.len(), 2, "mkfs makes metadata DUP");
        let group = load(&volume, &chunk);
        assert!(group.sequential && group.active);
        assert_eq!(group.capacity, Bytes::new(8 << 20));
        // The pointer is behind every block that is there.
        let end = walked
            .blocks
            .iter()
            .map(|block| block.addr.get() + block.bytes.len() as u64);
        let end = end
            .filter(|end| *end <= chunk.end().get() && *end > chunk.logical.get())
            .max();
        assert!(group.alloc_offset.get() >= end.unwrap() - chunk.logical.get());
        assert!(volume.zones().is_sequential(&chunk));
    }
    let data = group_of(&volume, BlockGroupFlags::DATA);
    assert_eq!(load(&volume, &data).alloc_offset, ZoneOffset::new(0));
}

#[test]
fn copies_of_different_length_are_evened_out() {
    let (image, walked) = zoned_image();
    let device = device(image);
    let volume = open_whole(&device, &walked);
    let chunk = group_of(&volume, BlockGroupFlags::METADATA);
    let before = load(&volume, &chunk).alloc_offset.get();
    let longer = chunk.stripes[1].at.get() + before;
    device
        .write(Physical::new(longer), &[7; 200 << 10])
        .unwrap();
    drop(volume);

    // Read-only nothing is written, and nothing will be.
    let mut devices: KVec<Arc<dyn Device>> = KVec::new();
    devices.push(device.clone(), GFP_KERNEL).unwrap();
    let options = Options {
        writes: Writes::Never,
        copies: Copies::Primary,
    };
    let checksums = Arc::new(HostChecksums, GFP_KERNEL).unwrap();
    let read_only = Volume::open(devices, checksums, options).unwrap();
    let group = load(&read_only, &chunk);
    assert_eq!((group.alloc_offset.get(), group.active), (8 << 20, false));
    drop(read_only);

    let volume = open_whole(&device, &walked);
    let group = load(&volume, &chunk);
    assert_eq!(
        (group.alloc_offset.get(), group.active),
        (
            (before + (200 << 10)).next_multiple_of(u64::from(walked.superblock.node_size)),
            true
        )
    );
    let mut copied = vec![0; 200 << 10];
    device
        .read(
            Physical::new(chunk.stripes[0].at.get() + before),
            &mut copied,
        )
        .unwrap();
    assert_eq!(copied, vec![7; 200 << 10]);
    assert_eq!(device.violations(), Vec::<String>::new());
}

/// Where the zones of a chunk are written to.
fn pointers(device: &dyn Device, chunk: &Chunk) -> Vec<u64> {
    let pointer = |at: Physical| {
        let mut pointer = 0;
        let mut each = |zone: Zone| {
            pointer = zone.write_pointer.get() - at.get();
            Ok(())
        };
        device.report_zones(at, 1, &mut each).unwrap();
        pointer
    };
    chunk
        .stripes
        .iter()
        .map(|stripe| pointer(stripe.at))
        .collect()
}

#[test]
fn evening_out_waits_for_the_first_write() {
    let (image, walked) = zoned_image();
    let device = device(image);
    let volume = open_whole(&device, &walked);
    let chunk = group_of(&volume, BlockGroupFlags::METADATA);
    let before = load(&volume, &chunk).alloc_offset.get();
    let longer = chunk.stripes[1].at.get() + before;
    let node_size = u64::from(walked.superblock.node_size);
    device
        .write(Physical::new(longer), &[7; 200 << 10])
        .unwrap();
    drop(volume);

    let volume = open_whole_with(&device, &walked, DEFERRED);
    let group = load(&volume, &chunk);
    let end = (before + (200 << 10)).next_multiple_of(node_size);
    assert_eq!((group.alloc_offset.get(), group.active), (end, true));
    assert_eq!(write_superblocks(&volume), Err(EROFS));
    assert_eq!(pointers(&*device, &chunk), [before, before + (200 << 10)]);
    // What fails before the first write leaves the volume as it was, and can be done again.
    assert_eq!(volume.begin_writing(|| Err(EUCLEAN)), Err(EUCLEAN));
    assert_eq!(pointers(&*device, &chunk), [end, end]);
    assert_eq!(volume.writes(), Writes::Later);
    assert_eq!(write_superblocks(&volume), Err(EROFS));
    let mut is_told = false;
    volume
        .begin_writing(|| {
            is_told = true;
            Ok(())
        })
        .unwrap();
    assert_eq!((is_told, volume.writes()), (true, Writes::Now));
    volume.begin_writing(|| Err(EUCLEAN)).unwrap();
    write_superblocks(&volume).unwrap();
    drop(volume);
    assert_eq!(load(&open_whole(&device, &walked), &chunk), group);
    assert_eq!(device.violations(), Vec::<String>::new());
}

#[test]
fn a_copy_that_was_never_written_is_evened_out() {
    let (image, walked) = zoned_image();
    let device = device(image);
    let volume = open_whole(&device, &walked);
    let mut used = used(&walked);
    used.sort();
    volume.zones().reset_stray(&mut |_| in_use(&used)).unwrap();
    let flags = BlockGroupFlags::METADATA.with(BlockGroupFlags::DUP);
    let plan = volume.unused().plan_chunk(flags, FIRST, &used).unwrap();
    let (logical, stripes) = (plan.logical, [plan.stripes[0], plan.stripes[1]]);
    let chunk = volume.add_chunk(plan).unwrap();
    assert_eq!(load(&volume, &chunk).alloc_offset, ZoneOffset::new(0));
    device.write(stripes[0].at, &[5; 64 << 10]).unwrap();
    let volume = open_whole(&device, &walked);
    let mut copy = KVec::new();
    copy.extend_from_slice(&stripes, GFP_KERNEL).unwrap();
    let chunk = Chunk {
        logical,
        len: Bytes::new(tools::ZONE_SIZE),
        flags,
        stripes: copy,
    };
    let chunk = volume.add_chunk(chunk).unwrap();
    let group = load(&volume, &chunk);
    assert_eq!((group.alloc_offset.get(), group.active), (64 << 10, true));
    let zones = device.image().zones.unwrap();
    assert!(stripes
        .iter()
        .all(|s| zones.at(s.at.get()).write_pointer.get() == s.at.get() + (64 << 10)));
    assert_eq!(device.violations(), Vec::<String>::new());
}

#[test]
fn chunks_take_empty_zones_and_never_those_of_the_log() {
    let (image, walked) = zoned_image();
    let device = device(image);
    let volume = open_whole(&device, &walked);
    let mut used = used(&walked);
    let flags = BlockGroupFlags::METADATA.with(BlockGroupFlags::DUP);
    // A zone that holds something is not taken.
    volume.zones().reset_stray(&mut |_| in_use(&used)).unwrap();
    let is_free = |at: &u64| used.iter().all(|range| range.start.get() != *at);
    let stray = (4..16)
        .map(|number| number * tools::ZONE_SIZE)
        .find(is_free)
        .unwrap();
    device.write(Physical::new(stray), &[1; 4096]).unwrap();
    let volume = {
        drop(volume);
        open_whole(&device, &walked)
    };
    let mut planned = 0;
    while let Ok(chunk) = volume.unused().plan_chunk(flags, FIRST, &used) {
        assert_eq!(chunk.len, Bytes::new(tools::ZONE_SIZE));
        for stripe in chunk.stripes.iter() {
            assert!(stripe.at.get() >= 2 * tools::ZONE_SIZE && stripe.at.get() != stray);
            used.push(DeviceRange {
                start: stripe.at,
                len: chunk.len,
            });
        }
        used.sort();
        volume.add_chunk(chunk).unwrap();
        planned += 1;
    }
    assert!(planned >= 3);
    assert!(used.windows(2).all(|w| w[0].end() <= w[1].start));
    // Now it is.
    assert_eq!(
        volume.zones().reset_stray(&mut |_| in_use(&used)).unwrap(),
        1
    );
    assert_eq!(
        volume.zones().reset_stray(&mut |_| in_use(&used)).unwrap(),
        0
    );
    let single = volume
        .unused()
        .plan_chunk(BlockGroupFlags::DATA, FIRST, &used)
        .unwrap();
    assert_eq!(single.len, Bytes::new(tools::ZONE_SIZE));
    assert_eq!(device.violations(), Vec::<String>::new());
}

#[test]
fn data_leaves_active_zones_for_metadata() {
    let (device, walked) = limited(32, 12);
    // A zone that a removed chunk left behind.
    let stray = Physical::new(device.size().get() - tools::ZONE_SIZE);
    device.write(stray, &[1; 4096]).unwrap();
    let volume = open_whole(&device, &walked);
    let mut used = used(&walked);
    // As mount does: stray zones are reset and all groups loaded. Two of metadata, two of system are active, and the
    // log's zone.
    assert!(volume.zones().reset_stray(&mut |_| in_use(&used)).unwrap() > 0);
    load_all(&volume);
    let mut chunk = |flags| make_chunk(&volume, flags, &mut used);
    let mut data = vec![group_of(&volume, BlockGroupFlags::DATA)];
    while volume.zones().can_activate(BlockGroupFlags::DATA) {
        if data.len() > 12 {
            panic!("no limit");
        }
        let next = data.last().unwrap().clone();
        assert_eq!(volume.zones().activate(&next).unwrap(), Activation::Active);
        device.write(next.stripes[0].at, &[1; 4096]).unwrap();
        data.push(chunk(BlockGroupFlags::DATA));
    }
    // 12 less 1 for the log, 4 in use, 2 kept for the log trees' group.
    assert_eq!(data.len() - 1, 12 - 1 - 4 - 2);
    let unused = data.pop().unwrap();
    assert_eq!(
        volume.zones().activate(&unused).unwrap(),
        Activation::NoBudget
    );
    // Metadata may take what data could not.
    let metadata = chunk(BlockGroupFlags::METADATA.with(BlockGroupFlags::DUP));
    assert_eq!(
        volume.zones().activate(&metadata).unwrap(),
        Activation::Active
    );
    for stripe in metadata.stripes.iter() {
        device.write(stripe.at, &[2; 4096]).unwrap();
    }
    assert_eq!(device.image().zones.unwrap().active(), 12);
    // Finishing gives one back, filling another, resetting a third.
    volume.zones().finish(&data[0]).unwrap();
    assert_eq!(
        volume.zones().activate(&unused).unwrap(),
        Activation::Active
    );
    device.write(unused.stripes[0].at, &[1; 4096]).unwrap();
    device
        .write(
            Physical::new(unused.stripes[0].at.get() + 4096),
            &vec![3; (8 << 20) - 4096],
        )
        .unwrap();
    volume.zones().filled(&unused);
    assert!(volume.zones().can_activate(BlockGroupFlags::DATA));
    volume.zones().reset(&data[1]).unwrap();
    assert_eq!(
        device
            .image()
            .zones
            .unwrap()
            .at(data[1].stripes[0].at.get())
            .condition,
        ZoneCondition::Empty
    );
    assert_eq!(device.violations(), Vec::<String>::new());
    // Whoever mounts next sees the same.
    let again = open_whole(&device, &walked);
    assert!(again.zones().can_activate(BlockGroupFlags::METADATA));
}

#[test]
fn metadata_leaves_a_zone_for_data() {
    let (device, walked) = limited(40, 13);
    let volume = open_whole(&device, &walked);
    let mut used = used(&walked);
    load_all(&volume);
    let data = group_of(&volume, BlockGroupFlags::DATA);
    let flags = BlockGroupFlags::METADATA.with(BlockGroupFlags::DUP);
    let mut groups = 0;
    while volume.zones().can_activate(flags) {
        assert!(groups < 12, "no limit");
        let chunk = make_chunk(&volume, flags, &mut used);
        assert_eq!(volume.zones().activate(&chunk).unwrap(), Activation::Active);
        groups += 1;
    }
    // 13 less 1 for the log and 4 in use: eight are left, and the last group would leave none.
    assert_eq!(groups, 3);
    assert_eq!(volume.zones().activate(&data).unwrap(), Activation::Active);
}

#[test]
fn emulated_zones_are_conventional() {
    let image = tools::mkfs(16 * tools::ZONE_SIZE, &["-O", "zoned"]);
    let walked = walk(&image);
    let device = device(image);
    let volume = open_whole(&device, &walked);
    assert_eq!(volume.zones().size(), Some(Bytes::new(tools::ZONE_SIZE)));
    let chunk = group_of(&volume, BlockGroupFlags::METADATA);
    let group = volume
        .zones()
        .load(&chunk, &mut || Ok(ZoneOffset::new(1 << 20)))
        .unwrap();
    let expected = GroupZones {
        sequential: false,
        capacity: Bytes::new(tools::ZONE_SIZE),
        alloc_offset: ZoneOffset::new(1 << 20),
        active: true,
        unusable: false,
    };
    assert_eq!(group, expected);
    assert!(!volume.zones().is_sequential(&chunk));
    volume.zones().finish(&chunk).unwrap();
    volume.zones().reset(&chunk).unwrap();
    write_superblocks(&volume).unwrap();
    assert!(device
        .manage_zone(Physical::new(0), ZoneAction::Reset)
        .err()
        .is_some());
    let planned = volume
        .unused()
        .plan_chunk(BlockGroupFlags::DATA, FIRST, &used(&walked))
        .unwrap();
    assert_eq!(planned.stripes[0].at.get() % tools::ZONE_SIZE, 0);
    assert!(planned.stripes[0].at.get() >= 2 * tools::ZONE_SIZE);
}

/// On a device without zones superblocks are where one without the feature has them: each commit writes there.
#[test]
fn an_emulated_zone_with_a_superblock_is_no_chunks() {
    let image = tools::mkfs(260 << 30, &["-O", "zoned"]);
    let walked = walk(&image);
    let device = device(image);
    let volume = open_whole(&device, &walked);
    let chunk = |at: u64| {
        let known = group_of(&volume, BlockGroupFlags::METADATA);
        let (at, dev_uuid) = (Physical::new(at), known.stripes[0].dev_uuid);
        let mut stripes = KVec::new();
        stripes
            .push(
                Stripe {
                    devid: FIRST,
                    at,
                    dev_uuid,
                },
                GFP_KERNEL,
            )
            .unwrap();
        Chunk {
            logical: Logical::new(1 << 50),
            len: Bytes::new(tools::ZONE_SIZE),
            flags: BlockGroupFlags::DATA,
            stripes,
        }
    };
    let place = 256 << 30;
    let log = Capture::new();
    assert_eq!(volume.add_chunk(chunk(place)).err(), Some(EUCLEAN));
    let line = "zone of a chunk has a superblock copy";
    assert!(log.contains(line), "{:?}", log.lines());
    // A mount learns how long zones are when it has all chunks.
    let before = open(&device, READ_WRITE).unwrap();
    before.add_chunk(chunk(place)).unwrap();
    assert_eq!(
        before
            .zones()
            .set_emulated_size(Bytes::new(tools::ZONE_SIZE)),
        Err(EUCLEAN)
    );
    let good = open(&device, READ_WRITE).unwrap();
    good.add_chunk(chunk(place + tools::ZONE_SIZE)).unwrap();
    good.zones()
        .set_emulated_size(Bytes::new(tools::ZONE_SIZE))
        .unwrap();
}

#[test]
fn a_zone_gone_bad_makes_its_group_read_only() {
    let (image, walked) = zoned_image();
    let device = device(image);
    let volume = open_whole(&device, &walked);
    let chunk = group_of(&volume, BlockGroupFlags::METADATA);
    device.damage(|image| {
        image
            .zones
            .as_mut()
            .unwrap()
            .break_zone(chunk.stripes[0].at.get())
    });
    drop(volume);
    let volume = open_whole(&device, &walked);
    let group = load(&volume, &chunk);
    assert_eq!(
        (group.alloc_offset.get(), group.active, group.unusable),
        (group.capacity.get(), false, true)
    );
    // That a zone took no command is no success: who believes so writes there.
    assert_eq!(volume.zones().finish(&chunk), Err(EIO));
    assert_eq!(volume.zones().reset(&chunk), Err(EIO));
    assert_eq!(device.violations(), Vec::<String>::new());
}

#[test]
fn a_zoned_device_needs_its_feature() {
    let flat = tools::mkfs(16 * tools::ZONE_SIZE, &[]);
    let zoned = tools::as_zoned(flat, tools::zone_layout(tools::ZONE_SIZE));
    assert_eq!(open(&device(zoned), READ_WRITE).err(), Some(EINVAL));
}

/// A group may pair a conventional zone with a sequential one. There is no append to it, but its blocks have an order: what is
/// dropped unwritten must be filled.
#[test]
fn a_group_with_one_sequential_zone_is_ordered() {
    let mut pairs = 0;
    for conventional in 4..12 {
        let layout = ZoneLayout {
            conventional,
            ..tools::zone_layout(4 << 20)
        };
        let image = tools::mkfs_zoned(24, &[], layout);
        let volume = open(&device(image), READ_WRITE).unwrap();
        let mut at = Logical::new(0);
        while let Some(chunk) = volume.chunk_from(at) {
            at = chunk.end();
            let sequential = |at: Physical| at.get() / layout.zone_size >= conventional;
            let mut stripes = chunk.stripes.iter().map(|stripe| sequential(stripe.at));
            let (all, any) = (stripes.clone().all(|is| is), stripes.any(|is| is));
            assert_eq!(volume.zones().is_sequential(&chunk), all);
            assert_eq!(volume.zones().is_ordered(&chunk), any);
            pairs += u64::from(any && !all);
        }
    }
    assert!(pairs > 0);
}
