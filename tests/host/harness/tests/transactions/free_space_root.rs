// SPDX-License-Identifier: GPL-2.0
//! A superblock and a root item that do not agree on a free space tree.

use crate::contradictions::{first_of, insert, remove, rewritten};
use crate::conversion::{has_no_tree, has_tree, MIB, OLD_FORMAT, WITH_TREE};
use crate::mounted::{mount_with, unmount};
use engine::disk::{CompatRo, Key, Kind, ObjectId};
use engine::txn::{Access, Keep, Options, TreeTrust};
use engine::volume::Writes;
use harness::device::Image;
use harness::mount::{devices, Layers};
use harness::tools;
use kernel::prelude::EUCLEAN;
use kernel::print::Capture;

/// A volume whose tree of free space is where `offset` says, if it has one, with this of the superblock's flags.
fn with_root_at(offset: Option<u64>, flags: u64) -> Image {
    let flagged = |image: &mut Image, flags| {
        tools::edit_superblock(image, |raw| {
            raw.cache_generation.set(0);
            raw.compat_ro_flags.set(flags);
        });
    };
    let Some(offset) = offset else {
        let mut image = tools::mkfs(256 * MIB, OLD_FORMAT);
        flagged(&mut image, flags);
        return image;
    };
    let mut image = tools::mkfs(256 * MIB, WITH_TREE);
    flagged(&mut image, 0);
    let mut image = rewritten(image, |mounted, handle| {
        let key = Key::new(ObjectId::FREE_SPACE_TREE.get(), Kind::ROOT_ITEM, 0);
        let roots = ObjectId::ROOT_TREE;
        let (_, bytes) = first_of(mounted, roots, Kind::ROOT_ITEM, key);
        remove(mounted, handle, roots, &key);
        insert(mounted, handle, roots, &Key { offset, ..key }, &bytes);
    });
    flagged(&mut image, flags);
    image
}

/// A root item of a free space tree of which the superblock does not know, or that is not where C looks for it: nothing is changed.
#[test]
fn a_root_item_of_another_free_space_tree() {
    let stale = CompatRo::FREE_SPACE_TREE.get();
    for (offset, flags, keep) in [
        (0, 0, Keep::InTree),
        (5, 0, Keep::InTree),
        (5, stale, Keep::AsFound),
        (5, stale, Keep::InTree),
        (5, stale, Keep::Nowhere),
    ] {
        let image = with_root_at(Some(offset), flags);
        let mut options = Options::new(Access::ReadWrite);
        options.keep = keep;
        options.free_space = TreeTrust::Doubted;
        let log = Capture::new();
        let mounted = mount_with(image.clone(), options);
        assert_eq!(mounted.err(), Some(EUCLEAN), "{offset} {flags} {keep:?}");
        assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
        assert!(log.contains("free space tree"), "{:?}", log.lines());
        let devices = devices(vec![image.clone()]).unwrap();
        let options = Options::new(Access::ReadWrite);
        let mounted = Layers::mount_opened(devices, Writes::Later, options, Ok).unwrap();
        assert_eq!(mounted.txns.begin_writing(keep), Err(EUCLEAN));
        assert_eq!(mounted.txns.is_aborted(), None);
        assert!(mounted.device().image().pages == image.pages);
    }
}

/// A tree that is not valid and not there is made, or not.
#[test]
fn a_free_space_tree_that_is_not_there() {
    for keep in [Keep::AsFound, Keep::InTree, Keep::Nowhere] {
        let image = with_root_at(None, CompatRo::FREE_SPACE_TREE.get());
        let is_right = |image: &Image| match keep {
            Keep::Nowhere => has_no_tree(image),
            _ => has_tree(image),
        };
        let mut options = Options::new(Access::ReadWrite);
        options.keep = keep;
        options.free_space = TreeTrust::Doubted;
        is_right(&unmount(mount_with(image.clone(), options).unwrap()));
        let devices = devices(vec![image]).unwrap();
        let options = Options::new(Access::ReadWrite);
        let mounted = Layers::mount_opened(devices, Writes::Later, options, Ok).unwrap();
        mounted.txns.begin_writing(keep).unwrap();
        is_right(&unmount(mounted));
    }
}
