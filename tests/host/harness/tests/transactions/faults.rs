// SPDX-License-Identifier: GPL-2.0
//! Power cuts and failing writes.

use crate::files::Files;
use crate::hooked::mount_hooked;
use crate::mounted::{mount, unmount, zoned_image};
use engine::btree::{Store, WriteMode};
use engine::disk::{Bytes, Key, Kind, Logical, ObjectId};
use engine::txn::Units;
use harness::device::faults::{Extent, Request};
use harness::device::{Image, Recorder};
use harness::mount::Layers;
use harness::random::Random;
use harness::tools;
use kernel::alloc::inject;
use kernel::prelude::*;
use std::vec::Vec;

const MIB: u64 = 1 << 20;

/// A few transactions that create, share and remove; told after each commit.
fn some_commits(mounted: &Layers, mut committed: impl FnMut(u64)) -> Result {
    let files = Files::new(&mounted.txns);
    let mut kept = Vec::new();
    for round in 0..4 {
        for n in 0..6 {
            kept.push(files.create(&format!("r{round}n{n}"), 12 * 4096, 8192)?);
        }
        let shared = files.share(&kept[round], &format!("s{round}"))?;
        files.remove(&kept.swap_remove(0))?;
        mounted.txns.commit()?;
        committed(mounted.txns.committed().get());
        files.remove(&shared)?;
    }
    mounted.txns.commit()?;
    committed(mounted.txns.committed().get());
    Ok(())
}

/// The image is clean, at least at `generation`, and can be written.
fn judge(image: Image, generation: u64) {
    tools::check(&image).unwrap();
    let mounted = mount(image).unwrap();
    assert!(mounted.txns.committed().get() >= generation);
    let files = Files::new(&mounted.txns);
    files.create("after", 4096, 4096).unwrap();
    drop(files);
    tools::check(&unmount(mounted)).unwrap();
}

fn cut_power(image: Image, points: usize) {
    let mounted = mount(image.clone()).unwrap();
    let base = mounted.device().image();
    let recorder = Recorder::default();
    mounted.device().record(&recorder, 0);
    some_commits(&mounted, |generation| recorder.promise(generation)).unwrap();
    let mut random = Random::new(1);
    let mut replay = recorder.replay(vec![base]);
    let every = (recorder.len() / points).max(1);
    loop {
        if replay.position() % every == 0 {
            judge(replay.power_cut(&mut random).remove(0), replay.promised());
        }
        if !replay.step() {
            break;
        }
    }
}

#[test]
fn power_may_go_at_any_write() {
    cut_power(tools::mkfs(256 * MIB, &[]), 60);
}

#[test]
fn power_may_go_at_any_write_of_a_zoned_device() {
    cut_power(zoned_image(10, 64 * MIB), 40);
}

/// An abort may have been for free space that was somebody's: no block is sent from there on, by nobody.
#[test]
fn nothing_is_sent_after_an_abort() {
    for image in [tools::mkfs(256 * MIB, &[]), zoned_image(10, 64 * MIB)] {
        let (mounted, hooked) = mount_hooked(image);
        let files = Files::new(&mounted.txns);
        files.create("first", 40960, 8192).unwrap();
        // A leader is about to send what it closed.
        let txns = mounted.txns.clone();
        hooked.hook(move || txns.abort(EUCLEAN));
        let before = mounted.device().image();
        assert!(mounted.txns.commit().is_err());
        assert!(mounted.store.dirty() > 0);
        for mode in [WriteMode::Background, WriteMode::Integrity] {
            let sent = mounted.store.write(Logical::new(0), Bytes::MAX, mode);
            assert_eq!(sent, Err(EROFS));
        }
        mounted.store.wait(Logical::new(0), Bytes::MAX).unwrap();
        assert!(mounted.device().image().pages == before.pages);
        drop(files);
        assert!(mounted.txns.close().is_err());
        assert_eq!(mounted.store.dirty(), 0);
    }
}

fn fail_writes(request: Request, extent: Extent, every: u64) {
    let image = tools::mkfs(256 * MIB, &["-m", "single"]);
    for n in (0..).map(|n| n * every) {
        let mounted = mount(image.clone()).unwrap();
        mounted
            .device()
            .faults(|faults| faults.fail_nth(request, n, extent));
        let mut last = mounted.txns.committed().get();
        let done = some_commits(&mounted, |generation| last = generation);
        let untouched = mounted.device().faults(|faults| faults.seen(request)) <= n;
        if let Err(error) = done {
            assert!(error == EIO || error == EROFS, "{error:?}");
            assert!(mounted.txns.is_aborted().is_some());
            assert_eq!(mounted.txns.start(Units::inserts(1)).err(), Some(EROFS));
            assert!(mounted.txns.close().is_err());
            assert_eq!(mounted.store.dirty(), 0);
        }
        judge(mounted.device().image(), last);
        if untouched {
            return;
        }
    }
}

#[test]
fn any_write_may_fail() {
    fail_writes(Request::Write, Extent::Once, 5);
}

#[test]
fn all_writes_may_fail_from_any_on() {
    fail_writes(Request::Write, Extent::FromThen, 7);
}

#[test]
fn any_flush_may_fail() {
    fail_writes(Request::Flush, Extent::Once, 1);
}

#[test]
fn any_allocation_of_a_mount_may_fail() {
    let image = tools::mkfs(256 * MIB, &[]);
    let (mounted, spent) = inject::counted(|| mount(image.clone()).unwrap());
    drop(mounted);
    for n in 0..spent.calls {
        let failing = inject::fail_nth(n);
        let mounted = mount(image.clone());
        drop(failing);
        if let Err(error) = mounted {
            assert_eq!(error, ENOMEM);
        }
    }
}

/// All allocations fail that may: transactions need none of them.
#[test]
fn commits_need_no_memory_that_may_fail() {
    let image = tools::mkfs(256 * MIB, &["-m", "single"]);
    let mounted = mount(image).unwrap();
    let mut last = mounted.txns.committed().get();
    // It opens trees.
    drop(Files::new(&mounted.txns));
    let failing = inject::fail_randomly(1, 1);
    some_commits(&mounted, |generation| last = generation).unwrap();
    drop(failing);
    mounted.txns.close().unwrap();
    assert_eq!(mounted.store.dirty(), 0);
    judge(mounted.device().image(), last);
}

/// An address is taken for a block that cannot be made then: on zones it must be written all the same, or nothing
/// behind it could be.
#[test]
fn an_address_without_a_block_is_no_hole() {
    let image = zoned_image(10, 64 * MIB);
    let root = Key::new(256, Kind::INODE_ITEM, 0);
    let (mut fills, mut kept) = (0, 0);
    for n in 0.. {
        let mounted = mount(image.clone()).unwrap();
        let files = Files::new(&mounted.txns);
        files.create("first", 4096, 4096).unwrap();
        mounted.txns.commit().unwrap();
        let tree = mounted.txns.tree(ObjectId::FS_TREE).unwrap();
        let handle = mounted.txns.start(Units::updates(1)).unwrap();
        mounted.store.refuse_creation(Some(n));
        let changed = tree.update(&handle, &root, |_| ());
        mounted.store.refuse_creation(None);
        drop(handle);
        let failed = changed.is_err();
        if failed {
            assert_eq!(mounted.txns.is_aborted(), None);
            kept += 1;
            files.create("second", 4096, 4096).unwrap();
            mounted.txns.commit().unwrap();
            fills += mounted.txns.space().write_order().statistics().fills;
            drop(files);
            tools::check(&unmount(mounted)).unwrap();
        }
        if !failed {
            break;
        }
    }
    assert!(kept > 0 && fills > 0, "{kept} failures, {fills} fills");
}

/// A change fails before anything has changed: a commit that follows has nothing to write, or all that a superblock
/// leads to.
#[test]
fn a_commit_may_follow_a_change_that_failed() {
    let root = Key::new(256, Kind::INODE_ITEM, 0);
    for image in [zoned_image(10, 64 * MIB), tools::mkfs(256 * MIB, &[])] {
        let mut kept = 0;
        for n in 0.. {
            let mounted = mount(image.clone()).unwrap();
            let tree = mounted.txns.tree(ObjectId::FS_TREE).unwrap();
            let handle = mounted.txns.start(Units::updates(1)).unwrap();
            mounted.store.refuse_creation(Some(n));
            let changed = tree.update(&handle, &root, |_| ());
            mounted.store.refuse_creation(None);
            drop(handle);
            kept += u64::from(changed.is_err());
            tools::check(&unmount(mounted)).unwrap();
            if changed.is_ok() {
                break;
            }
        }
        assert!(kept > 0, "no failure");
    }
}
