// SPDX-License-Identifier: GPL-2.0
//! Writing the free space caches of groups that changed, in the same two stages as their items.
//!
//! A cache is void from when the trees are told that its group changed until its pages, written in between, are on the device
//! and the group has not changed since. Which groups are behind, and whether one changed while it was written, is known to
//! the same kind of map as for the items. The pages of many groups are under way together, and are waited for when all were sent.
//! Whatever fails leaves a cache void, and no error.

use super::dirty::Ended;
use super::write::Writeout;
use crate::btree::Allocate;
use crate::disk::{Bytes, Logical};
use crate::space::free::cache::{Begun, Files, Keeper, Keeping, Measured, Sent};
use crate::space::groups::group::Group;
use crate::space::DataExtent;
use core::sync::atomic::Ordering;
use latch::prelude::*;

/// Finds so many bytes of file data for the cache of a group. `None` where there is no space.
type FindFor<'a> = &'a dyn Fn(&Group, Bytes) -> Result<Option<DataExtent>>;

/// No more is sent when so many bytes are under way: the queue of a device holds about as many pages.
const UNDER_WAY: usize = 1 << 20;
/// No more is sent when so many caches are under way, which have a page at least.
const MOST_UNDER_WAY: usize = 256;

/// How much is done of the caches that are behind.
#[derive(Clone, Copy, Debug)]
pub struct CacheTurn {
    /// How often pages that are under way are waited for.
    pub waits: usize,
    /// How many files are made or go; groups change by it.
    pub files: usize,
}

/// How far a turn is.
struct Progress<'a> {
    left: CacheTurn,
    find: FindFor<'a>,
    /// The groups behind had none.
    from: Logical,
    /// How many had one.
    groups: usize,
}

impl Progress<'_> {
    fn files(&self) -> Files {
        match self.left.files {
            0 => Files::Stay,
            _ => Files::Change,
        }
    }
}

impl Writeout {
    /// Does what [`crate::space::Space::keeping_caches`] says.
    pub(in crate::space) fn keeping_caches(&self) -> Keeping {
        match self.on_disk().keeper().map(Keeper::is_on) {
            None => Keeping::Never,
            Some(false) => Keeping::NotNow,
            Some(true) => Keeping::Now,
        }
    }

    /// There is no cache from before, and no file of one is known, as none is looked for while caches are not kept: each group
    /// gets one.
    pub(in crate::space) fn keep_caches(&self) -> Result {
        let on_disk = self.on_disk();
        let Some(keeper) = on_disk.keeper() else {
            return Ok(());
        };
        let groups = self.groups.read();
        let mut caches = self.caches.lock();
        groups
            .iter()
            .try_for_each(|group| caches.dirty(group.start()))?;
        keeper.on.store(true, Ordering::Release);
        Ok(())
    }

    /// No cache is written any more; which is so for all groups when this returns.
    pub(in crate::space) fn stop_caches(&self) {
        let on_disk = self.on_disk();
        let Some(keeper) = on_disk.keeper() else {
            return;
        };
        keeper.on.store(false, Ordering::Release);
        // Who has just asked has a group's items locked.
        let mut from = Logical::new(0);
        loop {
            let next = self.groups.read().reaching_beyond(from).cloned();
            let Some(group) = next else { return };
            if let Some(cache) = group.items.lock().cache() {
                cache.forget_file();
            }
            from = group.end();
        }
    }

    /// A group's cache, if any is kept, is behind.
    pub(super) fn note_cache(&self, group: &Group) -> Result {
        match self.on_disk().keeper() {
            Some(_) => self.caches.lock().dirty(group.start()),
            None => Ok(()),
        }
    }

    /// The caches that are there are right, but for those of the groups that begin at `doubted`.
    pub(in crate::space) fn believe_caches(&self, doubted: &[Logical]) -> Result {
        let on_disk = self.on_disk();
        if let Some(keeper) = on_disk.keeper() {
            let mut caches = self.caches.lock();
            doubted.iter().try_for_each(|&start| caches.dirty(start))?;
            keeper.on.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Writes the caches that are behind now, each once, from the lowest address on, and no more than `most`. How many groups had a
    /// turn, whether they got one or not: their items may have changed.
    pub(in crate::space) fn write_caches(
        &self,
        txn: &dyn Allocate,
        most: CacheTurn,
        find: FindFor<'_>,
    ) -> Result<usize> {
        let mut turn = Progress {
            left: most,
            find,
            from: Logical::new(0),
            groups: 0,
        };
        let on_disk = self.on_disk();
        let Some(keeper) = on_disk.keeper().filter(|keeper| keeper.is_on()) else {
            return Ok(0);
        };
        for _ in 0..most.waits {
            let sent = self.send_caches(txn, keeper, &mut turn)?;
            if sent.is_empty() {
                break;
            }
            for cache in sent.iter() {
                self.end_cache(txn, keeper, cache)?;
            }
        }
        Ok(turn.groups)
    }

    /// Sends the pages of one group after the other, until enough are under way; of none where no memory is left to remember them.
    fn send_caches<'a>(
        &self,
        txn: &dyn Allocate,
        keeper: &'a Keeper,
        turn: &mut Progress<'_>,
    ) -> Result<KVVec<Sent<'a>>> {
        let Ok(mut sent) = KVVec::with_capacity(MOST_UNDER_WAY, GFP_KERNEL) else {
            return Ok(KVVec::new());
        };
        let mut under_way = 0usize;
        while under_way < UNDER_WAY && sent.len() < MOST_UNDER_WAY {
            let next = self.caches.lock().begin(turn.from);
            let Some(start) = next else { break };
            turn.from = start.saturating_add(Bytes::new(1));
            turn.groups = turn.groups.saturating_add(1);
            match self.begin_cache(txn, keeper, start, turn)? {
                Begun::Pages(pages) => {
                    under_way = under_way.saturating_add(pages.len());
                    let pages = pages.send(&keeper.volume);
                    sent.push_within_capacity(pages).map_err(|_| ENOMEM)?;
                }
                Begun::Changed => {
                    turn.left.files = turn.left.files.saturating_sub(1);
                    self.caches.lock().fail(start);
                }
                Begun::Later => self.caches.lock().fail(start),
                Begun::Nothing => drop(self.caches.lock().end(start)),
            }
        }
        Ok(sent)
    }

    fn begin_cache(
        &self,
        txn: &dyn Allocate,
        keeper: &Keeper,
        start: Logical,
        turn: &Progress<'_>,
    ) -> Result<Begun> {
        let Some(group) = self.groups.at(start) else {
            return Ok(Begun::Nothing);
        };
        let mut items = group.items.lock();
        let measured = {
            let body = group.lock();
            Measured {
                class: group.class(),
                total: body.tally.total,
                used: body.tally.used,
                longest: body.free_space.largest(),
            }
        };
        let find = |len| (turn.find)(&group, len);
        match items.cache() {
            Some(cache) => keeper.begin(txn, cache, &measured, turn.files(), &find),
            None => Ok(Begun::Nothing),
        }
    }

    /// Waits for the pages of a cache; if they are there and the group is as it was, the cache is right.
    fn end_cache(&self, txn: &dyn Allocate, keeper: &Keeper, sent: &Sent<'_>) -> Result {
        let written = sent.wait();
        let start = sent.start;
        let Some(group) = self.groups.at(start) else {
            return Ok(());
        };
        let mut items = group.items.lock();
        let ended = self.caches.lock().end(start);
        match (written, items.cache()) {
            (Ok(()), Some(cache)) if ended == Ended::Clean => keeper.end(txn, cache, sent.header),
            (Err(error), _) => {
                let errno = error.to_errno();
                pr_debug!("block group {start}: its cache cannot be written ({errno})\n");
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
