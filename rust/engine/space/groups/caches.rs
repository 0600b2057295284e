// SPDX-License-Identifier: GPL-2.0
//! Writing the free space caches of groups that changed, in the same two stages as their items.
//!
//! A cache is void from when the trees are told that its group changed until its pages, written in between, are on the device
//! and the group has not changed since. Which groups are behind, and whether one changed while it was written, is known to
//! the same kind of map as for the items. Whatever fails leaves a cache void, and no error.

use super::dirty::Ended;
use super::group::Group;
use super::writeout::Writeout;
use crate::btree::Allocate;
use crate::disk::{Bytes, Logical};
use crate::space::free::cache::{Begun, Keeper, Keeping, Pages};
use core::sync::atomic::Ordering;
use latch::prelude::*;

/// Caches of which the pages are in memory at once. One after the other is sent, and waited for.
const BATCH: usize = 16;

impl Writeout {
    /// See [`crate::space::Space::keeping_caches`].
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
        let Some(keeper) = self.on_disk().keeper() else {
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
        let Some(keeper) = self.on_disk().keeper() else {
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
        if let Some(keeper) = self.on_disk().keeper() {
            let mut caches = self.caches.lock();
            doubted.iter().try_for_each(|&start| caches.dirty(start))?;
            keeper.on.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Writes the caches that are behind now, each once, but `most`, from the lowest address on. How many groups had a turn, whether
    /// they got one or not: their items may have changed.
    pub(in crate::space) fn write_caches(&self, txn: &dyn Allocate, most: usize) -> Result<usize> {
        let Some(keeper) = self.on_disk().keeper().filter(|keeper| keeper.is_on()) else {
            return Ok(0);
        };
        let (mut from, mut count, mut turns) = (Logical::new(0), 0usize, 0usize);
        loop {
            let mut batch = KVec::with_capacity(BATCH, GFP_NOFAIL)?;
            while batch.len() < BATCH && count < most {
                let next = self.caches.lock().begin(from);
                let Some(start) = next else { break };
                from = start.saturating_add(Bytes::new(1));
                turns = turns.saturating_add(1);
                match self.begin_cache(txn, keeper, start)? {
                    Begun::Pages(pages) => {
                        count = count.saturating_add(1);
                        batch.push(pages, GFP_NOFAIL)?;
                    }
                    Begun::Changed => {
                        count = count.saturating_add(1);
                        self.caches.lock().fail(start);
                    }
                    Begun::Nothing => drop(self.caches.lock().end(start)),
                }
            }
            if batch.is_empty() {
                return Ok(turns);
            }
            for pages in batch.iter_mut() {
                pages.send(&keeper.volume);
            }
            for pages in batch.iter() {
                self.end_cache(txn, keeper, pages)?;
            }
        }
    }

    fn begin_cache(&self, txn: &dyn Allocate, keeper: &Keeper, start: Logical) -> Result<Begun> {
        let Some(group) = self.groups.at(start) else {
            return Ok(Begun::Nothing);
        };
        let mut items = group.items.lock();
        let tally = group.lock().tally;
        match items.cache() {
            Some(cache) => keeper.begin(txn, &group, cache, (tally.total, tally.used)),
            None => Ok(Begun::Nothing),
        }
    }

    fn end_cache(&self, txn: &dyn Allocate, keeper: &Keeper, pages: &Pages) -> Result {
        let start = pages.start;
        let Some(group) = self.groups.at(start) else {
            return Ok(());
        };
        let mut items = group.items.lock();
        let ended = self.caches.lock().end(start);
        match (pages.sent, items.cache()) {
            (Ok(()), Some(cache)) if ended == Ended::Clean => keeper.end(txn, cache, pages),
            (Err(error), _) => {
                let errno = error.to_errno();
                pr_debug!("block group {start}: its cache cannot be written ({errno})\n");
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
