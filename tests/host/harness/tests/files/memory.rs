// SPDX-License-Identifier: GPL-2.0
//! Memory that runs out: an operation is done, or refused and then nothing has changed; a transaction is never given up.
//! And memory that is given back.

use crate::files::{Files, SECTOR};
use engine::disk::{Bytes, FileOffset};
use engine::fs::{Inode, Rename, RenameMode, Side, XattrMode};
use harness::kinds::DeviceKind;
use harness::mount::{self, Access, Mounted};
use harness::mount::{FILE, NOW};
use harness::punch::PunchHole;
use harness::tools;
use kernel::alloc::inject;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::collections::BTreeMap;

const MIB: u64 = 1 << 20;

/// What a user sees of the directory and of the file.
fn seen(files: &Files, inode: &Inode) -> impl PartialEq + core::fmt::Debug {
    let size = inode.attributes().size;
    (
        files.root.attributes(),
        files.entries(&files.root).unwrap(),
        inode.attributes(),
        files.read(inode, 0, size.get()).unwrap(),
        files
            .fs
            .inodes()
            .get_xattr(inode, b"user.a")
            .unwrap()
            .map(|value| value.to_vec()),
    )
}

/// How often an operation was refused.
#[derive(Debug, Default)]
struct Refused(BTreeMap<&'static str, u64>);

impl Refused {
    /// Lets the n-th allocation of an operation that may fail do so, for every n.
    fn run(
        &mut self,
        (files, inode): (&Files, &Inode),
        what: &'static str,
        call: &mut dyn FnMut() -> Result,
    ) {
        for n in 0.. {
            files.mounted.store.shrink();
            let before = seen(files, inode);
            let injection = inject::fail_nth(n);
            let result = call();
            drop(injection);
            let aborted = files.txns().is_aborted();
            assert_eq!(aborted, None, "{what} {n}: {result:?}");
            if result.is_ok() {
                return;
            }
            assert_eq!(result, Err(ENOMEM), "{what} {n}");
            assert_eq!(
                seen(files, inode),
                before,
                "{what} {n} has changed something"
            );
            *self.0.entry(what).or_default() += 1;
        }
    }
}

/// One operation of each kind. An allocation that fails costs a refusal at most, of which nothing is left.
#[test]
fn without_memory_nothing_changes() {
    let files = Files::mount(tools::mkfs(256 * MIB, &["-n", "4096"]));
    let fs = &files.fs;
    let mut refused = Refused::default();
    for n in 0..40 {
        let name = |what: &str| format!("{what}{n}").into_bytes();
        let inode = files.file(&name("f"));
        let mut run = |what, call: &mut dyn FnMut() -> Result| {
            refused.run((&files, &inode), what, call);
        };
        run("create", &mut || {
            fs.names()
                .create(&files.root, &name("new"), &FILE)
                .map(drop)
        });
        run("write", &mut || {
            files.write_sectors(&inode, 0, &[1; 2 * SECTOR as usize], 5000)
        });
        run("overwrite", &mut || {
            files.write_sectors(&inode, 0, &[2; SECTOR as usize], 4096)
        });
        run("xattr", &mut || {
            fs.inodes()
                .set_xattr(&inode, b"user.a", &[7; 100], XattrMode::Any, NOW)
        });
        run("link", &mut || {
            fs.names().link(&files.root, &name("l"), &inode, NOW)
        });
        run("rename", &mut || {
            let (from, to) = (name("f"), name("r"));
            fs.names().rename(&Rename {
                from: Side {
                    dir: &files.root,
                    name: &from,
                },
                to: Side {
                    dir: &files.root,
                    name: &to,
                },
                moved: &inode,
                mode: RenameMode::Move {
                    replaced: None,
                    whiteout: None,
                },
                now: &NOW,
            })
        });
        run("report", &mut || {
            let start = FileOffset::new(0);
            fs.mappings()
                .report(&inode, start, Bytes::new(SECTOR))
                .map(drop)
        });
        run("punch", &mut || {
            let second = FileOffset::new(SECTOR);
            fs.file_space()
                .punch_hole(&inode, second, Bytes::new(SECTOR), NOW)
        });
        run("truncate", &mut || {
            fs.file_space().truncate(&inode, Bytes::new(10), NOW)
        });
        if n % 8 == 7 {
            run("commit", &mut || files.txns().commit());
        }
    }
    println!("{refused:?}");
    assert!(
        refused.0["xattr"] > 0 && refused.0["write"] > 0,
        "{refused:?}"
    );
    assert!(!refused.0.contains_key("commit"), "{refused:?}");
    tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
}

/// What was promised is kept: bytes on the device get into the file, and transactions to the disk, without any memory.
#[test]
fn a_promise_is_kept_without_memory() {
    for kind in DeviceKind::ALL {
        let files = Files::mount(kind.image(0));
        let data = [7; 40 * SECTOR as usize];
        for round in 0..20_u64 {
            let inode = files.file(format!("f{round}").as_bytes());
            let at = FileOffset::new(0);
            let mut space = files
                .fs
                .data()
                .reserve_write(&inode, at, Bytes::new(40 * SECTOR))
                .unwrap();
            let written = files
                .to_device(&inode, 0, &data, 40 * SECTOR, &mut space)
                .unwrap();
            let len = written.extent.get().len;
            files.mounted.store.shrink();
            let injection = inject::fail_randomly(round, 1);
            files.fs.data().finish_ordered(&inode, written).unwrap();
            files.txns().commit().unwrap();
            drop(injection);
            assert_eq!(
                files.read(&inode, 0, len.get()).unwrap(),
                data[..len.get() as usize]
            );
        }
        let image = files.unmount();
        tools::check_with(&image, &["--check-data-csum"]).unwrap();
    }
}

/// A volume is shut down without memory, too, and what was read can still be read.
#[test]
fn a_volume_is_shut_down_without_memory() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = files.file(b"f");
    files
        .write_sectors(&inode, 0, &[7; SECTOR as usize], SECTOR)
        .unwrap();
    let injection = inject::fail_randomly(1, 1);
    files.txns().abort(EIO);
    drop(injection);
    assert_eq!(files.txns().is_aborted(), Some(EIO));
    let start = FileOffset::new(0);
    let refused = [
        files
            .fs
            .file_space()
            .punch_hole(&inode, start, Bytes::new(SECTOR), NOW),
        files
            .fs
            .data()
            .reserve_write(&inode, start, Bytes::new(SECTOR))
            .map(drop),
    ];
    assert_eq!(refused, [Err(EROFS); 2]);
    assert_eq!(files.read(&inode, 0, SECTOR).unwrap(), [7; SECTOR as usize]);
    files
        .fs
        .mappings()
        .report(&inode, start, Bytes::new(SECTOR))
        .unwrap();
}

#[test]
fn an_unmounted_volume_leaves_nothing_behind() {
    for kind in DeviceKind::ALL {
        let devices = mount::devices(std::vec![kind.image(0)]).unwrap();
        let mounted = Mounted::mount_on(devices.clone(), Access::ReadWrite).unwrap();
        assert!(Arc::references(&devices[0]) > 1);
        mounted.unmount().unwrap();
        assert_eq!(Arc::references(&devices[0]), 1, "{kind:?}");
    }
}
