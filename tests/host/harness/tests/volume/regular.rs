// SPDX-License-Identifier: GPL-2.0
//! Opening, mapping, superblock copies, new chunks.

use crate::fixture::*;
use engine::disk::raw::{RawSuperblock, HEADER_WRITTEN};
use engine::disk::{
    check_block, BlockContext, BlockGroupFlags, Bytes, DeviceId, Header, Logical, Physical,
    SUPERBLOCK_PLACES,
};
use engine::volume::device::Device;
use engine::volume::{Chunk, DeviceRange, Stripe, Volume, Writes};
use harness::checksums::HostChecksums;
use harness::device::faults::{Extent, Request};
use harness::device::{Access, Image, SimDevice};
use harness::random::Random;
use harness::tools;
use harness::walker::walk;
use kernel::prelude::*;
use kernel::print::Capture;
use kernel::sync::Arc;
use std::vec::Vec;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

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
            let mapping = volume
                .map(block.addr, Bytes::from(block.bytes.len()))
                .unwrap();
            assert_eq!(mapping.len, Bytes::from(block.bytes.len()));
            for place in mapping.copies() {
                let mut bytes = vec![0; block.bytes.len()];
                volume
                    .device(place.devid)
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
    assert_eq!(
        volume.map(last, Bytes::new(1 << 20)).unwrap().len,
        Bytes::new(4096)
    );
    let mut at = Logical::new(0);
    let mut found = Vec::new();
    while let Some(chunk) = volume.chunk_from(at) {
        found.push(chunk.logical.get());
        at = chunk.end();
    }
    assert_eq!(found, walked.chunks.keys().copied().collect::<Vec<_>>());
    assert_eq!(volume.map(at, Bytes::new(4096)).unwrap_err(), EUCLEAN);
    assert!(volume.find(at, Bytes::new(4096)).is_none());
    assert_eq!(
        volume.map(Logical::new(u64::MAX), Bytes::MAX).unwrap_err(),
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
    volume
        .superblocks()
        .update(|superblock| superblock.generation = next);
    assert_eq!(volume.superblock().generation, next);
    write_superblocks(&volume).unwrap();
    assert_eq!(device.violations(), Vec::<String>::new());
    // The first was durable on return; the second is there, if nothing happens.
    let cut = device.after_power_cut(&mut Random::new(1));
    assert_eq!(superblock_at(&cut, 65536, 65536).unwrap().generation, next);
    let now = device.image();
    for place in &SUPERBLOCK_PLACES[..2] {
        assert_eq!(
            superblock_at(&now, (*place).get(), (*place).get())
                .unwrap()
                .generation,
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
    assert_eq!(volume.writes(), Writes::Never);
    assert_eq!(write_superblocks(&volume), Err(EROFS));
}

/// Also where nobody writes: what lies behind the end cannot be read.
#[test]
fn a_device_that_is_shorter_than_it_was_is_refused() {
    const SHORT: u64 = (1 << 30) - (1 << 20);
    let whole = tools::mkfs(1 << 30, &[]);
    let mut short = Image::new(SHORT, None);
    let there = whole.pages.written().filter(|(at, _)| *at < SHORT);
    there.for_each(|(at, page)| short.pages.write(at, page));
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let device = SimDevice::new(short.clone(), access);
        let device = Arc::new(device, GFP_KERNEL).unwrap();
        for options in [READ_WRITE, DEFERRED] {
            let log = Capture::new();
            assert_eq!(open(&device, options).err(), Some(EINVAL));
            let line = format!(
                "device 1 has {SHORT} bytes, the file system needs {}",
                1 << 30
            );
            assert!(log.contains(&line), "{:?}", log.lines());
        }
    }
}

#[test]
fn a_failing_primary_is_an_error_and_a_failing_mirror_is_not() {
    let device = device(tools::mkfs(1 << 30, &[]));
    let volume = open(&device, READ_WRITE).unwrap();
    device.faults(|faults| {
        faults.fail_range(
            Request::Write,
            SUPERBLOCK_PLACES[1].get()..SUPERBLOCK_PLACES[1].get() + 4096,
        )
    });
    write_superblocks(&volume).unwrap();
    device.faults(|faults| faults.fail_range(Request::Write, 65536..65536 + 4096));
    assert_eq!(write_superblocks(&volume), Err(EIO));
}

#[test]
fn a_broken_superblock_is_not_written() {
    let device = device(tools::mkfs(1 << 30, &[]));
    let volume = open(&device, READ_WRITE).unwrap();
    let before = device.image();
    let level = volume.superblock().root_level;
    volume
        .superblocks()
        .update(|superblock| superblock.root_level = 8);
    assert_eq!(
        volume.superblock().root_level,
        level,
        "the last that made sense"
    );
    assert_eq!(write_superblocks(&volume), Err(EUCLEAN));
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
            raw.seal(
                Physical::new(65536),
                engine::disk::ChecksumKind::Crc32c,
                &HostChecksums,
            );
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
            open(&device, READ_WRITE).unwrap().writes(),
            Writes::Never,
            "bit {bit}"
        );
        change(&|raw| {
            raw.compat_ro_flags
                .set(raw.compat_ro_flags.get() & !(1 << bit))
        });
    }
    assert_eq!(open(&device, READ_WRITE).unwrap().writes(), Writes::Now);
    change(&|raw| raw.flags.set(raw.flags.get() | 1 << 35));
    assert_eq!(open(&device, READ_WRITE).err(), Some(EOPNOTSUPP));
    assert_eq!(HEADER_WRITTEN, 1);
}

#[test]
fn system_chunks_are_listed_until_there_is_no_room() {
    let device = device(tools::mkfs(1 << 30, &[]));
    let volume = open(&device, READ_WRITE).unwrap();
    let known = volume.chunk_from(Logical::new(0)).unwrap();
    let mut new = Vec::new();
    loop {
        let logical = Logical::new((1 << 40) + new.len() as u64 * known.len.get());
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
        match volume.superblocks().add_system_chunk(&chunk) {
            Ok(()) => new.push(logical),
            Err(error) => break assert_eq!(error, EFBIG),
        }
    }
    assert!(new.len() >= 10);
    let after = volume.superblocks().read(|bytes| {
        let chunks = bytes.system_chunks().map(|chunk| chunk.unwrap().0.offset);
        chunks.collect::<Vec<_>>()
    });
    let new: Vec<_> = new.iter().map(|logical| logical.get()).collect();
    assert_eq!(after.split_at(after.len() - new.len()).1, new);
    assert_eq!(after.len(), new.len() + 1);
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
            let chunk = match volume.unused().plan_chunk(flags, DeviceId::new(1), &used) {
                Ok(chunk) => chunk,
                Err(error) => break assert_eq!(error, ENOSPC),
            };
            first.get_or_insert(chunk.len.get());
            for stripe in chunk.stripes.iter() {
                used.push(DeviceRange {
                    start: stripe.at,
                    len: chunk.len,
                });
            }
            used.sort();
            assert!(used.windows(2).all(|w| w[0].end() <= w[1].start));
            assert!(used[0].start.get() >= 1 << 20);
            assert!(used.last().unwrap().start.get() + used.last().unwrap().len.get() <= size);
            volume.add_chunk(chunk).unwrap();
        }
        assert_eq!(first, Some(expected), "{size} {flags:?}");
        let sum: u64 = used.iter().map(|range| range.len.get()).sum();
        assert!(
            size - (1 << 20) - sum < 4 * 65536,
            "{} bytes are left",
            size - sum
        );
    }
}

/// Behind the last chunk there is no address for another one.
#[test]
fn no_chunk_is_made_behind_the_last_address() {
    let image = tools::mkfs(1 << 30, &[]);
    let walked = walk(&image);
    let volume = open_whole(&device(image), &walked);
    let planned = |volume: &Volume| {
        volume
            .unused()
            .plan_chunk(BlockGroupFlags::DATA, DeviceId::new(1), &used(&walked))
    };
    let mut last = planned(&volume).unwrap();
    last.len = Bytes::new(64 << 10);
    last.logical = Logical::new((1 << 63) - (2 << 20));
    volume.add_chunk(last).unwrap();
    assert_eq!(planned(&volume).err(), Some(ENOSPC));
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
    while let Ok(chunk) = volume
        .unused()
        .plan_chunk(BlockGroupFlags::DATA, DeviceId::new(1), &used)
    {
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
            assert_eq!(len, Bytes::new(65536));
            excluded += 1;
        }
    }
    assert_eq!(excluded, 1);
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

/// What a superblock frees may be used only if it is durable. One that is read may be in the device's cache alone: a crash
/// between its write and its flush leaves that.
#[test]
fn what_was_read_is_durable_before_anything_is_written() {
    let not_durable = || {
        let device = device(tools::mkfs(256 << 20, &[]));
        let mut bytes = std::vec![0; 4096];
        device.read(Physical::new(65536), &mut bytes).unwrap();
        device.write(Physical::new(65536), &bytes).unwrap();
        assert_eq!(device.at_risk(), 1);
        device
    };
    let device = not_durable();
    drop(open(&device, READ_WRITE).unwrap());
    assert_eq!(device.at_risk(), 0);
    let device = not_durable();
    let volume = open(&device, DEFERRED).unwrap();
    assert_eq!(device.at_risk(), 1);
    volume
        .begin_writing(|| {
            assert_eq!(device.at_risk(), 0);
            Ok(())
        })
        .unwrap();
    let device = not_durable();
    let fail = || device.faults(|faults| faults.fail_nth(Request::Flush, 0, Extent::Once));
    fail();
    assert_eq!(open(&device, READ_WRITE).err(), Some(EIO));
    let volume = open(&device, DEFERRED).unwrap();
    fail();
    assert_eq!(volume.begin_writing(|| Ok(())), Err(EIO));
    assert_eq!(volume.begin_writing(|| Ok(())), Ok(()));
}
