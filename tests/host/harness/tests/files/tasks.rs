// SPDX-License-Identifier: GPL-2.0
//! Several tasks in one file system, each with a directory of its own and now and then in a common one.

use crate::files::{Files, SECTOR};
use engine::fs::{Inode, Rename, RenameMode, Side, XattrMode};
use harness::device::Image;
use harness::mount::{DIRECTORY, FILE, NOW};
use harness::random::Random;
use harness::tools;
use kernel::sync::Arc;
use std::sync::Mutex;
use std::vec::Vec;

const MIB: u64 = 1 << 20;

/// The VFS's lock on a directory that all use.
struct Common {
    dir: Arc<Inode>,
    lock: Mutex<()>,
}

fn work(files: &Files, common: &Common, task: u64, steps: u64) {
    let mut random = Random::new(task);
    let dir_name = format!("task{task}").into_bytes();
    let dir = {
        let _root = common.lock.lock().unwrap();
        files
            .fs
            .names()
            .create(&files.root, &dir_name, &DIRECTORY)
            .unwrap()
    };
    let mut mine: Vec<(Vec<u8>, Arc<Inode>)> = Vec::new();
    for step in 0..steps {
        let name = format!("{task}-{step}-{:0>1$}", "", random.below(60) as usize).into_bytes();
        let choice = random.below(12);
        if choice < 4 || mine.is_empty() {
            mine.push((
                name.clone(),
                files.fs.names().create(&dir, &name, &FILE).unwrap(),
            ));
            continue;
        }
        let at = random.below(mine.len() as u64) as usize;
        let (old, inode) = mine[at].clone();
        match choice {
            4..=6 => {
                let len = 1 + random.below(12 * SECTOR) as usize;
                let offset = random.below(20 * SECTOR);
                files.write(&inode, offset, &vec![step as u8; len]).unwrap();
            }
            7 => {
                let (_lock, from) = (
                    common.lock.lock().unwrap(),
                    Side {
                        dir: &dir,
                        name: &old,
                    },
                );
                let to = Side {
                    dir: &common.dir,
                    name: &name,
                };
                let mode = RenameMode::Move {
                    replaced: None,
                    whiteout: None,
                };
                let (moved, now) = (&*inode, NOW);
                files
                    .fs
                    .names()
                    .rename(&Rename {
                        from,
                        to,
                        moved,
                        mode,
                        now: &now,
                    })
                    .unwrap();
                let mode = RenameMode::Move {
                    replaced: None,
                    whiteout: None,
                };
                files
                    .fs
                    .names()
                    .rename(&Rename {
                        from: to,
                        to: from,
                        moved,
                        mode,
                        now: &now,
                    })
                    .unwrap();
            }
            8 => {
                let _lock = common.lock.lock().unwrap();
                files
                    .fs
                    .names()
                    .link(&common.dir, &name, &inode, NOW)
                    .unwrap();
                files
                    .fs
                    .names()
                    .unlink(&common.dir, &name, &inode, NOW)
                    .unwrap();
            }
            9 => {
                let value = vec![1; random.below(300) as usize];
                files
                    .fs
                    .inodes()
                    .set_xattr(&inode, b"user.a", &value, XattrMode::Any, NOW)
                    .unwrap();
            }
            10 if step % 8 == 0 => files.txns().commit().unwrap(),
            _ => {
                files.fs.names().unlink(&dir, &old, &inode, NOW).unwrap();
                files.fs.inodes().evict(&inode).unwrap();
                mine.swap_remove(at);
            }
        }
    }
    let entries = files.entries(&dir).unwrap();
    assert_eq!(entries.len(), mine.len());
    assert!(mine
        .iter()
        .all(|(name, inode)| entries[name] == inode.number()));
}

fn run(image: Image, tasks: u64, steps: u64) {
    let files = Files::mount(image);
    let common = Common {
        dir: files
            .fs
            .names()
            .create(&files.root, b"common", &DIRECTORY)
            .unwrap(),
        lock: Mutex::new(()),
    };
    std::thread::scope(|scope| {
        for task in 0..tasks {
            let (files, common) = (&files, &common);
            scope.spawn(move || work(files, common, task, steps));
        }
    });
    assert!(files.entries(&common.dir).unwrap().is_empty());
    assert_eq!(files.txns().is_aborted(), None);
    drop(common);
    tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
}

#[test]
fn on_a_regular_device() {
    run(tools::mkfs(512 * MIB, &[]), 4, 500);
}

#[test]
fn with_small_nodes() {
    run(tools::mkfs(512 * MIB, &["-n", "4096"]), 4, 500);
}
