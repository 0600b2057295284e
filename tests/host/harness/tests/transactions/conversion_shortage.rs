// SPDX-License-Identifier: GPL-2.0
//! From one way to keep free space to another where others have all space for it.

use crate::conversion::{features, full, has_no_tree, has_tree, zoned, zoned_without, MIB};
use crate::files::{File, Files};
use crate::hooked::mount_hooked;
use crate::mounted::{mount, unmount};
use engine::disk::{Bytes, CompatRo};
use engine::space::{Class, Reservation, Space, Urgency};
use engine::txn::Keep;
use harness::device::Image;
use harness::tools;
use kernel::prelude::ENOSPC;
use kernel::print::Capture;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

/// All metadata that there is for what frees space.
fn take_all(space: &Space) -> Vec<Reservation> {
    let take = |bytes| {
        let urgency = Urgency::Freeing;
        std::iter::from_fn(move || {
            space
                .reserve(Class::Metadata, Bytes::new(bytes), urgency)
                .ok()
        })
    };
    [MIB, 65536, 4096].into_iter().flat_map(take).collect()
}

/// The next mount writes.
fn can_be_written(image: Image, all: &[File]) {
    let mounted = mount(image).unwrap();
    let files = Files::new(&mounted.txns);
    let gone = all.iter().step_by(7);
    gone.for_each(|file| files.remove(file).unwrap());
    drop(files);
    tools::check(&unmount(mounted)).unwrap();
}

/// Where not even the first step has space nothing is changed, and a tree is as right as before.
#[test]
fn a_remount_without_space_changes_nothing() {
    let (image, all) = full(zoned(24, 16 * MIB));
    let mounted = mount(image).unwrap();
    mounted.volume.pause_writing();
    mounted.txns.doubt_free_space(Keep::AsFound).unwrap();
    let taken = take_all(mounted.txns.space());
    assert_eq!(mounted.txns.begin_writing(Keep::AsFound), Err(ENOSPC));
    assert_eq!(mounted.txns.is_aborted(), None);
    let now = mounted.volume.superblock().compat_ro;
    assert!(now.contains(CompatRo::FREE_SPACE_TREE_VALID));
    drop(taken);
    let log = Capture::new();
    mounted.txns.begin_writing(Keep::AsFound).unwrap();
    assert_eq!(log.lines(), Vec::<String>::new());
    let image = unmount(mounted);
    has_tree(&image);
    can_be_written(image, &all);
}

/// Where later steps have none the part of a tree goes again: with it the next mount would get no further.
#[test]
fn a_part_of_a_tree_goes_again() {
    for (image, keep) in [
        (zoned_without(40, 8 * MIB), Keep::InTree),
        (zoned(40, 8 * MIB), Keep::AsFound),
    ] {
        let (image, all) = full(image);
        let (mounted, hooked) = mount_hooked(image);
        mounted.volume.pause_writing();
        if keep == Keep::AsFound {
            mounted.txns.doubt_free_space(keep).unwrap();
        }
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (takes, space) = (taken.clone(), mounted.txns.space().clone());
        hooked.hook(move || *takes.lock().unwrap() = take_all(&space));
        assert_eq!(mounted.txns.begin_writing(keep), Err(ENOSPC));
        assert_eq!(mounted.txns.is_aborted(), None);
        assert!(!taken.lock().unwrap().is_empty());
        assert_eq!(features(&mounted.device().image()), 0);
        taken.lock().unwrap().clear();
        let image = unmount(mounted);
        has_no_tree(&image);
        can_be_written(image, &all);
    }
}
