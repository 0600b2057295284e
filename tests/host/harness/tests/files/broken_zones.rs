// SPDX-License-Identifier: GPL-2.0
//! A zone has gone read-only: what is there can be read, nothing is written there any more, and all else goes on.

use crate::files::Files;
use engine::disk::{BlockGroupFlags, Bytes, Logical};
use engine::fs::Inode;
use engine::volume::Chunk;
use harness::device::zones::ZoneLayout;
use harness::device::Image;
use harness::mount::{DIRECTORY, NOW};
use harness::tools;
use kernel::prelude::*;
use kernel::print::Capture;
use kernel::sync::Arc;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
/// What a zone holds.
const ZONE: u64 = 8 * MIB;
const ZONES: u64 = 18;

fn zones(conventional: u64) -> Image {
    let layout = ZoneLayout {
        conventional,
        ..tools::zone_layout(ZONE)
    };
    tools::mkfs_zoned(ZONES, &["-m", "single", "-d", "single"], layout)
}

/// Breaks the zone of a chunk.
fn break_zone(image: &mut Image, chunk: &Chunk) {
    let zones = image.zones.as_mut().unwrap();
    zones.break_zone(chunk.stripes[0].at.get());
}

/// The chunk of the first group of a kind.
fn chunk_of(files: &Files, flags: BlockGroupFlags) -> Arc<Chunk> {
    let mut at = Logical::new(0);
    loop {
        let chunk = files.mounted.volume.chunk_from(at).expect("a chunk");
        if chunk.flags.contains(flags) {
            return chunk;
        }
        at = chunk.end();
    }
}

fn find(files: &Files, name: &[u8]) -> Arc<Inode> {
    match files.fs.names().lookup(&files.root, name).unwrap() {
        Some(engine::fs::Target::Inode(number, _)) => {
            files.fs.inodes().get(&files.top, number).unwrap()
        }
        _ => panic!("a file that was made is there"),
    }
}

/// Nothing is written to a zone of file data that takes no writes, when nothing is left there.
fn data_go_elsewhere(conventional: u64) {
    let files = Files::mount(zones(conventional));
    let inode = files.file(b"kept");
    let len = 4 * MIB;
    files
        .write_sectors(&inode, 0, &vec![1; len as usize], len)
        .unwrap();
    files.txns().commit().unwrap();
    let chunk = files
        .mounted
        .volume
        .chunk(files.address(&inode, 0))
        .unwrap();
    drop(inode);
    let mut image = files.unmount();
    break_zone(&mut image, &chunk);

    let log = Capture::new();
    let files = Files::mount(image);
    let said = log.lines();
    let said: Vec<_> = said
        .iter()
        .filter(|line| line.contains("read-only or offline"))
        .collect();
    assert_eq!(said.len(), 1, "{said:?}");
    drop(log);
    let told = files.txns().space().statistics().available;
    let inode = find(&files, b"kept");
    assert!(files
        .read(&inode, 0, len)
        .unwrap()
        .iter()
        .all(|byte| *byte == 1));
    let space = files.fs.file_space();
    space.truncate(&inode, Bytes::ZERO, NOW).unwrap();
    for _ in 0..3 {
        files.txns().commit().unwrap();
        files.txns().maintain().unwrap();
    }
    assert!(files.txns().space().statistics().available <= told);
    let mut written = 0;
    // More than the group could hold, if it were written.
    for number in 0..12 * ZONE / MIB {
        let name = format!("file{number}");
        let Ok(other) =
            files
                .fs
                .names()
                .create(&files.root, name.as_bytes(), &harness::mount::FILE)
        else {
            break;
        };
        match files.write_sectors(&other, 0, &vec![2; MIB as usize], MIB) {
            Err(error) if error == ENOSPC => break,
            done => done.unwrap(),
        }
        written += MIB;
        let at = files.address(&other, 0);
        assert!(!chunk.contains(at), "file {number} at {at:?} in {chunk:?}");
        assert!(files
            .read(&other, 0, MIB)
            .unwrap()
            .iter()
            .all(|byte| *byte == 2));
    }
    assert!(written > 2 * ZONE, "only {written}");
    files.txns().commit().unwrap();
    files.txns().space().audit().unwrap();
    drop((inode, space));
    tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
}

#[test]
fn file_data_keep_off_a_zone_that_takes_no_writes() {
    data_go_elsewhere(0);
}

#[test]
fn file_data_keep_off_a_conventional_zone_that_takes_no_writes() {
    data_go_elsewhere(ZONES);
}

#[test]
fn tree_blocks_keep_off_a_zone_that_takes_no_writes() {
    for flags in [BlockGroupFlags::METADATA, BlockGroupFlags::SYSTEM] {
        let files = Files::mount(zones(0));
        let chunk = chunk_of(&files, flags);
        let mut image = files.unmount();
        break_zone(&mut image, &chunk);
        for round in 0..2 {
            let files = Files::mount(image);
            for number in 0..200 {
                let name = format!("directory{round}.{number}");
                files
                    .fs
                    .names()
                    .create(&files.root, name.as_bytes(), &DIRECTORY)
                    .unwrap();
                files.txns().commit().unwrap();
            }
            files.txns().maintain().unwrap();
            files.txns().space().audit().unwrap();
            image = files.unmount();
            tools::check(&image).unwrap();
        }
    }
}
