// SPDX-License-Identifier: GPL-2.0
//! Volumes on images of `mkfs.btrfs`: opening, mapping, superblock copies, new chunks, zones.

use engine::disk::raw::{RawSuperblock, HEADER_WRITTEN};
use engine::disk::{
    check_block, BlockContext, BlockGroupFlags, ChunkItem, DevExtent, Header, Kind, Logical,
    ObjectId, Physical, Superblock, ZoneOffset, SUPERBLOCK_PLACES,
};
use engine::volume::device::{Device, ZoneAction, ZoneCondition};
use engine::volume::{
    Access, Activation, Chunk, Copies, DeviceRange, GroupZones, Options, Stripe, Volume,
};
use harness::checksums::HostChecksums;
use harness::device::faults::Request;
use harness::device::{Access as DeviceAccess, Image, SimDevice};
use harness::random::Random;
use harness::tools;
use harness::walker::{walk, Walked};
use kernel::prelude::*;
use kernel::sync::Arc;
use std::vec::Vec;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

const READ_WRITE: Options = Options {
    access: Access::ReadWrite,
    copies: Copies::Primary,
};
const RESCUE: Options = Options {
    access: Access::ReadOnly,
    copies: Copies::Any,
};

fn device(image: Image) -> Arc<SimDevice> {
    Arc::new(SimDevice::new(image, DeviceAccess::ReadWrite), GFP_KERNEL).unwrap()
}

fn open(device: &Arc<SimDevice>, options: Options) -> Result<Arc<Volume>> {
    let mut devices: KVec<Arc<dyn Device>> = KVec::new();
    devices.push(device.clone(), GFP_KERNEL)?;
    Volume::open(devices, Arc::new(HostChecksums, GFP_KERNEL)?, options)
}

/// Opens an image and adds the chunks that its chunk tree has.
fn open_whole(device: &Arc<SimDevice>, walked: &Walked) -> Arc<Volume> {
    let volume = open(device, READ_WRITE).unwrap();
    for (key, data) in walked.items(ObjectId::CHUNK_TREE, Kind::CHUNK_ITEM) {
        let item = ChunkItem::try_from(&data[..]).unwrap();
        volume
            .add_chunk(Chunk::from_item(Logical::new(key.offset), &item).unwrap())
            .unwrap();
    }
    if volume.is_zoned() && volume.zone_size().is_none() {
        volume.set_emulated_zone_size(used(walked)[0].len).unwrap();
    }
    volume
}

fn used(walked: &Walked) -> Vec<DeviceRange> {
    let extents = walked.items(ObjectId::DEV_TREE, Kind::DEV_EXTENT);
    let range = |(key, data): &(engine::disk::Key, Vec<u8>)| {
        let extent = DevExtent::parse(key, data).unwrap();
        DeviceRange {
            start: extent.start,
            len: extent.len,
        }
    };
    extents.iter().map(range).collect()
}

fn zoned_image() -> (Image, Walked) {
    let flat = tools::mkfs(16 * tools::ZONE_SIZE, &["-O", "zoned"]);
    let walked = walk(&flat);
    (tools::as_zoned(flat, tools::zone_layout(8 << 20)), walked)
}

fn superblock_at(image: &Image, at: u64, place: u64) -> Option<Superblock> {
    let mut raw = RawSuperblock::new_zeroed();
    image.pages.read(at, raw.as_mut_bytes());
    Superblock::check(&raw, place, &HostChecksums).ok()
}

#[test]
fn every_copy_of_every_block_is_where_the_map_says() {
    let shapes: [&[&str]; 4] = [
        &["--csum", "xxhash"],
        &["--csum", "blake2", "-m", "single"],
        &["-d", "dup", "--nodesize", "65536"],
        &["-O", "zoned"],
    ];
    for shape in shapes {
        let image = tools::mkfs(16 * tools::ZONE_SIZE, shape);
        let walked = walk(&image);
        let device = device(image);
        let volume = open_whole(&device, &walked);
        let mut copies = 0;
        for block in &walked.blocks {
            let mapping = volume.map(block.addr, block.bytes.len() as u64).unwrap();
            assert_eq!(mapping.len, block.bytes.len() as u64);
            for place in mapping.copies() {
                let mut bytes = vec![0; block.bytes.len()];
                volume
                    .device(place.device)
                    .unwrap()
                    .read(place.at, &mut bytes)
                    .unwrap();
                assert_eq!(bytes, block.bytes);
                let context = BlockContext {
                    format: volume.format(),
                    checksums: volume.checksums(),
                    addr: block.addr,
                    owner: Some(block.owner),
                    level: Some(block.level),
                    generation: Some(block.generation),
                    first_key: None,
                    newest: volume.superblock().generation.next(),
                };
                check_block(&bytes, &context).unwrap();
                copies += 1;
            }
        }
        let single = shape.contains(&"single");
        assert_eq!(
            copies,
            walked.blocks.len() * if single { 1 } else { 2 },
            "{shape:?}"
        );
    }
}

#[test]
fn a_mapping_ends_with_its_chunk() {
    let image = tools::mkfs(1 << 30, &[]);
    let walked = walk(&image);
    let volume = open_whole(&device(image), &walked);
    let (&start, &(len, _)) = walked.chunks.iter().next().unwrap();
    let last = Logical::new(start + len - 4096);
    assert_eq!(volume.map(last, 1 << 20).unwrap().len, 4096);
    let mut at = Logical::new(0);
    let mut found = Vec::new();
    while let Some(chunk) = volume.chunk_from(at) {
        found.push(chunk.logical.get());
        at = chunk.end();
    }
    assert_eq!(found, walked.chunks.keys().copied().collect::<Vec<_>>());
    assert_eq!(volume.map(at, 4096).unwrap_err(), EUCLEAN);
    assert_eq!(
        volume.map(Logical::new(u64::MAX), u64::MAX).unwrap_err(),
        EUCLEAN
    );
}

#[test]
fn refuses_what_it_cannot_map() {
    let image = tools::mkfs(1 << 30, &[]);
    let walked = walk(&image);
    let volume = open_whole(&device(image), &walked);
    let known = volume.chunk_from(Logical::new(0)).unwrap();
    let copy = |logical: Logical, flags: BlockGroupFlags, shift: u64| {
        let mut stripes = KVec::new();
        for stripe in known.stripes.iter() {
            let at = Physical::new(stripe.at.get() + shift);
            stripes.push(Stripe { at, ..*stripe }, GFP_KERNEL).unwrap();
        }
        Chunk {
            logical,
            len: known.len,
            flags,
            stripes,
        }
    };
    // Again the same is no error; half over another, elsewhere on the device, or striped, it is.
    volume
        .add_chunk(copy(known.logical, known.flags, 0))
        .unwrap();
    let shifted = Logical::new(known.logical.get() + 4096);
    assert_eq!(
        volume.add_chunk(copy(shifted, known.flags, 0)).unwrap_err(),
        EUCLEAN
    );
    let behind = Logical::new(1 << 50);
    assert_eq!(
        volume
            .add_chunk(copy(behind, known.flags, 1 << 40))
            .unwrap_err(),
        EUCLEAN
    );
    let striped = BlockGroupFlags::DATA.with(BlockGroupFlags::RAID0);
    assert_eq!(
        volume.add_chunk(copy(behind, striped, 0)).unwrap_err(),
        EOPNOTSUPP
    );
}

#[test]
fn superblocks_go_to_all_places() {
    let image = tools::mkfs(1 << 30, &["--csum", "sha256"]);
    let walked = walk(&image);
    let device = device(image);
    let volume = open_whole(&device, &walked);
    let next = volume.superblock().generation.next();
    volume.update_superblock(|raw| raw.generation.set(next.get()));
    assert_eq!(volume.superblock().generation, next);
    volume.write_superblocks().unwrap();
    assert_eq!(device.violations(), Vec::<String>::new());
    // The first was durable on return; the second is there, if nothing happens.
    let cut = device.after_power_cut(&mut Random::new(1));
    assert_eq!(superblock_at(&cut, 65536, 65536).unwrap().generation, next);
    let now = device.image();
    for place in &SUPERBLOCK_PLACES[..2] {
        assert_eq!(
            superblock_at(&now, *place, *place).unwrap().generation,
            next
        );
    }
}

#[test]
fn rescue_takes_the_newest_good_copy() {
    let device = device(tools::mkfs(1 << 30, &[]));
    let old = open(&device, READ_WRITE).unwrap().superblock().generation;
    device.damage(|image| image.pages.write(65536, &[0x5a; 4096]));
    assert_eq!(open(&device, READ_WRITE).err(), Some(EINVAL));
    let volume = open(&device, RESCUE).unwrap();
    assert_eq!(volume.superblock().generation, old);
    assert_eq!(volume.access(), Access::ReadOnly);
    assert_eq!(volume.write_superblocks(), Err(EROFS));
}

#[test]
fn a_failing_primary_is_an_error_and_a_failing_mirror_is_not() {
    let device = device(tools::mkfs(1 << 30, &[]));
    let volume = open(&device, READ_WRITE).unwrap();
    device.faults(|faults| {
        faults.fail_range(
            Request::Write,
            SUPERBLOCK_PLACES[1]..SUPERBLOCK_PLACES[1] + 4096,
        )
    });
    volume.write_superblocks().unwrap();
    device.faults(|faults| faults.fail_range(Request::Write, 65536..65536 + 4096));
    assert_eq!(volume.write_superblocks(), Err(EIO));
}

#[test]
fn a_broken_superblock_is_not_written() {
    let device = device(tools::mkfs(1 << 30, &[]));
    let volume = open(&device, READ_WRITE).unwrap();
    let before = device.image();
    volume.update_superblock(|raw| raw.node_size.set(12345));
    assert_eq!(
        volume.superblock().node_size,
        16384,
        "the last that made sense"
    );
    assert_eq!(volume.write_superblocks(), Err(EUCLEAN));
    let mut bytes = [[0; 4096]; 2];
    before.pages.read(65536, &mut bytes[0]);
    device.image().pages.read(65536, &mut bytes[1]);
    assert_eq!(bytes[0], bytes[1]);
}

#[test]
fn unsupported_features_are_refused_or_read_only() {
    let device = device(tools::mkfs(1 << 30, &[]));
    let change = |change: &dyn Fn(&mut RawSuperblock)| {
        device.damage(|image| {
            let mut raw = RawSuperblock::new_zeroed();
            image.pages.read(65536, raw.as_mut_bytes());
            change(&mut raw);
            raw.seal(65536, engine::disk::ChecksumKind::Crc32c, &HostChecksums);
            image.pages.write(65536, raw.as_bytes());
        });
    };
    for bit in [2, 7, 11, 13, 14, 15, 16, 17, 40] {
        change(&|raw| raw.incompat_flags.set(raw.incompat_flags.get() | 1 << bit));
        assert_eq!(
            open(&device, READ_WRITE).err(),
            Some(EOPNOTSUPP),
            "bit {bit}"
        );
        change(&|raw| {
            raw.incompat_flags
                .set(raw.incompat_flags.get() & !(1 << bit))
        });
    }
    for bit in [2, 9] {
        change(&|raw| {
            raw.compat_ro_flags
                .set(raw.compat_ro_flags.get() | 1 << bit)
        });
        assert_eq!(
            open(&device, READ_WRITE).unwrap().access(),
            Access::ReadOnly,
            "bit {bit}"
        );
        change(&|raw| {
            raw.compat_ro_flags
                .set(raw.compat_ro_flags.get() & !(1 << bit))
        });
    }
    assert_eq!(
        open(&device, READ_WRITE).unwrap().access(),
        Access::ReadWrite
    );
    change(&|raw| raw.flags.set(raw.flags.get() | 1 << 35));
    assert_eq!(open(&device, READ_WRITE).err(), Some(EOPNOTSUPP));
    assert_eq!(HEADER_WRITTEN, 1);
}

#[test]
fn system_chunks_come_and_go() {
    let device = device(tools::mkfs(1 << 30, &[]));
    let volume = open(&device, READ_WRITE).unwrap();
    let before = volume.with_superblock(|raw| (raw.sys_chunk_array_size.get(), listed(raw)));
    let known = volume.chunk_from(Logical::new(0)).unwrap();
    let mut new = Vec::new();
    loop {
        let logical = Logical::new((1 << 40) + new.len() as u64 * known.len);
        let mut stripes = KVec::new();
        stripes
            .extend_from_slice(&known.stripes, GFP_KERNEL)
            .unwrap();
        let chunk = Chunk {
            logical,
            len: known.len,
            flags: known.flags,
            stripes,
        };
        match volume.add_system_chunk(&chunk) {
            Ok(()) => new.push(logical),
            Err(error) => break assert_eq!(error, EFBIG),
        }
    }
    assert!(new.len() >= 10);
    let count = |volume: &Volume| {
        volume.with_superblock(|raw| raw.system_chunks().map(|c| c.unwrap()).count())
    };
    assert_eq!(count(&volume), new.len() + 1);
    // In any order.
    let mut random = Random::new(2);
    while !new.is_empty() {
        let logical = new.swap_remove(random.below(new.len() as u64) as usize);
        volume.remove_system_chunk(logical).unwrap();
        assert_eq!(volume.remove_system_chunk(logical), Err(ENOENT));
        assert_eq!(count(&volume), new.len() + 1);
    }
    let after = volume.with_superblock(|raw| (raw.sys_chunk_array_size.get(), listed(raw)));
    assert!(before == after);
}

#[test]
fn new_chunks_are_as_large_as_c_makes_them_and_overlap_nothing() {
    let mib = 1 << 20;
    for (size, flags, expected) in [
        (
            1 << 30,
            BlockGroupFlags::DATA,
            (1 << 30) / 10 / 65536 * 65536,
        ),
        (100 << 30, BlockGroupFlags::DATA, 1024 * mib),
        (
            100 << 30,
            BlockGroupFlags::METADATA.with(BlockGroupFlags::DUP),
            1024 * mib,
        ),
        (
            40 << 30,
            BlockGroupFlags::METADATA.with(BlockGroupFlags::DUP),
            256 * mib,
        ),
        (40 << 30, BlockGroupFlags::SYSTEM, 32 * mib),
    ] {
        let image = tools::mkfs(size, &[]);
        let walked = walk(&image);
        let volume = open_whole(&device(image), &walked);
        let mut used = used(&walked);
        let mut first = None;
        loop {
            let chunk = match volume.plan_chunk(flags, 0, &used) {
                Ok(chunk) => chunk,
                Err(error) => break assert_eq!(error, ENOSPC),
            };
            first.get_or_insert(chunk.len);
            for stripe in chunk.stripes.iter() {
                used.push(DeviceRange {
                    start: stripe.at,
                    len: chunk.len,
                });
            }
            used.sort();
            assert!(used
                .windows(2)
                .all(|w| w[0].start.get() + w[0].len <= w[1].start.get()));
            assert!(used[0].start.get() >= 1 << 20);
            assert!(used.last().unwrap().start.get() + used.last().unwrap().len <= size);
            volume.add_chunk(chunk).unwrap();
        }
        assert_eq!(first, Some(expected), "{size} {flags:?}");
        let sum: u64 = used.iter().map(|range| range.len).sum();
        assert!(
            size - (1 << 20) - sum < 4 * 65536,
            "{} bytes are left",
            size - sum
        );
    }
}

#[test]
fn superblocks_in_chunks_are_excluded() {
    let image = tools::mkfs(1 << 30, &[]);
    let walked = walk(&image);
    let volume = open_whole(&device(image), &walked);
    let mut used = used(&walked);
    let mut at = Logical::new(0);
    let mut excluded = 0;
    // Until the device is full, so that something covers 64 MiB.
    while let Ok(chunk) = volume.plan_chunk(BlockGroupFlags::DATA, 0, &used) {
        used.push(DeviceRange {
            start: chunk.stripes[0].at,
            len: chunk.len,
        });
        used.sort();
        volume.add_chunk(chunk).unwrap();
    }
    while let Some(chunk) = volume.chunk_from(at) {
        at = chunk.end();
        for (start, len) in volume.superblock_ranges(&chunk).unwrap() {
            let places = volume.map(start, len).unwrap();
            assert!(places
                .copies()
                .iter()
                .any(|place| place.at.get() == 64 << 20));
            assert_eq!(len, 65536);
            excluded += 1;
        }
    }
    assert_eq!(excluded, 1);
}

// ---- zoned ----

#[test]
fn the_superblock_log_goes_round() {
    let (image, walked) = zoned_image();
    let device = device(image);
    let mut volume = open_whole(&device, &walked);
    // 8 MiB of 4 KiB superblocks per zone: more than two rounds.
    for step in 1..5000u64 {
        let next = volume.superblock().generation.next();
        volume.update_superblock(|raw| raw.generation.set(next.get()));
        volume.write_superblocks().unwrap();
        if step % 97 == 0 || (2040..2056).contains(&step) || (4090..4104).contains(&step) {
            let cut = device.after_power_cut(&mut Random::new(step));
            let other = self::device(cut);
            assert_eq!(
                open(&other, READ_WRITE).unwrap().superblock().generation,
                next
            );
            volume = open_whole(&device, &walked);
            assert_eq!(volume.superblock().generation, next);
        }
    }
    assert_eq!(device.violations(), Vec::<String>::new());
}

#[test]
fn a_power_cut_at_any_point_leaves_the_last_or_the_next_superblock() {
    let (image, walked) = zoned_image();
    let device = device(image);
    let volume = open_whole(&device, &walked);
    let mut random = Random::new(7);
    let first = volume.superblock().generation.get();
    // To the last slot of the first zone.
    for _ in 0..2045 {
        let next = volume.superblock().generation.next();
        volume.update_superblock(|raw| raw.generation.set(next.get()));
        volume.write_superblocks().unwrap();
    }
    let recorder = harness::device::Recorder::default();
    device.record(&recorder, 0);
    let start = device.image();
    let mut done = volume.superblock().generation.get();
    for _ in 0..6 {
        done += 1;
        volume.update_superblock(|raw| raw.generation.set(done));
        volume.write_superblocks().unwrap();
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

fn listed(raw: &RawSuperblock) -> Vec<u8> {
    raw.sys_chunk_array[..raw.sys_chunk_array_size.get() as usize].to_vec()
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
        .load_group_zones(chunk, &mut || panic!("no zone is conventional"))
        .unwrap()
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
        assert_eq!(group.capacity, 8 << 20);
        // The pointer is behind every block that is there.
        let end = walked
            .blocks
            .iter()
            .map(|block| block.addr.get() + block.bytes.len() as u64);
        let end = end
            .filter(|end| *end <= chunk.end().get() && *end > chunk.logical.get())
            .max();
        assert!(group.alloc_offset.get() >= end.unwrap() - chunk.logical.get());
        assert!(volume.is_sequential(&chunk));
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
        access: Access::ReadOnly,
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

#[test]
fn a_copy_that_was_never_written_is_evened_out() {
    let (image, walked) = zoned_image();
    let device = device(image);
    let volume = open_whole(&device, &walked);
    let mut used = used(&walked);
    used.sort();
    volume.reset_stray_zones(&used).unwrap();
    let flags = BlockGroupFlags::METADATA.with(BlockGroupFlags::DUP);
    let plan = volume.plan_chunk(flags, 0, &used).unwrap();
    let (logical, stripes) = (plan.logical, [plan.stripes[0], plan.stripes[1]]);
    let chunk = volume.add_chunk(plan).unwrap();
    assert_eq!(load(&volume, &chunk).alloc_offset, ZoneOffset::new(0));
    device.write(stripes[0].at, &[5; 64 << 10]).unwrap();
    let volume = open_whole(&device, &walked);
    let mut copy = KVec::new();
    copy.extend_from_slice(&stripes, GFP_KERNEL).unwrap();
    let chunk = Chunk {
        logical,
        len: tools::ZONE_SIZE,
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
    volume.reset_stray_zones(&used).unwrap();
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
    while let Ok(chunk) = volume.plan_chunk(flags, 0, &used) {
        assert_eq!(chunk.len, tools::ZONE_SIZE);
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
    assert!(used
        .windows(2)
        .all(|w| w[0].start.get() + w[0].len <= w[1].start.get()));
    // Now it is.
    assert_eq!(volume.reset_stray_zones(&used).unwrap(), 1);
    assert_eq!(volume.reset_stray_zones(&used).unwrap(), 0);
    let single = volume.plan_chunk(BlockGroupFlags::DATA, 0, &used).unwrap();
    assert_eq!(single.len, tools::ZONE_SIZE);
    assert_eq!(device.violations(), Vec::<String>::new());
}

#[test]
fn data_leaves_active_zones_for_metadata() {
    let flat = tools::mkfs(32 * tools::ZONE_SIZE, &["-O", "zoned"]);
    let walked = walk(&flat);
    let mut layout = tools::zone_layout(8 << 20);
    layout.max_active = Some(12);
    let device = device(tools::as_zoned(flat, layout));
    // A zone that a removed chunk left behind.
    let stray = Physical::new(device.size() - tools::ZONE_SIZE);
    device.write(stray, &[1; 4096]).unwrap();
    let volume = open_whole(&device, &walked);
    let mut used = used(&walked);
    // As mount does: stray zones are reset and all groups loaded. Two of metadata, two of system are active, and the
    // log's zone.
    assert!(volume.reset_stray_zones(&used).unwrap() > 0);
    let mut at = Logical::new(0);
    while let Some(chunk) = volume.chunk_from(at) {
        load(&volume, &chunk);
        at = chunk.end();
    }
    let mut chunk = |flags| {
        let chunk = volume.plan_chunk(flags, 0, &used).unwrap();
        for stripe in chunk.stripes.iter() {
            used.push(DeviceRange {
                start: stripe.at,
                len: chunk.len,
            });
        }
        used.sort();
        volume.add_chunk(chunk).unwrap()
    };
    let mut data = vec![group_of(&volume, BlockGroupFlags::DATA)];
    while volume.can_activate(BlockGroupFlags::DATA) {
        if data.len() > 12 {
            panic!("no limit");
        }
        let next = data.last().unwrap().clone();
        assert_eq!(volume.activate_zones(&next).unwrap(), Activation::Active);
        device.write(next.stripes[0].at, &[1; 4096]).unwrap();
        data.push(chunk(BlockGroupFlags::DATA));
    }
    // 12 less 1 for the log, 4 in use, 2 kept for the log trees' group.
    assert_eq!(data.len() - 1, 12 - 1 - 4 - 2);
    let unused = data.pop().unwrap();
    assert_eq!(
        volume.activate_zones(&unused).unwrap(),
        Activation::NoBudget
    );
    // Metadata may take what data could not.
    let metadata = chunk(BlockGroupFlags::METADATA.with(BlockGroupFlags::DUP));
    assert_eq!(
        volume.activate_zones(&metadata).unwrap(),
        Activation::Active
    );
    for stripe in metadata.stripes.iter() {
        device.write(stripe.at, &[2; 4096]).unwrap();
    }
    assert_eq!(device.image().zones.unwrap().active(), 12);
    // Finishing gives one back, filling another, resetting a third.
    volume.finish_zones(&data[0]).unwrap();
    assert_eq!(volume.activate_zones(&unused).unwrap(), Activation::Active);
    device.write(unused.stripes[0].at, &[1; 4096]).unwrap();
    device
        .write(
            Physical::new(unused.stripes[0].at.get() + 4096),
            &vec![3; (8 << 20) - 4096],
        )
        .unwrap();
    volume.zones_filled(&unused);
    assert!(volume.can_activate(BlockGroupFlags::DATA));
    volume.reset_zones(&data[1]).unwrap();
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
    assert!(again.can_activate(BlockGroupFlags::METADATA));
}

#[test]
fn emulated_zones_are_conventional() {
    let image = tools::mkfs(16 * tools::ZONE_SIZE, &["-O", "zoned"]);
    let walked = walk(&image);
    let device = device(image);
    let volume = open_whole(&device, &walked);
    assert_eq!(volume.zone_size(), Some(tools::ZONE_SIZE));
    let chunk = group_of(&volume, BlockGroupFlags::METADATA);
    let group = volume
        .load_group_zones(&chunk, &mut || Ok(ZoneOffset::new(1 << 20)))
        .unwrap();
    let expected = GroupZones {
        sequential: false,
        capacity: tools::ZONE_SIZE,
        alloc_offset: ZoneOffset::new(1 << 20),
        active: true,
    };
    assert_eq!(group, expected);
    assert!(!volume.is_sequential(&chunk));
    volume.finish_zones(&chunk).unwrap();
    volume.reset_zones(&chunk).unwrap();
    volume.write_superblocks().unwrap();
    assert_eq!(
        device
            .manage_zone(Physical::new(0), ZoneAction::Reset)
            .err()
            .is_some(),
        true
    );
    let planned = volume
        .plan_chunk(BlockGroupFlags::DATA, 0, &used(&walked))
        .unwrap();
    assert_eq!(planned.stripes[0].at.get() % tools::ZONE_SIZE, 0);
    assert!(planned.stripes[0].at.get() >= 2 * tools::ZONE_SIZE);
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
        (group.alloc_offset.get(), group.active),
        (group.capacity, false)
    );
}

#[test]
fn a_zoned_device_needs_its_feature() {
    let flat = tools::mkfs(16 * tools::ZONE_SIZE, &[]);
    let zoned = tools::as_zoned(flat, tools::zone_layout(tools::ZONE_SIZE));
    assert_eq!(open(&device(zoned), READ_WRITE).err(), Some(EINVAL));
}

#[test]
fn every_allocation_may_fail() {
    let (image, walked) = zoned_image();
    let device = device(image);
    let mut n = 0;
    loop {
        let injection = kernel::alloc::inject::fail_nth(n);
        let opened = open(&device, READ_WRITE);
        drop(injection);
        match opened {
            Ok(_) => break,
            Err(error) => assert_eq!(error, ENOMEM),
        }
        n += 1;
    }
    assert!(n > 5, "{n} allocations");
    open_whole(&device, &walked);
    let _ = Header::new(&[]);
    let _ = RawSuperblock::read_from_bytes(&[][..]).is_err();
}
