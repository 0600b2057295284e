// SPDX-License-Identifier: GPL-2.0
//! When a subvolume says that it changed: with each inode of it that is made or written, and with nothing else, as with C.

use engine::disk::{
    Bytes, Generation, Key, Kind, ObjectId, RootExtension, RootItem, Timespec, Uuid,
};
use engine::fs::{Changes, Inode, NewSubvolume, Times, Topmost, XattrMode};
use engine::txn::{Access, Clock, Options, Units};
use harness::device::Image;
use harness::mount::{devices, Mounted, FILE, NOW};
use harness::tools;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const MIB: u64 = 1 << 20;

/// A clock that goes a second each time it is looked at.
struct Seconds(AtomicI64);

impl Clock for Seconds {
    fn now_ns(&self) -> u64 {
        0
    }

    fn real_time(&self) -> Timespec {
        let sec = self.0.fetch_add(1, Ordering::Relaxed);
        Timespec { sec, nsec: 5 }
    }
}

/// A mount with such a clock.
struct Timed {
    mounted: Mounted,
    clock: Arc<Seconds>,
    top: Arc<Inode>,
}

impl Timed {
    fn mount(image: Image) -> Self {
        let clock = Arc::new(Seconds(AtomicI64::new(1000)), GFP_KERNEL).unwrap();
        let mut options = Options::new(Access::ReadWrite);
        let of_mount: Arc<dyn Clock> = clock.clone();
        options.clock = Some(of_mount);
        let mounted = Mounted::mount_with(devices(vec![image]).unwrap(), options).unwrap();
        let top = mounted.fs.inodes().root(&mounted.subvolume).unwrap();
        Self {
            mounted,
            clock,
            top,
        }
    }

    fn extension(&self, id: ObjectId) -> RootExtension {
        let root = self
            .mounted
            .txns
            .required_tree(ObjectId::ROOT_TREE)
            .unwrap();
        let last = Key::new(id.get(), Kind::ROOT_ITEM, u64::MAX);
        let item = root.floor(&last, |_, bytes| RootItem::parse(bytes).unwrap());
        item.unwrap().unwrap().extended.unwrap()
    }

    /// What a subvolume says after a commit of what `change` did: in which transaction it changed and when; and which
    /// transaction that was, and when the clock was looked at last.
    fn after(&self, id: ObjectId, change: impl FnOnce()) -> [(Generation, i64); 2] {
        change();
        let last = self.clock.0.load(Ordering::Relaxed) - 1;
        self.mounted.txns.commit().unwrap();
        let found = self.extension(id);
        let committed = self.mounted.txns.committed();
        [(found.ctransid, found.ctime.sec), (committed, last)]
    }

    fn making<'a>(&'a self, name: &'a [u8], uuid: u8) -> NewSubvolume<'a> {
        NewSubvolume {
            dir: &self.top,
            name,
            uuid: Uuid([uuid; 16]),
            now: NOW,
        }
    }
}

#[test]
fn a_subvolume_changes_with_its_inodes() {
    let timed = Timed::mount(tools::mkfs(256 * MIB, &[]));
    let (fs, top) = (&timed.mounted.fs, &timed.top);
    let changed = |change: &dyn Fn()| {
        let [found, expected] = timed.after(ObjectId::FS_TREE, change);
        assert_eq!(found, expected);
    };
    changed(&|| drop(fs.names().create(top, b"file", &FILE).unwrap()));
    let file = fs.names().create(top, b"other", &FILE).unwrap();
    changed(&|| fs.names().link(top, b"link", &file, NOW).unwrap());
    let mode = Changes {
        mode: Some(0o100600),
        ..Changes::default()
    };
    changed(&|| fs.inodes().set_attributes(&file, |_| mode).unwrap());
    changed(&|| {
        let set = fs
            .inodes()
            .set_xattr(&file, b"user.a", b"b", XattrMode::Any, NOW);
        set.unwrap();
    });
    changed(&|| {
        let atime = Some(NOW);
        file.note_times(&Times {
            atime,
            ..Times::default()
        });
        fs.inodes().write_attributes(&file).unwrap();
    });
    changed(&|| {
        fs.file_space()
            .truncate(&file, Bytes::new(4096), NOW)
            .unwrap()
    });
    changed(&|| fs.names().unlink(top, b"link", &file, NOW).unwrap());
}

/// Its blocks are copied, and no inode is written.
#[test]
fn a_tree_that_is_rewritten_did_not_change() {
    let timed = Timed::mount(tools::mkfs(256 * MIB, &[]));
    let (fs, top) = (&timed.mounted.fs, &timed.top);
    drop(fs.names().create(top, b"file", &FILE).unwrap());
    timed.mounted.txns.commit().unwrap();
    let before = timed.extension(ObjectId::FS_TREE);
    let tree = timed.mounted.txns.tree(ObjectId::FS_TREE).unwrap();
    let handle = timed.mounted.txns.start(Units::updates(1)).unwrap();
    let key = Key::new(256, Kind::INODE_ITEM, 0);
    tree.update(&handle, &key, |_| ()).unwrap();
    handle.commit().unwrap();
    assert_eq!(
        tree.root_pointer().generation,
        timed.mounted.txns.committed()
    );
    assert_eq!(timed.extension(ObjectId::FS_TREE), before);
}

/// A snapshot changed when its source did. The subvolume that gets the name changes, in the commit that had written its
/// root item before, and no other does.
#[test]
fn a_subvolume_is_made_in_another() {
    const TOPMOST: Topmost = Topmost {
        mode: 0o040755,
        uid: 1,
        gid: 2,
    };
    let timed = Timed::mount(tools::mkfs(256 * MIB, &[]));
    let subvolumes = timed.mounted.fs.subvolumes();
    let empty = subvolumes
        .create(&timed.making(b"empty", 1), &TOPMOST)
        .unwrap();
    let of_empty = timed.extension(empty);
    let made = timed.mounted.txns.committed();
    assert_eq!((of_empty.ctransid, of_empty.otransid), (made, made));
    assert_eq!((of_empty.ctime, of_empty.otime), (NOW, NOW));

    let source = subvolumes.get(empty).unwrap();
    let inodes = timed.mounted.fs.inodes();
    let dir = inodes.root(&source).unwrap();
    drop(
        timed
            .mounted
            .fs
            .names()
            .create(&dir, b"file", &FILE)
            .unwrap(),
    );
    timed.mounted.txns.commit().unwrap();
    let of_source = timed.extension(empty);
    assert!(of_source.ctransid > made);
    let mut copy = None;
    let [top, expected] = timed.after(ObjectId::FS_TREE, || {
        copy = subvolumes.snapshot(&source, &timed.making(b"copy", 2)).ok();
    });
    assert_eq!(top, expected);
    let of_copy = timed.extension(copy.unwrap());
    assert_eq!(of_copy.ctransid, of_source.ctransid);
    assert_eq!(of_copy.ctime, of_source.ctime);
    assert_eq!((of_copy.otransid, of_copy.otime), (expected.0, NOW));
    assert_eq!(of_copy.parent_uuid, of_source.uuid);
    assert_eq!(timed.extension(empty), of_source);

    // All three in one transaction: the source is its own parent.
    let [top, expected] = timed.after(ObjectId::FS_TREE, || {
        drop(
            timed
                .mounted
                .fs
                .names()
                .create(&timed.top, b"file", &FILE)
                .unwrap(),
        );
        copy = subvolumes
            .snapshot(&timed.mounted.subvolume, &timed.making(b"own", 3))
            .ok();
    });
    assert_eq!(top, expected);
    let of_copy = timed.extension(copy.unwrap());
    assert_eq!(of_copy.ctransid, expected.0);
    assert!(of_copy.ctime.sec < expected.1);
    tools::check(&timed.mounted.images()[0]).unwrap();
}
