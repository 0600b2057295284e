// SPDX-License-Identifier: GPL-2.0
//! Memory that runs out: an operation is done, or refused, or gives the transaction up; nothing in between. And memory
//! that is given back.

use crate::files::{Files, FILE, NOW, SECTOR};
use engine::fs::{Rename, RenameMode, Side, XattrMode};
use harness::kinds::DeviceKind;
use harness::mount::{self, Access, Mounted};
use harness::tools;
use kernel::alloc::inject;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::vec::Vec;

const MIB: u64 = 1 << 20;

/// One operation of each kind, the n-th allocation of which fails.
fn operations(files: &Files, n: u64) -> Vec<(&'static str, Result)> {
    let fs = &files.fs;
    let name = |what: &str| format!("{what}{n}").into_bytes();
    let mut results = Vec::new();
    let inode = files.file(&name("f"));
    let mut run = |what, call: &mut dyn FnMut() -> Result| {
        let injection = inject::fail_nth(n);
        let result = call();
        drop(injection);
        results.push((what, result));
    };
    run("create", &mut || {
        fs.create(&files.root, &name("new"), &FILE).map(drop)
    });
    run("write", &mut || {
        files.write_sectors(&inode, 0, &[1; 2 * SECTOR as usize], 5000)
    });
    run("overwrite", &mut || {
        files.write_sectors(&inode, 0, &[2; SECTOR as usize], 4096)
    });
    run("xattr", &mut || {
        fs.set_xattr(&inode, b"user.a", &[7; 100], XattrMode::Any, NOW)
    });
    run("link", &mut || {
        fs.link(&files.root, &name("l"), &inode, NOW)
    });
    run("rename", &mut || {
        let (from, to) = (name("f"), name("r"));
        fs.rename(&Rename {
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
            now: NOW,
        })
    });
    run("truncate", &mut || fs.truncate(&inode, 10, NOW));
    run("commit", &mut || files.txns().commit());
    results
}

#[test]
fn allocations_fail_one_by_one() {
    let base = tools::mkfs(256 * MIB, &[]);
    let (mut refused, mut aborted) = (0, 0);
    for n in 1..60 {
        let files = Files::mount(base.clone());
        files.mounted.store.shrink();
        for (what, result) in operations(&files, n) {
            match result {
                Ok(()) => {}
                Err(error) if error == ENOMEM => refused += 1,
                Err(error) => {
                    let known = files.txns().is_aborted().is_some() && error == EROFS;
                    assert!(known, "{what} {n}: {error:?}");
                }
            }
        }
        if files.txns().is_aborted().is_some() {
            aborted += 1;
            tools::check(&files.image()).unwrap();
        } else {
            tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
        }
    }
    assert!(refused > 50, "{refused} refused, {aborted} aborted");
}

#[test]
fn an_unmounted_volume_leaves_nothing_behind() {
    for kind in DeviceKind::ALL {
        let devices = mount::devices(std::vec![kind.image(0)]);
        let mounted = Mounted::mount_on(devices.clone(), Access::ReadWrite).unwrap();
        assert!(Arc::references(&devices[0]) > 1);
        mounted.unmount().unwrap();
        assert_eq!(Arc::references(&devices[0]), 1, "{kind:?}");
    }
}
