// SPDX-License-Identifier: GPL-2.0
//! A free space tree that must be valid in each superblock, as there is a block group tree, is made anew in one transaction.

use crate::contradictions::{with_wrong_use, with_wrong_use_in};
use crate::conversion::{
    can_be_emptied, doubting, features, full, goes_on, has_tree, made_wrong, mount_to_write_later,
    options, stays, tells, used, MIB, WITH_BOTH,
};
use crate::mounted::{mount, mount_with, unmount, zoned_image};
use engine::disk::{BlockGroupFlags, CompatRo};
use engine::txn::{Access, Keep};
use harness::device::{Fate, Image, Recorder};
use harness::mount::{devices, Layers};
use harness::random::Random;
use harness::tools;
use kernel::prelude::{ENOSPC, EUCLEAN};
use kernel::print::Capture;
use std::vec::Vec;

/// Where a block group tree needs a valid one, a tree that is not believed is made anew in one transaction.
#[test]
fn a_tree_is_made_anew_beside_a_block_group_tree() {
    for extra in [&["-n", "16384"], &["-n", "4096"]] {
        let image = tools::mkfs(256 * MIB, &[WITH_BOTH, extra].concat());
        let (image, kept) = used(image);
        for (image, later) in [(image.clone(), false), (made_wrong(image), true)] {
            for later in [false, later] {
                let log = Capture::new();
                let mounted = match later {
                    false => mount_with(image.clone(), doubting(Keep::AsFound)).unwrap(),
                    true => {
                        let mounted = mount_to_write_later(image.clone(), options(Keep::AsFound));
                        mounted.txns.doubt_free_space(Keep::AsFound).unwrap();
                        assert!(mounted.device().image().pages == image.pages);
                        mounted.txns.begin_writing(Keep::AsFound).unwrap();
                        mounted
                    }
                };
                assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
                tells(&log, "rebuilding free space tree");
                has_tree(&mounted.device().after_power_cut(&mut Random::new(1)));
                let image = goes_on(mounted, &kept);
                has_tree(&image);
                stays(&image);
            }
        }
    }
}

/// Who only reads believes it, and asks for nothing to be done later.
#[test]
fn who_only_reads_beside_a_block_group_tree_changes_nothing() {
    let (image, _) = used(tools::mkfs(256 * MIB, WITH_BOTH));
    let mut never = doubting(Keep::AsFound);
    never.access = Access::ReadOnly;
    assert!(unmount(mount_with(image.clone(), never).unwrap()).pages == image.pages);
    let mounted = mount_to_write_later(image.clone(), doubting(Keep::AsFound));
    assert!(mounted.device().image().pages == image.pages);
    let log = Capture::new();
    mounted.txns.begin_writing(Keep::AsFound).unwrap();
    assert_eq!(log.lines(), Vec::<String>::new());
    has_tree(&unmount(mounted));
}

/// Beside a block group tree, too; refused, it is as valid as before.
#[test]
fn a_full_volume_gets_its_tree_anew_or_keeps_it() {
    let mut made = 0;
    for image in [
        tools::mkfs(128 * MIB, WITH_BOTH),
        tools::mkfs(256 * MIB, &[WITH_BOTH, &["-n", "65536"]].concat()),
        zoned_image(24, 16 * MIB),
    ] {
        let (image, all) = full(image);
        let devices = devices(vec![image]).unwrap();
        let device = devices[0].clone();
        match Layers::mount(devices, doubting(Keep::AsFound), Ok) {
            Ok(mounted) => {
                made += 1;
                unmount(mounted);
            }
            Err(error) => assert_eq!(error, ENOSPC),
        }
        has_tree(&device.image());
        let mounted = mount(device.image()).unwrap();
        can_be_emptied(mounted, &all);
    }
    assert!(made > 1, "{made}");
}

/// No free space tree is made, or made anew at once, where it is not known of a group where it is free, also where that is found only
/// when the tree is asked for. Nothing is changed.
#[test]
fn a_group_of_which_more_is_used_gets_no_tree() {
    let mut none = with_wrong_use(BlockGroupFlags::DATA);
    tools::edit_superblock(&mut none, |raw| {
        raw.cache_generation.set(0);
        raw.compat_ro_flags.set(CompatRo::FREE_SPACE_TREE.get());
    });
    let beside = with_wrong_use_in(&["-O", "block-group-tree"], BlockGroupFlags::DATA);
    for image in [none, beside] {
        let mounted = mount_to_write_later(image.clone(), options(Keep::AsFound));
        mounted.txns.doubt_free_space(Keep::InTree).unwrap();
        let log = Capture::new();
        assert_eq!(mounted.txns.begin_writing(Keep::InTree), Err(EUCLEAN));
        let line = "no free space tree can be made: block group contradicts itself";
        assert!(log.contains(line), "{:?}", log.lines());
        assert!(mounted.device().image().pages == image.pages);
    }
}

/// What the free space tree of an image says.
fn said(image: &Image) -> String {
    let dumped = tools::dump_tree(image, &["-t", "free-space"]).unwrap();
    let said = dumped.lines().filter(|line| !line.contains("generation"));
    said.collect::<Vec<_>>().join("\n")
}

/// Beside a block group tree each superblock says that the tree is valid: it is the one of before, word for word, or the new one,
/// which is right. C would not mount anything else.
#[test]
fn a_tree_that_must_be_valid_is_old_or_new_wherever_the_power_is_cut() {
    let many = full(zoned_image(40, 8 * MIB)).0;
    let large = tools::mkfs(256 * MIB, &[WITH_BOTH, &["-n", "4096"]].concat());
    for image in [made_wrong(used(large).0), many] {
        let before = said(&image);
        let devices = devices(vec![image.clone()]).unwrap();
        let recorder = Recorder::default();
        devices[0].record(&recorder, 0);
        drop(Layers::mount(devices, doubting(Keep::AsFound), Ok).unwrap());
        let mut replay = recorder.replay(vec![image]);
        let (mut random, mut old, mut new) = (Random::new(5), 0, 0);
        while replay.step() {
            if !replay.is_after_change() {
                continue;
            }
            let fate = *random.choose(&Fate::ALL);
            let cut = replay.power_cut_with(fate, &mut random).remove(0);
            if said(&cut) == before {
                assert_ne!(features(&cut), CompatRo::FREE_SPACE_TREE.get());
                old += 1;
            } else {
                has_tree(&cut);
                new += 1;
            }
        }
        assert!(old > 5 && new > 0, "{old} {new}");
    }
}
