// SPDX-License-Identifier: GPL-2.0
//! Looking into directories.

use super::Names;
use crate::disk::{DirEntries, Flaw, Key, Kind, ObjectId, DIR_FIRST_INDEX};
use crate::fs::items::entries;
use crate::fs::items::refs;
use crate::fs::{items, Inode, Subvolume, Target};
use core::ops::ControlFlow;
use latch::prelude::*;

/// A directory entry as [`Names::read_dir`] shows it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The name of the entry.
    pub name: &'a [u8],
    /// The entry's own position, 2 or more: to go on after it, pass this plus 1.
    pub position: u64,
    /// What it names. [`Target::EmptyPlace`] shows as [`Target::Subvolume`] here.
    pub target: Target,
}

/// How many bytes of entries are copied out of the tree at a time.
const BATCH: usize = 4096;

impl Names<'_> {
    /// Finds a name. `ENAMETOOLONG`.
    pub fn lookup(&self, dir: &Inode, name: &[u8]) -> Result<Option<Target>> {
        entries::check_name(name)?;
        self.lookup_in(dir.subvolume(), dir.number(), name)
    }

    /// A name that `inode` has in `dir`, its first one. `ENOENT` where it has none there.
    pub fn name_in(&self, dir: &Inode, inode: &Inode) -> Result<KVec<u8>> {
        if inode.is_subvolume_root() {
            let place = self.fs.subvolumes().place_of(inode.subvolume().id())?;
            let is_here = place.subvolume == dir.subvolume().id() && place.dir == dir.number();
            return is_here.then_some(place.name).ok_or(ENOENT);
        }
        if inode.subvolume().id() != dir.subvolume().id() {
            return Err(ENOENT);
        }
        let tree = inode.subvolume().tree();
        refs::name_in(tree, inode.number(), dir.number())?.ok_or(ENOENT)
    }

    /// Finds a name in the directory with this number.
    fn lookup_in(
        &self,
        subvolume: &Subvolume,
        dir: ObjectId,
        name: &[u8],
    ) -> Result<Option<Target>> {
        let target = entries::find(subvolume.tree(), dir, name)?;
        match target {
            Some(Target::Subvolume(id)) => {
                let subvolumes = self.fs.subvolumes();
                let is_there = subvolumes.is_placed(subvolume, dir, name, id)?
                    && subvolumes.is_referenced(id)?;
                match is_there {
                    true => Ok(target),
                    false => Ok(Some(Target::EmptyPlace)),
                }
            }
            other => Ok(other),
        }
    }

    /// The position behind all entries that there are now: who stops there does not meet those that are made while it
    /// reads, of which there may be no end.
    pub fn dir_end(&self, dir: &Inode) -> Result<u64> {
        match dir.next_index() {
            // The last position there is has an entry: none is made behind it.
            Err(error) if error == ENOSPC => Ok(u64::MAX),
            found => found,
        }
    }

    /// Shows the entries at `position` and after, in the order they were made. Positions are stable. No lock is held
    /// while `each` runs, so it may fault on user memory.
    pub fn read_dir(
        &self,
        dir: &Inode,
        position: u64,
        each: &mut dyn FnMut(Entry<'_>) -> Result<ControlFlow<()>>,
    ) -> Result {
        let mut batch = Batch::default();
        let mut position = position.max(DIR_FIRST_INDEX);
        loop {
            batch.fill(dir, position)?;
            if batch.show(dir, each)?.is_break() {
                return Ok(());
            }
            match batch.next {
                Some(next) => position = next,
                None => return Ok(()),
            }
        }
    }
}

/// Some entries, copied out of the tree.
#[derive(Default)]
struct Batch {
    /// Each entry's index in eight bytes, then its item.
    bytes: KVec<u8>,
    /// Where to go on, or `None` at the end.
    next: Option<u64>,
}

impl Batch {
    fn fill(&mut self, dir: &Inode, position: u64) -> Result {
        self.bytes.clear();
        self.next = None;
        let first = dir.key_of(Kind::DIR_INDEX, position);
        let last = dir.key_of(Kind::DIR_INDEX, u64::MAX);
        dir.subvolume()
            .tree()
            .scan(first..=last, |key, item| self.take(key, item))
    }

    fn take(&mut self, key: Key, item: &[u8]) -> Result<ControlFlow<()>> {
        if self.bytes.len() >= BATCH {
            self.next = Some(key.offset);
            return Ok(ControlFlow::Break(()));
        }
        self.bytes
            .extend_from_slice(&key.offset.to_le_bytes(), GFP_KERNEL)?;
        self.bytes.extend_from_slice(item, GFP_KERNEL)?;
        Ok(ControlFlow::Continue(()))
    }

    fn show(
        &self,
        dir: &Inode,
        each: &mut dyn FnMut(Entry<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let mut rest: &[u8] = &self.bytes;
        while let Some((position, behind)) = rest.split_first_chunk() {
            let position = u64::from_le_bytes(*position);
            let mut item = DirEntries::new(behind);
            let shown = shown(&mut item, position).map_err(|flaw| {
                let key = dir.key_of(Kind::DIR_INDEX, position);
                items::report(dir.subvolume().tree(), &key, flaw)
            })?;
            if each(shown)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            rest = item.rest();
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// What a reader sees of the entry that an item begins with; an index has one.
fn shown<'a>(item: &mut DirEntries<'a>, position: u64) -> Result<Entry<'a>, Flaw> {
    let entry = item
        .next()
        .unwrap_or(Err(Flaw::missing("directory index has no entry")))?;
    Ok(Entry {
        name: entry.name,
        position,
        target: entries::target(&entry)?,
    })
}
