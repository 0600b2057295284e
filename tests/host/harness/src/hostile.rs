// SPDX-License-Identifier: GPL-2.0
//! Looks at images that may hold anything: mounts them, reads all there is, changes what goes.
//!
//! Whatever comes out is well, as long as something does: no panic, no endless loop, no more memory than
//! [`MEMORY`], no lock left held.

use crate::device::Image;
use crate::history::{survey, Driver, Generator, Model, Profile};
use crate::mount::{Access, Mounted, FILE, NOW};
use crate::random::Random;
use core::ops::ControlFlow;
use engine::btree::{Cursor, Tree};
use engine::disk::{Bytes, Key, Kind, ObjectId};
use engine::fs::{Changes, Target, XattrMode};
use kernel::alloc::inject;
use kernel::prelude::{Error, Result, ENOENT, EUCLEAN};
use kernel::print::Capture;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes that the engine may allocate in one look, all in all.
pub const MEMORY: u64 = 512 << 20;
/// Items in all trees, at most: blocks that are children of many parents have no end of them.
const MAX_ITEMS: u64 = 1 << 20;
/// Directories that are looked into before changes, at most.
const MAX_DIRECTORIES: usize = 20;
/// Names that are found there, at most.
const MAX_NAMES: usize = 500;
/// Changes that are tried.
const CHANGES: u64 = 40;
/// How often the commit thread tidies up.
const ROUNDS: u64 = 4;
/// Steps of a history that are tried.
const STEPS: u64 = 40;

/// How far a look came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing was mounted.
    Refused(Error),
    /// The mount went well, and then something failed.
    Mounted(Error),
    /// All went well.
    All,
}

/// What a look came to.
pub struct Report {
    /// How far it came.
    pub seen: Seen,
    /// What the engine said.
    pub log: std::vec::Vec<String>,
}

/// Has a look. `Err` says what must not be.
pub fn look(look: impl FnOnce() -> Seen) -> Result<Report, String> {
    let log = Capture::new();
    let look = std::panic::AssertUnwindSafe(|| inject::counted(look));
    let (seen, spent) = std::panic::catch_unwind(look)
        .map_err(|_| format!("panicked\n{}", log.lines().join("\n")))?;
    let held = latch::lockdep::held();
    let log = log.lines();
    if spent.bytes >= MEMORY {
        return Err(format!("allocated {spent:?}\n{}", log.join("\n")));
    }
    match held {
        0 => Ok(Report { seen, log }),
        _ => Err(format!("{held} locks are still held\n{}", log.join("\n"))),
    }
}

/// Mounts, reads all there is, and unmounts.
pub fn read_all(image: Image) -> Seen {
    on_mounted(image, Access::ReadOnly, |mounted| {
        // Each part whatever comes of the others.
        let trees = walk_trees(mounted);
        let files = survey(mounted).map(drop);
        let space = mounted.fs.statistics().map(drop);
        trees.and(files).and(space)
    })
}

/// Mounts and changes whatever is found, as long as it goes.
pub fn change_all(image: Image, random: &mut Random) -> Seen {
    on_mounted(image, Access::ReadWrite, |mounted| change(mounted, random))
}

/// Mounts and lets the commit thread tidy up, which empties zones where it can.
pub fn maintain_all(image: Image) -> Seen {
    on_mounted(image, Access::ReadWrite, |mounted| {
        for _ in 0..ROUNDS {
            mounted.txns.maintain()?;
            mounted.txns.commit()?;
        }
        Ok(())
    })
}

fn on_mounted(image: Image, access: Access, use_it: impl FnOnce(&Arc<Mounted>) -> Result) -> Seen {
    let mounted = match Mounted::mount(std::vec![image], access) {
        Ok(mounted) => mounted,
        Err(error) => return Seen::Refused(error),
    };
    let mounted = Arc::new(mounted);
    let used = use_it(&mounted);
    // An abort must still let go of everything.
    let closed = mounted.txns.close();
    match used.and(closed) {
        Ok(()) => Seen::All,
        Err(error) => Seen::Mounted(error),
    }
}

/// Reads every item of every tree; the first error, after all trees were tried.
fn walk_trees(mounted: &Mounted) -> Result {
    let mut numbers = BTreeSet::new();
    let mut left = MAX_ITEMS;
    let root = mounted.txns.required_tree(ObjectId::ROOT_TREE)?;
    let mut result = walk_tree(&root, &mut left, |key| {
        if key.kind == Kind::ROOT_ITEM {
            numbers.insert(key.objectid);
        }
    });
    let chunks = mounted.txns.required_tree(ObjectId::CHUNK_TREE)?;
    result = result.and(walk_tree(&chunks, &mut left, |_| ()));
    for number in numbers {
        let tree = match mounted.txns.tree(number) {
            // Half deleted.
            Err(ENOENT) => continue,
            tree => tree,
        };
        let walked = tree.and_then(|tree| walk_tree(&tree, &mut left, |_| ()));
        result = result.and(walked);
    }
    result
}

fn walk_tree(tree: &Tree, left: &mut u64, mut each: impl FnMut(Key)) -> Result {
    let mut cursor = Cursor::new(tree);
    cursor.seek(&Key::MIN)?;
    while let Some((key, _)) = cursor.item() {
        each(key);
        *left = left.checked_sub(1).ok_or(EUCLEAN)?;
        cursor.next()?;
    }
    Ok(())
}

/// A name somewhere.
#[derive(Clone)]
struct Found {
    dir: ObjectId,
    name: std::vec::Vec<u8>,
    child: ObjectId,
}

fn find_names(mounted: &Mounted) -> std::vec::Vec<Found> {
    let mut dirs = std::vec![mounted.subvolume.root_directory()];
    let mut names = std::vec::Vec::new();
    let mut next = 0;
    while next < dirs.len().min(MAX_DIRECTORIES) {
        let dir = dirs[next];
        next += 1;
        let Ok(inode) = mounted.fs.inodes().get(&mounted.subvolume, dir) else {
            continue;
        };
        let _ = mounted.fs.names().read_dir(&inode, 0, &mut |entry| {
            if let Target::Inode(child, _) = entry.target {
                let name = entry.name.to_vec();
                names.push(Found { dir, name, child });
                dirs.push(child);
            }
            Ok(match names.len() < MAX_NAMES {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        });
    }
    names
}

/// Makes files at random places, the root among them, changes files that are there, and lets a history run in a
/// directory of its own. What fails, fails.
fn change(mounted: &Arc<Mounted>, random: &mut Random) -> Result {
    let names = find_names(mounted);
    for step in 0..CHANGES {
        let root = mounted.subvolume.root_directory();
        let found = (!names.is_empty()).then(|| random.choose(&names).clone());
        let dir = found.as_ref().map_or(root, |found| found.dir);
        let _ = create(mounted, dir, step);
        if let Some(found) = found {
            let _ = change_file(mounted, &found, random);
        }
        if random.one_in(6) {
            let _ = mounted.txns.commit();
        }
    }
    let _ = history(mounted, random);
    mounted.txns.commit()
}

/// Writes, truncates and renames, with data.
fn history(mounted: &Arc<Mounted>, random: &mut Random) -> Result {
    let mut driver = Driver::start_below(mounted, b"history")?;
    let profile = Profile {
        remounts: 0,
        max_write: 32 << 10,
        ..Profile::MIXED.for_zones()
    };
    let mut generator = Generator::new(random.next(), profile);
    let mut model = Model::default();
    for _ in 0..STEPS {
        let op = generator.next(&model);
        let _ = model.apply(&op);
        let _ = driver.apply(&op, model.now());
    }
    Ok(())
}

fn create(mounted: &Mounted, dir: ObjectId, step: u64) -> Result {
    let dir = mounted.fs.inodes().get(&mounted.subvolume, dir)?;
    let name = format!("new {step}");
    mounted
        .fs
        .names()
        .create(&dir, name.as_bytes(), &FILE)
        .map(drop)
}

fn change_file(mounted: &Mounted, found: &Found, random: &mut Random) -> Result {
    let (fs, name) = (&mounted.fs, &found.name);
    let dir = fs.inodes().get(&mounted.subvolume, found.dir)?;
    let child = fs.inodes().get(&mounted.subvolume, found.child)?;
    let done = match random.below(5) {
        0 if child.attributes().is_directory() => fs.names().rmdir(&dir, name, &child, NOW),
        0 | 1 => fs.names().unlink(&dir, name, &child, NOW),
        2 => fs
            .file_space()
            .truncate(&child, Bytes::new(random.below(10_000)), NOW),
        3 => fs
            .inodes()
            .set_xattr(&child, b"user.fuzz", &[1; 500], XattrMode::Any, NOW),
        _ => {
            let changes = Changes {
                mtime: Some(NOW),
                ..Changes::default()
            };
            fs.inodes().set_attributes(&child, |_| changes)
        }
    };
    if child.attributes().nlink == 0 {
        let _ = fs.inodes().evict(&child);
    }
    done
}
