// SPDX-License-Identifier: GPL-2.0
//! Inline extents that are longer than a sector: what would have to cut them is refused, and nothing has changed.

use crate::files::{Files, SECTOR};
use engine::disk::{Bytes, FileOffset, Kind};
use engine::fs::Inode;
use harness::device::Image;
use harness::mount::NOW;
use harness::punch::PunchHole;
use harness::tools;
use harness::walker::walk;
use kernel::prelude::*;
use kernel::print::Capture;
use kernel::sync::Arc;
use std::string::String;

const MIB: u64 = 1 << 20;

/// A volume with a file of 100 bytes in the tree that says that it is packed, and `ram_bytes` long.
fn image(ram_bytes: u64) -> Image {
    let files = Files::mount(tools::mkfs(256 * MIB, &["-m", "single"]));
    let inode = files.file(b"f");
    files.write(&inode, 0, &[7; 100]).unwrap();
    drop(inode);
    let mut image = files.unmount();
    let walked = walk(&tools::as_file(&image));
    let mut changed = 0;
    for found in &walked.blocks {
        let mut block = found.bytes.clone();
        if pack(&mut block, ram_bytes) == 0 {
            continue;
        }
        changed += 1;
        walked.write(&mut image, found.addr, &mut block);
    }
    assert_eq!(changed, 1);
    image
}

/// Changes what the inline extents in a leaf say of their bytes; how many these are.
fn pack(block: &mut [u8], ram_bytes: u64) -> usize {
    const HEADER: usize = 101;
    const ITEM: usize = 25;
    let u32_at = |block: &[u8], at: usize| {
        u32::from_le_bytes(block[at..at + 4].try_into().unwrap()) as usize
    };
    let mut changed = 0;
    for nr in 0..u32_at(block, 96) {
        let head = HEADER + nr * ITEM;
        if block[100] > 0 || block[head + 8] != Kind::EXTENT_DATA.get() {
            continue;
        }
        let data = HEADER + u32_at(block, head + 17);
        // `ram_bytes`, then the compression: zlib; the type of an inline extent is 0.
        assert_eq!(block[data + 20], 0);
        block[data + 8..data + 16].copy_from_slice(&ram_bytes.to_le_bytes());
        block[data + 16] = 1;
        changed += 1;
    }
    changed
}

fn open(files: &Files) -> Arc<Inode> {
    use engine::fs::Target;
    let found = files.fs.names().lookup(&files.root, b"f").unwrap();
    let Some(Target::Inode(number, _)) = found else {
        panic!("{found:?}");
    };
    files.fs.inodes().get(&files.top, number).unwrap()
}

/// What would cut the extent.
fn changes(files: &Files, inode: &Inode) -> [Result; 6] {
    let (data, space) = (files.fs.data(), files.fs.file_space());
    let (start, second) = (FileOffset::new(0), FileOffset::new(SECTOR));
    [
        space.punch_hole(inode, start, Bytes::new(SECTOR), NOW),
        space.truncate(inode, Bytes::new(5000), NOW),
        space.truncate(inode, Bytes::new(50), NOW),
        space.preallocate(inode, second, Bytes::new(SECTOR), None, NOW),
        data.reserve_write(inode, start, Bytes::new(SECTOR))
            .map(drop),
        data.try_reserve_write(inode, second, Bytes::new(SECTOR))
            .map(drop),
    ]
}

#[test]
fn a_long_inline_extent_is_not_cut() {
    let files = Files::mount(image(8000));
    let inode = open(&files);
    let before = inode.attributes();
    let log = Capture::new();
    assert_eq!(changes(&files, &inode), [Err(EUCLEAN); 6]);
    let lines = log.lines();
    let told = |line: &&String| line.contains("inline extent is longer than a sector");
    assert_eq!(lines.iter().filter(told).count(), 6, "{lines:?}");
    assert_eq!(inode.attributes(), before);
    assert_eq!(files.txns().is_aborted(), None);
    files
        .fs
        .file_space()
        .truncate(&inode, Bytes::ZERO, NOW)
        .unwrap();
    files.txns().commit().unwrap();
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}

/// One that has all of a sector is like any other.
#[test]
fn an_inline_extent_of_a_sector_is_replaced() {
    let files = Files::mount(image(SECTOR));
    let inode = open(&files);
    files
        .write_sectors(&inode, 0, &[8; SECTOR as usize], SECTOR)
        .unwrap();
    assert_eq!(files.read(&inode, 0, SECTOR).unwrap(), [8; SECTOR as usize]);
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}
