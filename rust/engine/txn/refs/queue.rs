// SPDX-License-Identifier: GPL-2.0
//! The queue: what is to change in the extent tree, merged per extent.

use super::head::{Change, Counts, Extent, FullBackref, Head, Leftover, Origin};
use crate::btree::BlockRefs;
use crate::disk::{Flaw, Logical, Reference, Site};
use crate::map::OrdMap;
use latch::prelude::*;

/// What became of a change. Whoever queued it is told of all that the queue forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::txn) enum Queued {
    /// The head waits to be applied.
    Waiting,
    /// The reference has been added as often as dropped, and is forgotten.
    Cancelled(Counts),
    /// Its reference, the last one of a new tree block, has been added as often as dropped. The block is forgotten with it:
    /// its address is the caller's.
    Vanished(Counts),
}

/// Heads by address.
pub(in crate::txn) struct Queue {
    heads: OrdMap<Logical, Head>,
    /// What [`Head::weight`] is of all of them together.
    weight: usize,
}

impl Queue {
    /// An empty queue.
    pub(in crate::txn) fn new() -> Self {
        Self {
            heads: OrdMap::new(),
            weight: 0,
        }
    }

    /// How many references wait; an extent of which none does, but something else, counts as one.
    pub(in crate::txn) fn len(&self) -> usize {
        self.weight
    }

    /// Queues a change of one reference. All changes come in here, before anything has cancelled out.
    pub(in crate::txn) fn change(
        &mut self,
        addr: Logical,
        extent: Extent,
        reference: Reference,
        change: Change,
    ) -> Result<Queued> {
        let Some(head) = self.heads.get_mut(&addr) else {
            let origin = match change {
                Change::New(first_key) => Origin::New(first_key),
                Change::Add | Change::Drop => Origin::Known,
            };
            let mut head = Head::new(extent, origin);
            head.changes.note(reference, change)?;
            self.insert(addr, head)?;
            return Ok(Queued::Waiting);
        };
        if matches!(change, Change::New(_)) {
            let flaw = Flaw::new("free space has an extent that is in use", 1, 0);
            return Err(flaw.at(Site::Extent(addr)).report());
        }
        head.expect(addr, extent)?;
        self.weight = self.weight.saturating_sub(head.weight());
        let noted = head.changes.note(reference, change);
        self.weight = self.weight.saturating_add(head.weight());
        let Some(counts) = noted? else {
            return Ok(Queued::Waiting);
        };
        match head.leftover() {
            Leftover::Work => Ok(Queued::Cancelled(counts)),
            Leftover::Nothing => {
                self.remove(addr);
                Ok(Queued::Cancelled(counts))
            }
            Leftover::Address => {
                self.remove(addr);
                Ok(Queued::Vanished(counts))
            }
        }
    }

    fn insert(&mut self, addr: Logical, head: Head) -> Result {
        self.weight = self.weight.saturating_add(head.weight());
        self.heads.insert(addr, head)?;
        Ok(())
    }

    fn remove(&mut self, addr: Logical) {
        let weight = self.heads.remove(&addr).map_or(0, |head| head.weight());
        self.weight = self.weight.saturating_sub(weight);
    }

    /// Queues the full backref flag of a tree block.
    pub(in crate::txn) fn set_full_backref(&mut self, addr: Logical, level: u8) -> Result {
        let extent = Extent::Block { level };
        if let Some(head) = self.heads.get_mut(&addr) {
            head.expect(addr, extent)?;
            head.full_backref = FullBackref::Set;
            return Ok(());
        }
        let mut head = Head::new(extent, Origin::Known);
        head.full_backref = FullBackref::Set;
        self.insert(addr, head)
    }

    /// Adds to what the tree says of a block what is queued for it. One of them knows it.
    pub(in crate::txn) fn add_to(
        &self,
        known: Option<BlockRefs>,
        addr: Logical,
    ) -> Result<BlockRefs> {
        let broken = |flaw: Flaw| flaw.at(Site::Extent(addr)).report();
        let queued = self.heads.get(&addr);
        let is_new = queued.is_some_and(|head| matches!(head.origin, Origin::New(_)));
        let none = BlockRefs {
            count: 0,
            full_backref: false,
        };
        let Some(known) = known.or(is_new.then_some(none)) else {
            let flaw = Flaw::missing("tree block is not in the extent tree");
            return Err(broken(flaw));
        };
        let delta = queued.map_or(0, |head| head.changes.sum());
        let set = queued.is_some_and(|head| head.full_backref == FullBackref::Set);
        let count = known.count.checked_add_signed(delta).ok_or_else(|| {
            let what = "tree block has fewer references than are dropped";
            broken(Flaw::new(what, known.count, delta.unsigned_abs()))
        })?;
        Ok(BlockRefs {
            count,
            full_backref: known.full_backref || set,
        })
    }

    /// What is queued for `addr`.
    pub(super) fn head(&self, addr: Logical) -> Option<&Head> {
        self.heads.get(&addr)
    }

    /// Takes the head with the lowest address that is not below `from`.
    pub(in crate::txn) fn pop_from(&mut self, from: Logical) -> Option<(Logical, Head)> {
        let addr = self.heads.ceiling(&from).map(|(&addr, _)| addr)?;
        let head = self.heads.remove(&addr)?;
        self.weight = self.weight.saturating_sub(head.weight());
        Some((addr, head))
    }
}
