// SPDX-License-Identifier: GPL-2.0
//! How much memory a mount takes where the extent tree alone tells what is free: no more than a bound, whatever is in it.

use engine::btree::{Allocate, DataRef, Holder};
use engine::disk::edit::leaf;
use engine::disk::{Bytes, Kind, Leaf, Logical, ObjectId};
use engine::txn::{Access, Keep, Options, Units};
use harness::device::Image;
use harness::mount::{devices, free_ranges, Layers};
use harness::tools;
use harness::walker::walk;
use kernel::print::Capture;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const WINDOW: u64 = 128 * MIB;
const WITHOUT: &[&str] = &["-m", "single", "-O", "^free-space-tree,^block-group-tree"];
const TOO_MUCH: &str = "stays unused: to know it would take too much memory";

fn nowhere() -> Options {
    let mut options = Options::new(Access::ReadWrite);
    options.keep = Keep::Nowhere;
    options
}

fn mount(image: Image) -> Layers {
    Layers::mount(devices(vec![image]).unwrap(), nowhere(), Ok).unwrap()
}

/// A volume of `size` with so many more groups of data, behind all others, each window of which has one sector in the middle that is
/// used.
fn sparse(size: u64, gib: u64) -> Image {
    let image = tools::mkfs(size, WITHOUT);
    let mounted = mount(image);
    let space = mounted.txns.space();
    let whole = |_| mounted.txns.reserve_data(Bytes::new(GIB)).unwrap();
    let promised: Vec<_> = (0..gib).map(whole).collect();
    for reservation in &promised {
        let handle = mounted.txns.start(Units::inserts(8)).unwrap();
        let extent = space
            .allocate_data(reservation, Bytes::new(GIB), Bytes::new(GIB / 2))
            .unwrap();
        let (start, end) = (
            extent.logical.get(),
            extent.logical.get() + extent.len.get(),
        );
        let mut free = start;
        for at in (start + WINDOW / 2..end).step_by(WINDOW as usize) {
            handle.add_data(&reference(at)).unwrap();
            space.release_unwritten(Logical::new(free), Bytes::new(at - free));
            free = at + 4096;
        }
        space.release_unwritten(Logical::new(free), Bytes::new(end - free));
    }
    drop(promised);
    mounted.unmount().unwrap().remove(0)
}

/// What nobody refers to: the volume is not looked at but for its free space.
fn reference(at: u64) -> DataRef {
    DataRef {
        addr: Logical::new(at),
        len: Bytes::new(4096),
        holder: Holder::Tree(ObjectId::FS_TREE),
        root: ObjectId::FS_TREE,
        inode: ObjectId::new(1000),
        offset: 0,
    }
}

/// An image of a few megabytes could have a page of memory taken for each 128 MiB of a device that does not exist.
#[test]
fn what_is_in_pieces_is_known_up_to_a_bound() {
    let image = sparse(4220 * GIB, 4200);
    let log = Capture::new();
    let mounted = mount(image);
    let space = mounted.txns.space();
    space.audit().unwrap();
    let ranges = free_ranges(space);
    let free: u64 = ranges.iter().map(|(start, end)| end - start).sum();
    assert!((4000 * GIB..=4110 * GIB).contains(&free), "{}", free / GIB);
    let given_up = log
        .lines()
        .iter()
        .filter(|line| line.contains(TOO_MUCH))
        .count();
    assert!((100..250).contains(&given_up), "{given_up}");
    // All else can be used.
    drop(mounted.txns.reserve_data(Bytes::new(4000 * GIB)).unwrap());
    let statistics = space.statistics();
    assert!(statistics.available < Bytes::new(4150 * GIB));
    mounted.unmount().unwrap();
}

/// Makes the last chunk, which is one of data, and its group longer.
fn lengthened(mut image: Image, len: u64) -> Image {
    let walked = walk(&image);
    let groups = walked.items(ObjectId::EXTENT_TREE, Kind::BLOCK_GROUP_ITEM);
    let group = groups.last().unwrap().0;
    for block in walked.blocks.iter().filter(|block| block.level == 0) {
        let mut bytes = block.bytes.clone();
        for slot in 0..Leaf::new(&block.bytes).nritems() {
            let (key, item) = Leaf::new(&block.bytes).item(slot).unwrap();
            let of_group =
                |at: usize| item.get(at..at + 8) == Some(&group.objectid.get().to_le_bytes());
            let is_chunk = key.kind == Kind::CHUNK_ITEM && key.offset == group.objectid.get();
            if key == group {
                let at = 101 + 25 * slot + 9;
                bytes[at..at + 8].copy_from_slice(&len.to_le_bytes());
            } else if is_chunk {
                leaf::item_mut(&mut bytes, slot).unwrap()[..8].copy_from_slice(&len.to_le_bytes());
            } else if key.kind == Kind::DEV_EXTENT && of_group(16) {
                let item = leaf::item_mut(&mut bytes, slot).unwrap();
                item[24..32].copy_from_slice(&len.to_le_bytes());
            }
        }
        walked.write(&mut image, block.addr, &mut bytes);
    }
    image
}

/// A group takes memory by its length, too.
#[test]
fn a_group_that_claims_to_be_longer_than_any_is_not_used() {
    let image = lengthened(sparse(120 * GIB, 1), 100 * GIB);
    let log = Capture::new();
    let mounted = mount(image);
    assert!(log.contains(TOO_MUCH), "{:?}", log.lines());
    let ranges = free_ranges(mounted.txns.space());
    let free: u64 = ranges.iter().map(|(start, end)| end - start).sum();
    assert!(free < 20 * GIB);
    mounted.unmount().unwrap();
}
