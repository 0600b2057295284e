// SPDX-License-Identifier: GPL-2.0
//! The queue: what is to change in the extent tree, merged per extent.

use crate::disk::{Flaw, Key, Logical, Place, Reference};
use crate::map::OrdMap;
use latch::prelude::*;

/// What an extent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// A tree block of this level.
    Block { level: u8 },
    /// Data of this many bytes.
    Data { len: u64 },
}

impl Extent {
    /// The number that tells it from another one at its address.
    fn measure(self) -> u64 {
        match self {
            Self::Block { level } => level.into(),
            Self::Data { len } => len,
        }
    }
}

/// Whether the extent tree has the extent's item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It has.
    Known,
    /// Allocated in this transaction; the item is to be inserted. The key is a tree block's first.
    New(Key),
}

/// Changes of reference counts. Nearly always one: it needs no memory of its own.
#[derive(Default)]
pub(super) struct Changes {
    first: Option<(Reference, i64)>,
    more: KVVec<(Reference, i64)>,
}

impl Changes {
    /// Gives all changes; none is zero.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Reference, i64)> + '_ {
        Iterator::chain(self.first.iter(), self.more.iter()).copied()
    }

    /// Whether they cancelled out.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The change of the count of all references.
    pub(super) fn sum(&self) -> i64 {
        self.iter()
            .fold(0, |sum, (_, delta)| sum.saturating_add(delta))
    }

    fn add(&mut self, reference: Reference, delta: i64) -> Result {
        let is_empty = self.first.is_none();
        let mut all = Iterator::chain(self.first.iter_mut(), self.more.iter_mut());
        match all.find(|(known, _)| *known == reference) {
            Some((_, sum)) => *sum = sum.saturating_add(delta),
            None if is_empty => self.first = Some((reference, delta)),
            None => self.more.push((reference, delta), GFP_NOFAIL)?,
        }
        self.drop_zero();
        Ok(())
    }

    /// Removes the change that became zero, if one did, and keeps `first` filled.
    fn drop_zero(&mut self) {
        if let Some(at) = self.more.iter().position(|(_, delta)| *delta == 0) {
            if let Some(last) = self.more.pop() {
                if let Some(hole) = self.more.get_mut(at) {
                    *hole = last;
                }
            }
        }
        if matches!(self.first, Some((_, 0))) {
            self.first = self.more.pop();
        }
    }
}

/// All that is queued for one extent.
pub(super) struct Head {
    /// What it is.
    pub(super) extent: Extent,
    /// New or not.
    pub(super) origin: Origin,
    /// Set the flag that the block's children are referenced by its address.
    pub(super) full_backref: FullBackref,
    /// The references.
    pub(super) changes: Changes,
}

/// Whether a head sets the full backref flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FullBackref {
    /// The flag stays as it is.
    Keep,
    /// It is set.
    Set,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// It waits.
    Waiting,
    /// It met its opposite.
    Cancelled,
    /// It was the last reference of a new tree block: nobody will ever know of it. The address is the caller's.
    Vanished,
}

/// Heads by address.
pub(in crate::txn) struct Queue {
    heads: OrdMap<Logical, Head>,
}

impl Queue {
    /// An empty queue.
    pub(in crate::txn) fn new() -> Self {
        Self {
            heads: OrdMap::new(),
        }
    }

    /// How many extents are concerned.
    pub(in crate::txn) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Queues the first reference of an extent allocated now. The address is not queued already.
    pub(super) fn insert_new(
        &mut self,
        addr: Logical,
        extent: Extent,
        first_key: Key,
        reference: Reference,
    ) -> Result {
        if self.heads.get(&addr).is_some() {
            let flaw = Flaw::new("free space has an extent that is in use", 1, 0);
            return Err(flaw.at(Place::Extent(addr)).report());
        }
        let mut head = Head::new(extent, Origin::New(first_key));
        head.changes.add(reference, 1)?;
        self.heads.insert(addr, head)?;
        Ok(())
    }

    /// Queues `delta` more references.
    pub(super) fn change(
        &mut self,
        addr: Logical,
        extent: Extent,
        reference: Reference,
        delta: i64,
    ) -> Result<Queued> {
        let Some(head) = self.heads.get_mut(&addr) else {
            let mut head = Head::new(extent, Origin::Known);
            head.changes.add(reference, delta)?;
            self.heads.insert(addr, head)?;
            return Ok(Queued::Waiting);
        };
        head.expect(addr, extent)?;
        head.changes.add(reference, delta)?;
        if !head.changes.is_empty() {
            return Ok(Queued::Waiting);
        }
        match (head.origin, extent) {
            // Its checksums may be in the tree already: the runner sees to that.
            (Origin::New(_), Extent::Data { .. }) => Ok(Queued::Cancelled),
            (Origin::New(_), Extent::Block { .. }) => {
                self.heads.remove(&addr);
                Ok(Queued::Vanished)
            }
            (Origin::Known, _) => {
                if head.full_backref == FullBackref::Keep {
                    self.heads.remove(&addr);
                }
                Ok(Queued::Cancelled)
            }
        }
    }

    /// Queues the full backref flag of a tree block.
    pub(super) fn set_full_backref(&mut self, addr: Logical, level: u8) -> Result {
        let extent = Extent::Block { level };
        if let Some(head) = self.heads.get_mut(&addr) {
            head.expect(addr, extent)?;
            head.full_backref = FullBackref::Set;
            return Ok(());
        }
        let mut head = Head::new(extent, Origin::Known);
        head.full_backref = FullBackref::Set;
        self.heads.insert(addr, head)?;
        Ok(())
    }

    /// What is queued for `addr`.
    pub(super) fn get(&self, addr: Logical) -> Option<&Head> {
        self.heads.get(&addr)
    }

    /// Takes the head with the lowest address.
    pub(super) fn pop(&mut self) -> Option<(Logical, Head)> {
        self.heads.pop_first()
    }
}

impl Head {
    fn new(extent: Extent, origin: Origin) -> Self {
        Self {
            extent,
            origin,
            full_backref: FullBackref::Keep,
            changes: Changes::default(),
        }
    }

    /// Two trees that disagree what an address holds are corrupt.
    fn expect(&self, addr: Logical, extent: Extent) -> Result {
        if self.extent == extent {
            return Ok(());
        }
        let what = match (self.extent, extent) {
            (Extent::Data { .. }, Extent::Data { .. }) => "data has another length",
            (Extent::Block { .. }, Extent::Block { .. }) => "tree block has another level",
            (Extent::Data { .. }, Extent::Block { .. }) => "data is referenced as a tree block",
            (Extent::Block { .. }, Extent::Data { .. }) => "tree block is referenced as data",
        };
        let flaw = Flaw::new(what, self.extent.measure(), extent.measure());
        Err(flaw.at(Place::Extent(addr)).report())
    }
}
