// SPDX-License-Identifier: GPL-2.0
//! Block groups, chunks, devices, free space.

use crate::fixture::*;
use engine::disk::raw::*;
use engine::disk::{Bytes, Key, Kind, Uuid};
use zerocopy::{FromZeros, IntoBytes};

fn group(start: u64, len: u64, flags: u64) -> Item {
    (
        Key::new(start, Kind::BLOCK_GROUP_ITEM, len),
        u64s(&[4096, 256, flags]),
    )
}

#[test]
fn block_groups() {
    let good = group(1 << 20, 1 << 20, 1);
    takes(EXTENT, &[good.clone(), group(2 << 20, 1 << 20, 0x24)]);
    refuses(
        "block group item has a wrong size",
        EXTENT,
        &[sized(&good, 23)],
    );
    refuses("block group is empty", EXTENT, &[group(1 << 20, 0, 1)]);
    refuses(
        "block group goes beyond all addresses",
        EXTENT,
        &[group(1 << 63, 1 << 63, 1)],
    );
    refuses(
        "block group names no chunk",
        EXTENT,
        &[with(&good, 8, &[1])],
    );
    refuses(
        "block group uses more than it has",
        EXTENT,
        &[with(&good, 3, &[1])],
    );
    refuses(
        "block group has unknown flags",
        EXTENT,
        &[group(1 << 20, 1 << 20, 1 << 13)],
    );
    refuses(
        "block group has not one type",
        EXTENT,
        &[group(1 << 20, 1 << 20, 0)],
    );
    refuses(
        "block group has not one type",
        EXTENT,
        &[group(1 << 20, 1 << 20, 5)],
    );
    refuses(
        "block group has several profiles",
        EXTENT,
        &[group(1 << 20, 1 << 20, 0x31)],
    );
    refuses(
        "block group overlaps the one before",
        EXTENT,
        &[good, group((1 << 20) + 4096, 1 << 20, 1)],
    );
}

fn chunk(addr: u64, len: u64, flags: u64, stripes: u16) -> Item {
    let raw = RawChunk::new(
        Bytes::new(len),
        engine::disk::BlockGroupFlags::new(flags),
        4096,
        stripes,
    );
    let stripe = RawStripe {
        devid: 1.into(),
        offset: (1 << 20).into(),
        dev_uuid: Uuid([1; 16]),
    };
    let mut bytes = raw.as_bytes().to_vec();
    for _ in 0..stripes {
        bytes.extend_from_slice(stripe.as_bytes());
    }
    (Key::new(256, Kind::CHUNK_ITEM, addr), bytes)
}

#[test]
fn chunks() {
    let mib = 1 << 20;
    let good = chunk(mib, mib, 1, 1);
    takes(CHUNK, &[good.clone(), chunk(2 * mib, mib, 0x24, 2)]);
    refuses("chunk item is too short", CHUNK, &[sized(&good, 47)]);
    refuses(
        "chunk has too few bytes for its stripes",
        CHUNK,
        &[sized(&good, 79)],
    );
    refuses(
        "chunk item has bytes behind its stripes",
        CHUNK,
        &[sized(&good, 81)],
    );
    refuses(
        "chunk's stripe length is unknown",
        CHUNK,
        &[with(&good, 16, &[1])],
    );
    refuses(
        "chunk has another sector size",
        CHUNK,
        &[with(&good, 40, &[1])],
    );
    refuses("chunk is empty", CHUNK, &[chunk(mib, 0, 1, 1)]);
    refuses(
        "chunk's address is not aligned",
        CHUNK,
        &[chunk(1, mib, 1, 1)],
    );
    refuses(
        "chunk's length is not aligned",
        CHUNK,
        &[chunk(mib, 1, 1, 1)],
    );
    refuses("chunk is too long", CHUNK, &[chunk(mib, 1 << 48, 1, 1)]);
    refuses(
        "chunk goes beyond all addresses",
        CHUNK,
        &[chunk(0u64.wrapping_sub(mib), 2 * mib, 1, 1)],
    );
    // Blocks are found by their addresses as positions, which are signed.
    let half = 1 << 63;
    takes(CHUNK, &[chunk(half - 2 * mib, mib, 1, 1)]);
    refuses(
        "chunk goes beyond all addresses",
        CHUNK,
        &[chunk(half - mib, mib, 1, 1)],
    );
    refuses(
        "chunk goes beyond all addresses",
        CHUNK,
        &[chunk(half, mib, 1, 1)],
    );
    refuses(
        "chunk overlaps the one before",
        CHUNK,
        &[good.clone(), chunk(mib + 4096, mib, 1, 1)],
    );
    let key = Key::new(1, Kind::CHUNK_ITEM, mib);
    refuses(
        "chunk's key has another objectid",
        CHUNK,
        &[keyed(&good, key)],
    );
    refuses("stripe is on no device", CHUNK, &[with(&good, 48, &[0])]);
    refuses("stripe is not aligned", CHUNK, &[with(&good, 56, &[1])]);
    refuses(
        "stripe goes beyond all addresses",
        CHUNK,
        &[with(&good, 56, &[0, 0xf0, 255, 255, 255, 255, 255, 255])],
    );
    // Type and profile; the number of stripes for each.
    let raid = |flags, stripes, sub: u8| with(&chunk(mib, mib, flags, stripes), 46, &[sub]);
    let profiles = [
        (0x0, 1),
        (0x8, 1),
        (0x8, 5),
        (0x10, 2),
        (0x20, 2),
        (0x80, 2),
        (0x100, 3),
        (0x200, 3),
        (0x400, 4),
    ];
    for (profile, stripes) in profiles {
        takes(CHUNK, &[raid(profile | 4, stripes, 1)]);
    }
    takes(CHUNK, &[raid(0x44, 4, 2)]);
    let wrong = [
        (0x0, 2),
        (0x0, 0),
        (0x8, 0),
        (0x10, 3),
        (0x20, 1),
        (0x80, 1),
        (0x100, 2),
        (0x200, 4),
        (0x400, 3),
    ];
    for (profile, stripes) in wrong {
        refuses(
            "chunk's stripes do not fit its profile",
            CHUNK,
            &[raid(profile | 4, stripes, 1)],
        );
    }
    refuses(
        "chunk's stripes do not fit its profile",
        CHUNK,
        &[raid(0x44, 3, 2)],
    );
    refuses(
        "chunk's sub-stripes do not fit its profile",
        CHUNK,
        &[raid(0x44, 4, 1)],
    );
    refuses(
        "block group has not one type",
        CHUNK,
        &[chunk(mib, mib, 5, 1)],
    );
}

#[test]
fn devices() {
    let mut raw = RawDevItem::new_zeroed();
    raw.devid.set(1);
    raw.total_bytes.set(1 << 30);
    let good = (Key::new(1, Kind::DEV_ITEM, 1), raw.as_bytes().to_vec());
    takes(CHUNK, std::slice::from_ref(&good));
    refuses("device item has a wrong size", CHUNK, &[sized(&good, 97)]);
    refuses("device has no number", CHUNK, &[with(&good, 0, &[0])]);
    refuses(
        "device uses more than it has",
        CHUNK,
        &[with(&good, 20, &[1])],
    );
    refuses(
        "device's key has another objectid",
        CHUNK,
        &[keyed(&good, Key::new(2, Kind::DEV_ITEM, 1))],
    );
    refuses(
        "device's key has another number",
        CHUNK,
        &[keyed(&good, Key::new(1, Kind::DEV_ITEM, 2))],
    );

    let extent = |at, len| {
        let key = Key::new(1, Kind::DEV_EXTENT, at);
        (key, [&u64s(&[3, 256, 1 << 20, len])[..], &[0; 16]].concat())
    };
    let good = extent(1 << 20, 1 << 20);
    takes(DEV, &[good.clone(), extent(2 << 20, 4096)]);
    refuses("device extent has a wrong size", DEV, &[sized(&good, 47)]);
    refuses(
        "device extent names another chunk tree",
        DEV,
        &[with(&good, 0, &[2])],
    );
    refuses("device extent names no chunk", DEV, &[with(&good, 8, &[2])]);
    refuses(
        "device extent's chunk is not aligned",
        DEV,
        &[with(&good, 16, &[2])],
    );
    refuses(
        "device extent's length is not aligned",
        DEV,
        &[extent(1 << 20, 1)],
    );
    refuses("device extent is empty", DEV, &[extent(1 << 20, 0)]);
    refuses("device extent is not aligned", DEV, &[extent(1, 4096)]);
    refuses(
        "device extent is too long",
        DEV,
        &[extent(1 << 63, 1 << 63)],
    );
    refuses(
        "device extent is on no device",
        DEV,
        &[keyed(&good, Key::new(0, Kind::DEV_EXTENT, 4096))],
    );
    refuses(
        "device extent overlaps the one before",
        DEV,
        &[good, extent((1 << 20) + 4096, 4096)],
    );
}

#[test]
fn free_space() {
    let mib = 1 << 20;
    let info = |start, len, count: u32, flags: u32| {
        let key = Key::new(start, Kind::FREE_SPACE_INFO, len);
        (key, [count.to_le_bytes(), flags.to_le_bytes()].concat())
    };
    let free = |start, len| (Key::new(start, Kind::FREE_SPACE_EXTENT, len), vec![]);
    let bitmap = |start, len, bytes| {
        (
            Key::new(start, Kind::FREE_SPACE_BITMAP, len),
            vec![0; bytes],
        )
    };
    takes(
        FREE,
        &[
            info(mib, mib, 2, 0),
            free(mib, 4096),
            free(mib + 8192, 4096),
            info(2 * mib, mib, 1, 1),
            bitmap(2 * mib, mib, 32),
        ],
    );
    refuses(
        "free space info has a wrong size",
        FREE,
        &[sized(&info(mib, mib, 2, 0), 7)],
    );
    refuses(
        "free space info has unknown flags",
        FREE,
        &[info(mib, mib, 2, 2)],
    );
    refuses(
        "free space has too many ranges",
        FREE,
        &[info(mib, mib, 257, 0)],
    );
    refuses("free space is not aligned", FREE, &[free(1, 4096)]);
    refuses("free space's length is not aligned", FREE, &[free(4096, 1)]);
    refuses("free space is empty", FREE, &[free(4096, 0)]);
    refuses(
        "free space goes beyond all addresses",
        FREE,
        &[free(1 << 63, 1 << 63)],
    );
    refuses(
        "free space extent has bytes",
        FREE,
        &[sized(&free(4096, 4096), 1)],
    );
    refuses(
        "free space bitmap has a wrong size",
        FREE,
        &[bitmap(mib, mib, 31)],
    );
    refuses(
        "free space bitmap is too long",
        FREE,
        &[bitmap(0, 16 * mib, 512)],
    );
    refuses(
        "free space overlaps that before",
        FREE,
        &[free(mib, 8192), free(mib + 4096, 4096)],
    );
    refuses(
        "free space overlaps that before",
        FREE,
        &[free(mib, 8192), info(mib + 4096, mib, 0, 0)],
    );
    refuses(
        "free space goes beyond its block group",
        FREE,
        &[info(mib, mib, 1, 0), free(mib, 2 * mib)],
    );
    refuses(
        "free space is not of its info's kind",
        FREE,
        &[info(mib, mib, 1, 1), free(mib, mib)],
    );
    refuses(
        "free space is not of its info's kind",
        FREE,
        &[info(mib, mib, 1, 0), bitmap(mib, mib, 32)],
    );
    refuses(
        "free space is of two kinds",
        FREE,
        &[free(mib, mib), bitmap(2 * mib, mib, 32)],
    );
    let header = (
        Key::new(u64::MAX - 10, Kind::CACHE_HEADER, mib),
        vec![0; 41],
    );
    // A hint that makes no sense is no reason to refuse the block, whatever is wrong with it.
    takes(ROOT, std::slice::from_ref(&header));
    takes(ROOT, &[with(&header, 33, &[1])]);
    for size in [1, 40, 42] {
        takes(ROOT, &[sized(&header, size)]);
    }
}
