// SPDX-License-Identifier: GPL-2.0
//! Space that was promised is there at writeback, and comes back from a write that did not come about.

use crate::files::{Files, SECTOR};
use engine::disk::FileOffset;
use engine::fs::{Inode, WriteReservation};
use harness::device::zones::ZoneLayout;
use harness::device::Image;
use harness::tools;
use kernel::alloc::inject;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::vec::Vec;

const MIB: u64 = 1 << 20;

/// Zones few of which may be active: one or two with data.
fn narrow_zones(max_active: u32) -> Image {
    let layout = ZoneLayout {
        max_active: Some(max_active),
        ..tools::zone_layout(16 * MIB)
    };
    tools::mkfs_zoned(14, &["-m", "single", "-d", "single"], layout)
}

fn reserved(files: &Files) -> u64 {
    files.txns().space().statistics().data.reserved
}

/// Whatever comes between an address and the end of its write fails: the space is not lost until the next mount.
#[test]
fn an_address_without_a_write_is_given_back() {
    for image in [tools::mkfs(256 * MIB, &[]), narrow_zones(14)] {
        let files = Files::mount(image);
        let inode = files.file(b"f");
        let len = 8 * SECTOR;
        let available = files.txns().space().statistics().available;
        for _ in 0..3 {
            let offset = FileOffset::new(0);
            let mut reservation = files.fs.reserve_write(&inode, offset, len).unwrap();
            let extent = files.fs.allocate_write(&mut reservation, len).unwrap();
            assert_eq!(reserved(&files), len);
            drop((extent, reservation));
            assert_eq!(reserved(&files), 0);
        }
        if !files.mounted.volume.is_zoned() {
            assert_eq!(files.txns().space().statistics().available, available);
        }
        drop(inode);
        tools::check(&files.unmount()).unwrap();
    }
}

/// The same for what is on the device and then cannot be entered.
#[test]
fn a_write_that_cannot_be_finished_is_given_back() {
    let base = tools::mkfs(256 * MIB, &[]);
    for n in 0.. {
        let files = Files::mount(base.clone());
        let inode = files.file(b"f");
        files.txns().commit().unwrap();
        let data = [7; 4 * SECTOR as usize];
        let before = inject::counters().failed;
        let failing = inject::fail_nth(n);
        let written = files.write_sectors(&inode, 0, &data, 4 * SECTOR);
        drop(failing);
        let failed = inject::counters().failed > before;
        if written.is_err() && files.txns().is_aborted().is_none() {
            assert_eq!(reserved(&files), 0, "allocation {n}");
            files.write_sectors(&inode, 0, &data, 4 * SECTOR).unwrap();
            drop(inode);
            tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
        }
        if !failed {
            return;
        }
    }
}

/// Reserves for file after file until nothing is left.
fn reserve_all(files: &Files, piece: u64) -> Vec<(Arc<Inode>, WriteReservation)> {
    let mut all = Vec::new();
    loop {
        let inode = files.file(format!("f{}", all.len()).as_bytes());
        let offset = FileOffset::new(0);
        match files.fs.reserve_write(&inode, offset, piece) {
            Ok(reservation) => all.push((inode, reservation)),
            Err(error) => {
                assert_eq!(error, ENOSPC);
                return all;
            }
        }
    }
}

/// Zones are given up in the midst of writes, as tasks do that met a device without active zones to give.
#[test]
fn what_is_promised_is_not_given_up() {
    for max_active in [6, 8, 14] {
        let files = Files::mount(narrow_zones(max_active));
        let piece = 3 * MIB;
        let data = vec![5; piece as usize];
        let all = reserve_all(&files, piece);
        assert!(all.len() > 10, "{} files", all.len());
        let files = &files;
        std::thread::scope(|scope| {
            let mut parts: [Vec<_>; 3] = [Vec::new(), Vec::new(), Vec::new()];
            for (n, file) in all.into_iter().enumerate() {
                parts[n % 3].push(file);
            }
            for part in parts {
                let data = &data;
                scope.spawn(move || {
                    for (inode, reservation) in part {
                        files
                            .write_reserved(&inode, 0, data, piece, reservation)
                            .unwrap_or_else(|error| panic!("{error:?} after a promise"));
                        files.txns().space().relieve_zones().unwrap();
                    }
                });
            }
        });
        assert_eq!(files.mounted.violations(), Vec::<String>::new());
        files.txns().commit().unwrap();
        tools::check_with(&files.image(), &["--check-data-csum"]).unwrap();
    }
}
