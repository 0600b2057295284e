// SPDX-License-Identifier: GPL-2.0
//! Free space caches (v1) that are not kept up to date are dropped before anything else is changed.
//!
//! One that is left behind would be believed some day: C takes what is behind for void in memory alone, and then lets
//! the superblock's `cache_generation` catch up in a commit that touched no cache but those of the groups that it changed.
//! So the first commit makes all of them void at once, in their headers, and that number zero, which tells C that there are
//! none. Then they go, one after the other; after a power cut those that are left are found by their keys.
//!
//! A cache is a hint: whatever is wrong with one, the volume is used.

use crate::btree::Tree;
use crate::disk::{Bug, CacheHeader, Flaw, Generation, Key, Logical, ObjectId, Superblock};
use crate::space::{CacheFile, Class, Doubt, Keeping, Urgency};
use crate::txn::handles::core::Core;
use crate::txn::handles::handle::Handle;
use crate::txn::join::Joiner;
use crate::txn::{shortage, Units};
use core::ops::ControlFlow;
use kernel::sync::Arc;
use latch::prelude::*;

/// Caches that go in one transaction.
const CACHES: u32 = 16;

/// Says in the superblock in memory that there are no caches, if some are to be dropped: before anything can be committed.
pub(in crate::txn) fn disown(shared: &Core) {
    if !are_kept(shared) && is_on(shared) && are_there(shared) {
        turn_off(shared);
    }
}

/// Drops the caches that are there, or said to be, unless they are right and kept so. Where there are none left new ones are kept, or C may
/// go on to make some.
pub(in crate::txn) fn drop_stale(shared: &Arc<Core>) -> Result {
    if are_kept(shared) {
        return Ok(());
    }
    if are_there(shared) || is_on_in_vain(shared) {
        drop_all(shared)?;
    }
    if !shared.volume.writes().runs_transactions() || are_there(shared) {
        return Ok(());
    }
    shared.space.keep_caches()?;
    if are_kept(shared) && !is_on(shared) {
        // Said at once: a mount after a power cut is to know it, too. What mkfs.btrfs has; the commit says its own.
        say(shared, u64::MAX)?;
        return shared.commits().commit();
    }
    Ok(())
}

/// Caches are not kept right any more, and the superblock in memory says that there are none.
pub(in crate::txn) fn stop(shared: &Core) {
    shared.space.stop_caches();
    turn_off(shared);
}

/// Drops all caches, and says that there shall be none (C: `nospace_cache`).
pub(in crate::txn) fn give_up(shared: &Arc<Core>) -> Result {
    shared.space.stop_caches();
    match is_on(shared) || are_there(shared) {
        true => drop_all(shared),
        false => Ok(()),
    }
}

/// Where not all can be dropped that is said, and the superblock tells C to look at none.
fn drop_all(shared: &Arc<Core>) -> Result {
    if !shared.volume.writes().runs_transactions() {
        return Ok(());
    }
    pr_info!("cleaning free space cache v1\n");
    let dropped = void_all(shared).and_then(|()| drop_each(shared));
    match dropped {
        Err(error) if shared.check_alive().is_ok() => {
            let errno = error.to_errno();
            pr_warn!("the free space cache v1 cannot be cleaned ({errno}): never mount with space_cache=v1\n");
            say(shared, 0)?;
        }
        dropped => dropped?,
    }
    shared.commits().commit()
}

/// Whether caches are kept right.
fn are_kept(shared: &Core) -> bool {
    shared.space.keeping_caches() == Keeping::Now
}

/// Whether the superblock says that there are caches, or shall be.
fn is_on(shared: &Core) -> bool {
    shared.volume.superblock().cache_generation != 0
}

/// Whether the superblock says so where there can be none.
fn is_on_in_vain(shared: &Core) -> bool {
    is_on(shared) && !shared.volume.superblock().has_caches()
}

/// Whether the volume has caches, or may have: what cannot be read is nobody's reason to believe them.
fn are_there(shared: &Core) -> bool {
    !matches!(first_header(shared.trees.root()), Ok(None))
}

fn turn_off(shared: &Core) {
    set_generation(shared, 0);
}

fn set_generation(shared: &Core, generation: u64) {
    let set = |superblock: &mut Superblock| superblock.cache_generation = generation;
    shared.volume.superblocks().update(set);
}

/// Has the next commit say whether there are some. It needs no space.
fn say(shared: &Arc<Core>, generation: u64) -> Result {
    let nothing = shared.space.reserve_nothing(Class::Metadata);
    let handle = Handle::join(shared, Joiner::Starter, nothing)?;
    set_generation(shared, generation);
    handle.note_superblock();
    Ok(())
}

/// The keys of all headers are between these.
const FIRST_HEADER: Key = CacheHeader::key(Logical::new(0));
const LAST_HEADER: Key = CacheHeader::key(Logical::new(u64::MAX));

/// Where the first header from `from` on is, of whatever group or none, and what it says.
fn header_from(root: &Tree, from: &Key) -> Result<Option<(Key, Result<CacheHeader, Flaw>)>> {
    let read = |key, bytes: &[u8]| (key, CacheHeader::parse(bytes));
    let found = root.ceiling(from, read)?;
    Ok(found.filter(|(key, _)| *key <= LAST_HEADER))
}

fn first_header(root: &Tree) -> Result<Option<(Key, Result<CacheHeader, Flaw>)>> {
    header_from(root, &FIRST_HEADER)
}

/// Makes all caches void and commits that. In one transaction: what it changes itself makes caches wrong.
fn void_all(shared: &Arc<Core>) -> Result {
    let root = shared.trees.root();
    let mut count = 0u32;
    root.scan(FIRST_HEADER..=LAST_HEADER, |_, _| {
        count = count.saturating_add(1);
        Ok(ControlFlow::Continue(()))
    })?;
    // Before space is asked for: that may commit.
    turn_off(shared);
    // That is a block for each of them, were each in a leaf of its own, and some more.
    let handle = start(shared, Units::updates((count / 8).saturating_add(2)))?;
    handle.note_superblock();
    let mut next = first_header(root)?;
    while let Some((key, _)) = next {
        let voided = match root.update(&handle, &key, void) {
            // Its group was just removed, and took it along.
            Err(error) if error == ENOENT => Ok(()),
            voided => voided.and_then(|written| Ok(written?)),
        };
        voided.inspect_err(|error| handle.abort(*error))?;
        next = match key.successor() {
            Some(behind) => header_from(root, &behind)?,
            None => None,
        };
    }
    handle.commit()
}

/// Makes a cache void, which it is when its header has not the generation of its inode.
fn void(item: &mut [u8]) -> Result<(), Bug> {
    match CacheHeader::parse(item) {
        Ok(header) => {
            let never = Generation::new(0);
            let void = CacheHeader {
                generation: never,
                ..header
            };
            void.write_to(item)
        }
        Err(_) => {
            item.fill(0);
            Ok(())
        }
    }
}

/// Removes all caches, some in a transaction.
fn drop_each(shared: &Arc<Core>) -> Result {
    let mut dropped = 0u32;
    while let Some((key, header)) = first_header(shared.trees.root())? {
        let file = header
            .map_err(Into::into)
            .and_then(|header| removable(shared, &header));
        let file = file.unwrap_or_else(|doubt| {
            tell_stays(&doubt, &key);
            None
        });
        drop_one(shared, &key, file)?;
        dropped = dropped.wrapping_add(1);
        if dropped % CACHES == 0 {
            shared.commits().commit()?;
        }
    }
    Ok(())
}

/// The file that a header leads to, if there is one and it is the cache's own.
fn removable(shared: &Core, header: &CacheHeader) -> Result<Option<CacheFile>, Doubt> {
    let file = CacheFile::find(shared.trees.root(), header)?;
    if let Some(file) = &file {
        let extents = shared.trees.required(ObjectId::EXTENT_TREE)?;
        file.check_owner(&extents, &shared.volume)?;
    }
    Ok(file)
}

/// Says that of the cache at `key` the header alone goes.
fn tell_stays(doubt: &Doubt, key: &Key) {
    let group = key.offset;
    pr_warn!("the cache file of block group {group} stays: {doubt}\n");
}

/// Removes a header and what is to go with it.
fn drop_one(shared: &Arc<Core>, header: &Key, file: Option<CacheFile>) -> Result {
    let items = file.as_ref().map_or(0, CacheFile::items);
    let handle = start(shared, Units::updates(items.saturating_add(1)))?;
    let root = shared.trees.root();
    let removed = root
        .remove(&handle, header)
        .and_then(|()| file.map_or(Ok(()), |file| file.remove(root, &handle)));
    removed.inspect_err(|error| handle.abort(*error))
}

/// Joins with metadata for `units`, which are to be had on a full volume, too.
fn start(shared: &Arc<Core>, units: Units) -> Result<Handle> {
    let bytes = units.bytes(shared.store.node_size());
    let reservation = shortage::reserve(shared, Class::Metadata, bytes, Urgency::Freeing)?;
    Handle::join(shared, Joiner::Starter, reservation)
}
