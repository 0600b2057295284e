// SPDX-License-Identifier: GPL-2.0
//! What is free is read from free space caches (v1) that are right, and from the extent tree where one is not.

use crate::files::Files;
use crate::mounted::{mount, mount_with, unmount};
use crate::old_caches::{
    believed, change_items, dropping, groups, headers, tell, with_caches, with_strays, Group,
};
use engine::disk::{
    Bytes, CacheHeader, ExtentState, FileExtent, FileExtent::Regular, FileType, Generation,
    InodeFlags, InodeItem, Key, Kind, Logical, ObjectId,
};
use engine::txn::{Access, Options, TreeTrust};
use engine::volume::Writes;
use harness::device::Image;
use harness::mount::{devices, free_ranges, Layers};
use harness::tools;
use harness::walker::walk;
use kernel::print::Capture;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
const OLD_FORMAT: &[&str] = &["-O", "^free-space-tree,^block-group-tree", "-m", "single"];
const DOUBT: &str = "the extent tree is read";

fn cached() -> Image {
    with_caches(tools::mkfs(512 * MIB, OLD_FORMAT), |_, _, _| {})
}

/// The last group that has a cache.
fn last_cached(image: &Image) -> Group {
    let (last, _) = *believed(image).last().unwrap();
    let mut all = groups(&walk(image)).into_iter();
    all.find(|group| group.start == last).unwrap()
}

/// What a mount that is going to write takes for free, and how often it said that it reads the extent tree.
fn free_of(image: &Image, options: Options) -> (Vec<(u64, u64)>, Vec<String>) {
    let log = Capture::new();
    let devices = devices(vec![image.clone()]).unwrap();
    let mounted = Layers::mount_opened(devices, Writes::Later, options, Ok).unwrap();
    let free = free_ranges(mounted.txns.space());
    assert!(mounted.device().image().pages == image.pages);
    let mut lines = log.lines();
    lines.retain(|line| line.contains(DOUBT));
    let read = mounted.txns.space().caches_read();
    assert_eq!(read.doubted, lines.len() as u64);
    assert!(read.believed <= headers(&walk(image)).len() as u64);
    (free, lines)
}

pub(crate) fn found(image: &Image) -> (Vec<(u64, u64)>, Vec<String>) {
    free_of(image, Options::new(Access::ReadWrite))
}

/// What is free by the extent tree alone.
pub(crate) fn derived(image: &Image) -> Vec<(u64, u64)> {
    let mut image = image.clone();
    tools::edit_superblock(&mut image, |raw| raw.cache_generation.set(0));
    found(&image).0
}

#[test]
fn a_right_cache_says_what_the_extent_tree_does() {
    let image = cached();
    assert_eq!(found(&image), (derived(&image), Vec::new()));
    let mounted = mount(image.clone()).unwrap();
    let read = mounted.txns.space().caches_read();
    assert_eq!(read.believed, believed(&image).len() as u64);
}

/// Of a cache that is right by all that is asked of it nothing is looked up: what it says is believed.
#[test]
fn what_is_cached_is_not_read_from_the_extent_tree() {
    let mut image = cached();
    let mut group = last_cached(&image);
    let (first, behind) = (group.free[0], group.free[0].0 - 4096);
    group.free[0] = (first.0 + 4096, first.1);
    group.free.insert(0, (behind, behind + 4096));
    tell(&mut image, &group);
    let (free, lines) = found(&image);
    assert_eq!(lines, Vec::<String>::new());
    let holds = |at| free.iter().any(|&(start, end)| (start..end).contains(&at));
    assert!(holds(behind) && !holds(first.0));
    assert_ne!(free, derived(&image));
}

/// A superblock of another generation says nothing of caches, nor does who doubts them.
#[test]
fn nothing_is_believed_beside_another_generation() {
    let image = lying(cached());
    let right = derived(&image);
    assert_ne!(found(&image).0, right);
    let generation = walk(&image).superblock.generation.get();
    for other in [generation - 1, generation + 1, u64::MAX] {
        let mut image = image.clone();
        tools::edit_superblock(&mut image, |raw| raw.cache_generation.set(other));
        assert_eq!(found(&image).0, right, "{other}");
    }
    let mut options = Options::new(Access::ReadWrite);
    options.free_space = TreeTrust::Doubted;
    assert_eq!(free_of(&image, options).0, right);
}

/// What a mount that is going to write says of caches that are not looked at one by one.
fn said_of_all(image: &Image, options: Options) -> Vec<String> {
    let log = Capture::new();
    let devices = devices(vec![image.clone()]).unwrap();
    drop(Layers::mount_opened(devices, Writes::Later, options, Ok).unwrap());
    let mut lines = log.lines();
    lines.retain(|line| line.contains("debug: no free space cache is believed: "));
    lines
}

/// Where no cache is looked at, one line says why.
#[test]
fn why_none_is_looked_at_is_said() {
    let read_write = || Options::new(Access::ReadWrite);
    let image = cached();
    assert_eq!(said_of_all(&image, read_write()), Vec::<String>::new());
    let generation = walk(&image).superblock.generation.get();

    let mut stale = image.clone();
    tools::edit_superblock(&mut stale, |raw| raw.cache_generation.set(generation - 1));
    let lines = said_of_all(&stale, read_write());
    let found = format!("({:#x}), expected {generation}", generation - 1);
    assert!(lines.len() == 1 && lines[0].contains(&found), "{lines:?}");

    // Who asked for it need not be told, and who keeps none neither.
    let mut doubting = read_write();
    doubting.free_space = TreeTrust::Doubted;
    assert_eq!(said_of_all(&stale, doubting), Vec::<String>::new());
    assert_eq!(said_of_all(&stale, dropping()), Vec::<String>::new());
    let mut none = image.clone();
    tools::edit_superblock(&mut none, |raw| raw.cache_generation.set(0));
    assert_eq!(said_of_all(&none, read_write()), Vec::<String>::new());

    let strays = with_strays(tools::mkfs(512 * MIB, OLD_FORMAT), 1, |_, _, _| {});
    let lines = said_of_all(&strays, read_write());
    let of_none = |lines: &[String]| lines.len() == 1 && lines[0].contains("of no block group");
    assert!(of_none(&lines), "{lines:?}");
}

/// The last group's cache says that what is not free is.
fn lying(mut image: Image) -> Image {
    let mut group = last_cached(&image);
    let free: u64 = group.free.iter().map(|(start, end)| end - start).sum();
    group.free = vec![(group.start, group.start + free)];
    tell(&mut image, &group);
    image
}

fn change_inodes(image: &mut Image, change: impl Fn(&mut InodeItem)) {
    change_items(image, |key, bytes| {
        let Ok(mut inode) = InodeItem::parse(bytes) else {
            return;
        };
        if key.kind == Kind::INODE_ITEM && inode.file_type() == Some(FileType::Regular) {
            change(&mut inode);
            inode.write_to(bytes).unwrap();
        }
    });
}

fn change_headers(image: &mut Image, change: impl Fn(&mut CacheHeader)) {
    change_items(image, |key, bytes| {
        if key.objectid == ObjectId::FREE_SPACE {
            let mut header = CacheHeader::parse(bytes).unwrap();
            change(&mut header);
            header.write_to(bytes).unwrap();
        }
    });
}

fn change_extents(image: &mut Image, change: impl Fn(&mut engine::disk::RegularExtent)) {
    change_items(image, |key, bytes| {
        if key.kind == Kind::EXTENT_DATA {
            let Ok(Regular(mut extent)) = FileExtent::parse(bytes) else {
                return;
            };
            change(&mut extent);
            extent.write_to(bytes).unwrap();
        }
    });
}

type Damage = (&'static str, fn(&mut Image));

const DAMAGES: [Damage; 15] = [
    ("not written to its end", |image| {
        change_headers(image, |header| header.generation = Generation::new(0));
    }),
    ("of the future", |image| {
        change_headers(image, |header| {
            header.generation = Generation::new(header.generation.get() + 1);
        });
    }),
    ("inode is of another generation", |image| {
        change_inodes(image, |inode| inode.generation = Generation::new(0));
    }),
    ("inode is of another generation", |image| {
        change_inodes(image, |inode| inode.generation = inode.generation.next());
    }),
    ("inode is of another block group", |image| {
        change_inodes(image, |inode| inode.block_group = 1);
    }),
    ("pages are of another generation", |image| {
        change_headers(image, |header| header.generation = Generation::new(1));
        change_inodes(image, |inode| inode.generation = Generation::new(1));
    }),
    ("wrong length", |image| {
        change_inodes(image, |inode| {
            inode.size = inode.size.saturating_add(Bytes::new(4096))
        });
    }),
    ("not written in place", |image| {
        change_inodes(image, |inode| inode.flags = InodeFlags::NODATASUM);
    }),
    ("has no entries", |image| {
        change_headers(image, |header| header.entries = 0);
    }),
    ("more than its file", |image| {
        change_headers(image, |header| header.entries = u64::MAX);
    }),
    ("more bitmaps than", |image| {
        change_headers(image, |header| header.bitmaps = u64::MAX);
    }),
    ("not in whole pieces", |image| {
        change_extents(image, |extent| extent.state = ExtentState::Preallocated);
    }),
    ("not in a block group of data", |image| {
        let walked = walk(image);
        let block = walked.items(ObjectId::EXTENT_TREE, Kind::METADATA_ITEM)[0].0;
        change_extents(image, |extent| {
            extent.disk_addr = Logical::new(block.objectid.get());
        });
    }),
    ("leads to no inode", |image| {
        change_headers(image, |header| header.inode = ObjectId::new(7777));
    }),
    ("", |image| {
        let walked = walk(image);
        let of = Kind::EXTENT_DATA;
        for (_, bytes) in walked.items(ObjectId::ROOT_TREE, of) {
            if let Ok(Regular(extent)) = FileExtent::parse(&bytes) {
                let at = walked.place(extent.disk_addr);
                image.pages.write(at, &[0x5a; 4096]);
            }
        }
    }),
];

/// Every doubt is one line for each group, no error, and the right free space.
#[test]
fn every_doubt_leads_to_the_extent_tree() {
    let base = lying(cached());
    let right = derived(&base);
    let count = headers(&walk(&base)).len();
    for (what, damage) in DAMAGES {
        let mut image = base.clone();
        damage(&mut image);
        let (free, lines) = found(&image);
        assert_eq!(free, right, "{what}");
        assert!(
            lines.iter().all(|line| line.contains(what)),
            "{what}: {lines:?}"
        );
        assert_eq!(lines.len(), count, "{what}: {lines:?}");
    }
}

/// A header of a wrong size costs its own cache, and nothing else of the leaf that it is in.
#[test]
fn a_header_of_a_wrong_size_costs_its_cache() {
    let base = tools::mkfs(512 * MIB, OLD_FORMAT);
    let last = groups(&walk(&base)).pop().unwrap().start;
    for size in [1, CacheHeader::SIZE - 1, CacheHeader::SIZE + 1] {
        let image = with_caches(base.clone(), |root, handle, _| {
            let key = CacheHeader::key(Logical::new(last));
            root.remove(handle, &key).unwrap();
            root.insert(handle, &key, &vec![1; size]).unwrap();
        });
        let (free, lines) = found(&image);
        assert_eq!(free, derived(&image));
        let one = lines.len() == 1 && lines[0].contains("wrong size");
        assert!(one, "{size}: {lines:?}");
        assert_eq!(headers(&walk(&image)).len(), believed(&image).len() + 1);

        // It is made anew, or goes.
        let mounted = mount(image.clone()).unwrap();
        let files = Files::new(&mounted.txns);
        files.create("new", 65536, 65536).unwrap();
        drop(files);
        let kept = unmount(mounted);
        tools::check(&kept).unwrap();
        assert_eq!(found(&kept), (derived(&kept), Vec::new()));
        let mounted = mount_with(image, dropping()).unwrap();
        let dropped = unmount(mounted);
        tools::check(&dropped).unwrap();
        assert_eq!(headers(&walk(&dropped)).len(), 0);
    }
}

/// The caches of two groups are taken for each other's.
#[test]
fn the_cache_of_another_group_is_not_believed() {
    let mut image = cached();
    let right = derived(&image);
    let inodes: Vec<_> = walk(&image)
        .items(ObjectId::ROOT_TREE, Kind::CACHE_HEADER)
        .iter()
        .filter(|(key, _)| key.objectid == ObjectId::FREE_SPACE)
        .map(|(_, bytes)| bytes.clone())
        .collect();
    let mut next = 0;
    change_items(&mut image, |key: &Key, bytes| {
        if key.objectid == ObjectId::FREE_SPACE {
            next += 1;
            bytes.copy_from_slice(&inodes[next % inodes.len()]);
        }
    });
    assert_eq!(next, inodes.len());
    let (free, lines) = found(&image);
    assert_eq!((free, lines.len()), (right, inodes.len()));
}

/// A device that fails to read a cache has the extent tree read.
#[test]
fn a_cache_that_cannot_be_read_is_no_error() {
    let image = cached();
    let walked = walk(&image);
    let files = walked.items(ObjectId::ROOT_TREE, Kind::EXTENT_DATA);
    let devices = devices(vec![image.clone()]).unwrap();
    for (_, bytes) in files {
        if let Ok(Regular(extent)) = FileExtent::parse(&bytes) {
            let at = walked.place(extent.disk_addr);
            devices[0].faults(|faults| {
                faults.fail_range(harness::device::faults::Request::Read, at..at + 4096);
            });
        }
    }
    let options = Options::new(Access::ReadWrite);
    let mounted = Layers::mount_opened(devices, Writes::Later, options, Ok).unwrap();
    assert_eq!(free_ranges(mounted.txns.space()), derived(&image));
}
