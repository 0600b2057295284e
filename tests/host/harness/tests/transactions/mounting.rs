// SPDX-License-Identifier: GPL-2.0
//! What is mounted, how, and what is refused.

use crate::files::Files;
use crate::mounted::{mount, mount_with, unmount};
use engine::disk::raw::RawSuperblock;
use engine::disk::{seal, Bytes, ChecksumKind, ObjectId, SuperblockBytes};
use engine::fs::Changes;
use engine::txn::{Access, Keep, LogTree, Options, Roots, Units};
use engine::volume::Writes;
use harness::checksums::HostChecksums;
use harness::device::zones::ZoneLayout;
use harness::device::Image;
use harness::mount::{devices, Layers, Mounted, FILE};
use harness::tools;
use kernel::prelude::*;
use zerocopy::{FromZeros, IntoBytes};

const MIB: u64 = 1 << 20;
const SUPERBLOCK: u64 = 64 << 10;

fn options(access: Access) -> Options {
    Options::new(access)
}

/// Changes the first superblock.
pub(crate) fn edit(image: &mut Image, change: impl FnOnce(&mut RawSuperblock)) {
    let mut raw = RawSuperblock::new_zeroed();
    image.pages.read(SUPERBLOCK, raw.as_mut_bytes());
    change(&mut raw);
    seal(raw.as_mut_bytes(), ChecksumKind::Crc32c, &HostChecksums);
    image.pages.write(SUPERBLOCK, raw.as_bytes());
}

/// Mounts a volume that was opened for `writes`, and asks for `access`.
fn mount_for(image: Image, writes: Writes, access: Access) -> Result<Layers> {
    Layers::mount_opened(devices(vec![image])?, writes, options(access), Ok)
}

#[test]
fn a_read_only_mount_starts_nothing_and_writes_nothing() {
    let image = tools::mkfs(256 * MIB, &[]);
    let mounted = mount_with(image.clone(), options(Access::ReadOnly)).unwrap();
    assert_eq!(mounted.txns.volume().writes(), Writes::Never);
    assert_eq!(mounted.txns.start(Units::inserts(1)).err(), Some(EROFS));
    assert_eq!(
        mounted.txns.start_freeing(Units::updates(1)).err(),
        Some(EROFS)
    );
    assert_eq!(
        mounted.txns.reserve_data(Bytes::new(4096)).err(),
        Some(EROFS)
    );
    assert!(mounted.txns.tree(ObjectId::FS_TREE).is_ok());
    assert_eq!(mounted.txns.tree(ObjectId::new(300)).err(), Some(ENOENT));
    mounted.txns.maintain().unwrap();
    mounted.txns.commit().unwrap();
    assert!(unmount(mounted).pages == image.pages);
}

/// Who opens a volume may be asked for less than it is opened for.
#[test]
fn options_forbid_what_the_volume_allows() {
    for writes in [Writes::Now, Writes::Later] {
        let image = tools::mkfs(256 * MIB, &[]);
        let mounted = mount_for(image.clone(), writes, Access::ReadOnly).unwrap();
        assert_eq!(mounted.txns.volume().writes(), Writes::Never);
        assert_eq!(mounted.txns.start(Units::inserts(1)).err(), Some(EROFS));
        assert_eq!(mounted.txns.begin_writing(Keep::AsFound), Err(EROFS));
        assert!(unmount(mounted).pages == image.pages);
    }
}

/// What a mount does that becomes read-only: files change no more, and what they did before is committed.
#[test]
fn a_paused_volume_finishes_what_was_begun() {
    let images = vec![tools::mkfs(256 * MIB, &[])];
    let mounted = Mounted::mount(images, Access::ReadWrite).unwrap();
    let root = mounted.fs.inodes().root(&mounted.subvolume).unwrap();
    let give_to = |gid| {
        let changes = Changes {
            gid: Some(gid),
            ..Changes::default()
        };
        mounted.fs.inodes().set_attributes(&root, |_| changes)
    };
    give_to(1).unwrap();
    let before = mounted.txns.committed();
    mounted.volume.pause_writing();
    assert_eq!(give_to(2), Err(EROFS));
    mounted.txns.commit().unwrap();
    assert_ne!(mounted.txns.committed(), before);
    mounted.txns.begin_writing(Keep::AsFound).unwrap();
    give_to(2).unwrap();
}

/// With fewer active zones than a commit may need a volume can be read, and is not written to.
#[test]
fn a_device_of_few_active_zones_is_read_only() {
    let mount = |max_active, options: &[&str], access| {
        let layout = ZoneLayout {
            max_active: Some(max_active),
            ..tools::zone_layout(16 * MIB)
        };
        mount_with(tools::mkfs_zoned(16, options, layout), Options::new(access))
    };
    for options in [&[][..], &["-m", "single"]] {
        for max_active in [4, 7] {
            let refused = mount(max_active, options, Access::ReadWrite);
            assert_eq!(refused.err(), Some(EINVAL), "{max_active} {options:?}");
            drop(
                mount(max_active, options, Access::ReadOnly)
                    .unwrap()
                    .unmount(),
            );
        }
        drop(mount(8, options, Access::ReadWrite).unwrap().unmount());
    }
}

/// Which zones have no chunk cannot be known without the device tree; what is said of it must not end as a warning.
#[test]
fn a_zoned_volume_without_its_device_tree_is_not_written() {
    let image = tools::mkfs_zoned(16, &["-m", "single"], tools::zone_layout(16 * MIB));
    let mounted = mount_with(image, options(Access::ReadOnly)).unwrap();
    let root = mounted.txns.tree(ObjectId::DEV_TREE).unwrap();
    let root = root.root_pointer().addr;
    let at = mounted
        .txns
        .volume()
        .map(root, Bytes::new(4096))
        .unwrap()
        .copies()[0]
        .at;
    let mut image = unmount(mounted);
    image.pages.write(at.get(), &[0x55; 4096]);
    let refused = mount_with(image, options(Access::ReadWrite));
    assert_eq!(refused.err(), Some(EUCLEAN));
}

#[test]
fn a_log_tree_is_refused_unless_it_may_be_ignored() {
    let mut image = tools::mkfs(256 * MIB, &[]);
    edit(&mut image, |raw| raw.log_root = raw.root);
    for access in [Access::ReadOnly, Access::ReadWrite] {
        assert_eq!(
            mount_with(image.clone(), options(access)).err(),
            Some(EROFS)
        );
    }
    let ignoring = |access| Options {
        log_tree: LogTree::Ignore,
        ..options(access)
    };
    let mounted = mount_with(image.clone(), ignoring(Access::ReadOnly)).unwrap();
    assert_eq!(mounted.txns.volume().writes(), Writes::Never);
    assert_eq!(
        mount_with(image, ignoring(Access::ReadWrite)).err(),
        Some(EROFS)
    );
}

#[test]
fn an_unknown_compat_ro_feature_is_read_only() {
    let mut image = tools::mkfs(256 * MIB, &[]);
    edit(&mut image, |raw| {
        raw.compat_ro_flags.set(raw.compat_ro_flags.get() | 1 << 40)
    });
    let mounted = mount_with(image, options(Access::ReadWrite)).unwrap();
    assert_eq!(mounted.txns.volume().writes(), Writes::Never);
}

#[test]
fn backup_roots_are_tried_when_asked_for() {
    let mounted = mount(tools::mkfs(256 * MIB, &["-m", "single"])).unwrap();
    let files = Files::new(&mounted.txns);
    let old = files.create("old", 4096, 4096).unwrap();
    mounted.txns.commit().unwrap();
    let new = files.create("new", 4096, 4096).unwrap();
    drop(files);
    mounted.txns.commit().unwrap();
    let volume = mounted.txns.volume().clone();
    let root = volume.superblock().root;
    let at = volume.map(root, Bytes::new(4096)).unwrap().copies()[0].at;
    let mut image = unmount(mounted);
    image.pages.write(at.get(), &[0x55; 4096]);

    assert!(mount_with(image.clone(), options(Access::ReadOnly)).is_err());
    let backup = Options {
        roots: Roots::OrBackup,
        ..options(Access::ReadOnly)
    };
    let mounted = mount_with(image.clone(), backup.clone()).unwrap();
    let files = Files::new(&mounted.txns);
    assert!(files.has(&old) && !files.has(&new));
    // Nothing is written beside a superblock of a later time: a remount finds that, a mount is refused.
    let tries = Options {
        access: Access::ReadWrite,
        ..backup
    };
    for (writes, error) in [(Writes::Later, None), (Writes::Now, Some(EROFS))] {
        let devices = devices(vec![image.clone()]).unwrap();
        let mounted = Layers::mount_opened(devices, writes, tries.clone(), Ok);
        assert_eq!(mounted.as_ref().err(), error.as_ref(), "{writes:?}");
        if let Ok(mounted) = mounted {
            assert_eq!(mounted.txns.begin_writing(Keep::AsFound), Err(EROFS));
            assert!(unmount(mounted).pages == image.pages);
        }
    }
}

/// All four places in the superblock are used in turn, and the oldest is replaced.
#[test]
fn backup_roots_go_round() {
    let mounted = mount(tools::mkfs(256 * MIB, &[])).unwrap();
    let files = Files::new(&mounted.txns);
    for n in 0..6 {
        files.create(&format!("f{n}"), 0, 4096).unwrap();
        mounted.txns.commit().unwrap();
    }
    let last = mounted.txns.committed().get();
    let volume = mounted.txns.volume();
    let backups = volume.superblocks().read(SuperblockBytes::backups);
    let mut kept = backups.map(|backup| backup.root.generation.get());
    kept.sort_unstable();
    assert_eq!(kept, [last - 3, last - 2, last - 1, last]);
}

/// Quotas are not counted here: whoever may write says so before `btrfs check` takes the counts for wrong.
#[test]
fn quotas_are_marked_before_the_first_change() {
    let image = tools::mkfs(256 * MIB, &["-O", "quota"]);
    let is_marked = |image: &Image| {
        let dump = tools::dump_tree(image, &["-t", "quota"]).unwrap();
        assert!(dump.contains("QGROUP_STATUS"));
        dump.contains("INCONSISTENT")
    };
    assert!(!is_marked(&image));
    let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
    mounted.txns.begin_writing(Keep::AsFound).unwrap();
    let root = mounted.fs.inodes().root(&mounted.subvolume).unwrap();
    mounted.fs.names().create(&root, b"file", &FILE).unwrap();
    drop(root);
    let image = mounted.unmount().unwrap().remove(0);
    assert!(is_marked(&image));
    tools::check(&image).unwrap();
    // And once is enough.
    let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
    let before = mounted.txns.committed();
    mounted.txns.begin_writing(Keep::AsFound).unwrap();
    mounted.txns.commit().unwrap();
    assert_eq!(mounted.txns.committed(), before);
}
