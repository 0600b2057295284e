// SPDX-License-Identifier: GPL-2.0
//! Time and memory of mounts.

use crate::{memory, micros};
use engine::disk::Bytes;
use engine::space::Reservation;
use engine::txn::Units;
use harness::device::Image;
use harness::mount::{devices, Access, Mounted};
use harness::tools;
use std::path::Path;
use std::process::Command;

const GIB: u64 = 1 << 30;

/// Mounts in a process of its own, which has no memory to use again.
pub(crate) fn tell(volume: &str, image: &Image) {
    println!("{volume}:");
    let file = tools::Scratch::new();
    image.pages.save(file.path()).expect("a file");
    let program = std::env::current_exe().expect("this program");
    let status = Command::new(program)
        .arg("--mount")
        .arg(file.path())
        .status();
    assert!(status.expect("a process").success());
}

/// Mounts, and takes the first promises of data and of metadata and the first extent.
pub(crate) fn mount(path: &Path) {
    let image = Image::load(path).expect("an image");
    let devices = devices(vec![image]).expect("devices");
    let before = memory::in_use();
    let begun = memory::busy();
    let mounted = Mounted::mount_on(devices, Access::ReadWrite).expect("a volume");
    let time = memory::busy() - begun;
    let memory = memory::in_use().saturating_sub(before);
    println!("    mounted in {}, {memory} KiB", micros(time));
    let begun = memory::busy();
    let data = mounted.txns.reserve_data(Bytes::new(4096)).expect("space");
    drop(mounted.txns.start(Units::inserts(1)).expect("a handle"));
    mounted
        .txns
        .space()
        .allocate_data(&data, Bytes::new(4096), Bytes::new(4096))
        .expect("an extent");
    let time = memory::busy() - begun;
    let memory = memory::in_use().saturating_sub(before);
    println!("    first extent after {}, {memory} KiB", micros(time));
}

/// A volume with 10,000 block groups.
pub(crate) fn many_groups(options: &[&str]) -> Image {
    unmount(with_groups(10_000, 0, options))
}

/// A volume with so many block groups of data, and room for `more`.
pub(crate) fn with_groups(groups: u64, more: u64, options: &[&str]) -> Mounted {
    let options = [&["-m", "single"], options].concat();
    let image = tools::mkfs((groups + more + 20) * GIB, &options);
    let mounted = Mounted::mount(vec![image], Access::ReadWrite).expect("a volume");
    let mut promised = Vec::new();
    for _ in 0..groups {
        promised.push(mounted.txns.reserve_data(Bytes::new(GIB)).expect("a chunk"));
    }
    // An extent in each: what is empty would be removed.
    for reservation in &promised {
        let handle = mounted.txns.start(Units::inserts(1)).expect("a handle");
        let space = mounted.txns.space();
        let extent = space
            .allocate_data(reservation, Bytes::new(GIB), Bytes::new(GIB / 2))
            .expect("an extent");
        space
            .note_allocated(&handle, extent.logical, extent.len)
            .expect("room");
        let rest = extent.len.get() / 2;
        space
            .note_freed(&handle, extent.logical, Bytes::new(rest))
            .expect("room");
    }
    drop(promised);
    mounted
}

/// A new volume.
pub(crate) fn whole(gib: u64) -> Image {
    tools::mkfs(gib * GIB, &["-m", "single"])
}

/// A volume every other `piece` bytes of which are free, as its free space tree says.
pub(crate) fn fragmented(gib: u64, piece: u64) -> Image {
    let mounted = Mounted::mount(vec![whole(gib)], Access::ReadWrite).expect("a volume");
    // Room for metadata stays.
    for _ in 0..gib - gib.div_ceil(100).min(4) {
        let Ok(reservation) = mounted.txns.reserve_data(Bytes::new(GIB)) else {
            break;
        };
        take_every_other(&mounted, &reservation, piece);
        drop(reservation);
        mounted.txns.commit().expect("a commit");
    }
    unmount(mounted)
}

/// Uses every other `piece` bytes of what was promised.
fn take_every_other(mounted: &Mounted, reservation: &Reservation, piece: u64) {
    let space = mounted.txns.space();
    let piece = Bytes::new(piece);
    let both = piece.saturating_add(piece);
    while reservation.bytes() >= both {
        // As many as one handle may change.
        let handle = mounted.txns.start(Units::inserts(1)).expect("a handle");
        let wanted = reservation.bytes().min(Bytes::new(GIB / 8));
        let Ok(extent) = space.allocate_data(reservation, wanted, both) else {
            break;
        };
        let end = extent.logical.saturating_add(extent.len);
        let mut at = extent.logical;
        while at.saturating_add(both) <= end {
            space.note_allocated(&handle, at, piece).expect("room");
            at = at.saturating_add(both);
        }
    }
}

pub(crate) fn unmount(mounted: Mounted) -> Image {
    let mut images = mounted.unmount().expect("a commit");
    images.pop().expect("a device")
}
