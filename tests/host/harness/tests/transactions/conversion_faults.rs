// SPDX-License-Identifier: GPL-2.0
//! From one way to keep free space to another while the power goes, the device fails, or memory does.

use crate::conversion::{
    doubting, features, full, has_no_tree, has_tree, options, superblock, used, without_word,
    zoned, zoned_without, MIB, OLD_FORMAT, WITH_BOTH, WITH_TREE,
};
use crate::files::Files;
use crate::mounted::{mount, mount_with, unmount};
use crate::old_caches::{as_c_catches_up, believed, with_caches};
use core::ops::ControlFlow;
use engine::disk::{CompatRo, Incompat, Key, ObjectId};
use engine::txn::{Keep, Options};
use engine::volume::Writes;
use harness::device::faults::{Extent, Request};
use harness::device::{Fate, Image, Recorder};
use harness::mount::{devices, Layers};
use harness::random::Random;
use harness::tools;
use kernel::alloc::inject;
use kernel::prelude::{EIO, ENOMEM, EROFS};
use std::vec::Vec;

/// A conversion: the volume, and the options of the mount.
fn conversions() -> Vec<(Image, Options)> {
    let old = tools::mkfs(128 * MIB, OLD_FORMAT);
    let cached = with_caches(used(old.clone()).0, |_, _, _| {});
    let none = without_word(used(old).0);
    let tree = used(tools::mkfs(128 * MIB, WITH_TREE)).0;
    let both = used(tools::mkfs(128 * MIB, WITH_BOTH)).0;
    vec![
        (cached, options(Keep::InTree)),
        (none, options(Keep::InTree)),
        (tree.clone(), doubting(Keep::Nowhere)),
        (tree.clone(), doubting(Keep::InCaches)),
        (tree, doubting(Keep::AsFound)),
        (both, doubting(Keep::AsFound)),
    ]
}

/// Those that take more than one transaction, as there are many block groups.
fn long_ones() -> [(Image, Options); 2] {
    let (none, _) = full(zoned_without(40, 8 * MIB));
    let (tree, _) = full(zoned(40, 8 * MIB));
    [
        (none, options(Keep::InTree)),
        (tree, doubting(Keep::AsFound)),
    ]
}

/// What is on the disk is believed by nobody, or right.
fn is_whole(image: &Image) {
    let features = features(image);
    if features & CompatRo::FREE_SPACE_TREE.get() == 0 {
        assert_eq!(features, 0);
    }
    if features != CompatRo::FREE_SPACE_TREE.get() {
        tools::check(image).unwrap();
    }
    if superblock(image).incompat_flags.get() & Incompat::ZONED.get() != 0 {
        return;
    }
    let mut seen_by_c = image.clone();
    as_c_catches_up(&mut seen_by_c);
    assert!(believed(&seen_by_c).iter().all(|(_, right)| *right));
}

/// Wherever the power is cut the volume is as it was, as it is wanted, or has a tree that is not valid, and the next mount goes on.
#[test]
fn the_power_is_cut_meanwhile() {
    let all = conversions().into_iter().chain(long_ones());
    let mut all_half_way = 0;
    for (image, wanted) in all {
        let devices = devices(vec![image.clone()]).unwrap();
        let recorder = Recorder::default();
        devices[0].record(&recorder, 0);
        drop(Layers::mount(devices, wanted.clone(), Ok).unwrap());
        let mut replay = recorder.replay(vec![image.clone()]);
        let (mut random, mut cuts, mut half_way) = (Random::new(3), 0, 0);
        while replay.step() {
            if !replay.is_after_change() {
                continue;
            }
            let fate = *random.choose(&Fate::ALL);
            let cut = replay.power_cut_with(fate, &mut random).remove(0);
            is_whole(&cut);
            half_way += usize::from(features(&cut) == CompatRo::FREE_SPACE_TREE.get());
            let found = unmount(mount(cut.clone()).unwrap());
            is_whole(&found);
            assert_ne!(features(&found), CompatRo::FREE_SPACE_TREE.get());
            // Asked for again it is done. Where there is no tree any more there is none to be believed.
            let again = unmount(mount_with(cut, wanted.clone()).unwrap());
            is_whole(&again);
            match wanted.keep {
                Keep::InTree | Keep::AsFound => has_tree(&again),
                Keep::InCaches | Keep::Nowhere => has_no_tree(&again),
            }
            cuts += 1;
        }
        assert!(cuts > 2, "{cuts}");
        all_half_way += half_way;
    }
    assert!(all_half_way > 5, "{all_half_way}");
}

/// The device fails at any write, or flush: the volume stays one that can be mounted.
#[test]
fn a_device_fails_meanwhile() {
    for (image, wanted) in conversions() {
        for request in [Request::Write, Request::Flush] {
            for n in 0.. {
                let devices = devices(vec![image.clone()]).unwrap();
                let device = devices[0].clone();
                device.faults(|faults| faults.fail_nth(request, n, Extent::FromThen));
                let mounted = Layers::mount(devices, wanted.clone(), Ok);
                let untouched = device.faults(|faults| faults.seen(request)) <= n;
                match mounted {
                    Err(error) => assert!(error == EIO || error == EROFS, "{error:?}"),
                    Ok(_) => assert!(untouched || n > 0),
                }
                let left = device.image();
                is_whole(&left);
                is_whole(&unmount(mount(left).unwrap()));
                if untouched {
                    break;
                }
            }
        }
    }
}

/// A mount that a remount could not make writable goes on, and finds what the dead transaction has made of the trees.
#[test]
fn who_reads_goes_on_when_a_remount_fails() {
    // With a tree of trees of more than its root.
    let format = [OLD_FORMAT, &["-n", "4096"]].concat();
    let (image, kept) = used(tools::mkfs(128 * MIB, &format));
    let image = with_caches(image, |_, _, _| {});
    let mut failed = 0;
    for n in 0.. {
        let devices = devices(vec![image.clone()]).unwrap();
        let device = devices[0].clone();
        let as_found = options(Keep::AsFound);
        let mounted = Layers::mount_opened(devices, Writes::Later, as_found, Ok).unwrap();
        device.faults(|faults| faults.fail_nth(Request::Write, n, Extent::FromThen));
        if mounted.txns.begin_writing(Keep::InTree).is_ok() {
            break;
        }
        failed += 1;
        let trees = mounted.txns.required_tree(ObjectId::ROOT_TREE).unwrap();
        assert!(trees.root_pointer().level > 0);
        let mut items = 0;
        let count = |_, _: &[u8]| {
            items += 1;
            Ok(ControlFlow::Continue(()))
        };
        trees.scan(Key::MIN..=Key::MAX, count).unwrap();
        assert!(items > 5, "{items}");
        let files = Files::new(&mounted.txns);
        assert!(kept.iter().all(|file| files.has(file)));
        drop(files);
        assert_eq!(mounted.txns.close(), Err(EROFS));
        let left = device.image();
        is_whole(&left);
        is_whole(&unmount(mount(left).unwrap()));
    }
    assert!(failed > 2, "{failed}");
}

#[test]
fn memory_fails_meanwhile() {
    for (image, wanted) in conversions() {
        let run = || mount_with(image.clone(), wanted.clone());
        let (mounted, spent) = inject::counted(|| run().unwrap());
        drop(mounted);
        let every = (spent.calls / 150).max(1);
        for n in (0..spent.calls).step_by(every as usize) {
            let devices = devices(vec![image.clone()]).unwrap();
            let device = devices[0].clone();
            let failing = inject::fail_nth(n);
            let mounted = Layers::mount(devices, wanted.clone(), Ok);
            drop(failing);
            if let Err(error) = mounted {
                assert_eq!(error, ENOMEM);
            }
            let left = device.image();
            is_whole(&left);
            is_whole(&unmount(mount(left).unwrap()));
        }
    }
}
