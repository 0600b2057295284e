// SPDX-License-Identifier: GPL-2.0
//! Space that was promised is there at writeback, and comes back from a write that did not come about.

use crate::files::{Files, SECTOR};
use engine::disk::FileOffset;
use harness::device::zones::ZoneLayout;
use harness::device::Image;
use harness::tools;
use kernel::alloc::inject;

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
