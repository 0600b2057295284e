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

/// What a reference goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is the first one of an extent allocated now. The key is a tree block's first.
    New(Key),
    /// It is made once more.
    Add,
    /// It is dropped once.
    Drop,
}

/// How often a reference was made and dropped while it waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) added: u32,
    pub(super) dropped: u32,
}

impl Counts {
    /// By how much the extent tree's count is to change.
    pub(super) fn net(self) -> i64 {
        i64::from(self.added).saturating_sub(self.dropped.into())
    }

    /// How many additions met a drop: the extent tree never learns of either.
    pub(super) fn met(self) -> u32 {
        self.added.min(self.dropped)
    }

    fn note(&mut self, change: Change) -> Result {
        let count = match change {
            Change::New(_) | Change::Add => &mut self.added,
            Change::Drop => &mut self.dropped,
        };
        *count = count.checked_add(1).ok_or(EOVERFLOW)?;
        Ok(())
    }
}

/// The references of one extent that changed. Nearly always one: it needs no memory of its own.
#[derive(Default)]
pub(super) struct Changes {
    first: Option<(Reference, Counts)>,
    more: KVVec<(Reference, Counts)>,
}

impl Changes {
    /// Gives all of them. None was added as often as it was dropped.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Reference, Counts)> + '_ {
        Iterator::chain(self.first.iter(), self.more.iter()).copied()
    }

    /// Whether they cancelled out.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The change of the count of all references.
    pub(super) fn sum(&self) -> i64 {
        self.iter()
            .fold(0, |sum, (_, counts)| sum.saturating_add(counts.net()))
    }

    /// Enters a change; gives the reference's counts if these cancel out by it, in which case it is forgotten.
    fn note(&mut self, reference: Reference, change: Change) -> Result<Option<Counts>> {
        let mut all = Iterator::chain(self.first.iter_mut(), self.more.iter_mut());
        if let Some((_, counts)) = all.find(|(known, _)| *known == reference) {
            counts.note(change)?;
            let counts = *counts;
            if counts.net() == 0 {
                self.forget(reference);
                return Ok(Some(counts));
            }
            return Ok(None);
        }
        let mut counts = Counts::default();
        counts.note(change)?;
        match self.first {
            None => self.first = Some((reference, counts)),
            Some(_) => self.more.push((reference, counts), GFP_NOFAIL)?,
        }
        Ok(None)
    }

    /// Takes a reference out: the last one takes its place.
    fn forget(&mut self, reference: Reference) {
        let Some(last) = self.more.pop() else {
            self.first = None;
            return;
        };
        let mut all = Iterator::chain(self.first.iter_mut(), self.more.iter_mut());
        if let Some(place) = all.find(|(known, _)| *known == reference) {
            *place = last;
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

/// What there is to do for a head.
enum Leftover {
    /// The trees are to be changed.
    Work,
    /// Nothing: the extent is as it was.
    Nothing,
    /// It was allocated and dropped: its address has to go where it came from.
    Address,
}

/// Whether a head sets the full backref flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FullBackref {
    /// The flag stays as it is.
    Keep,
    /// It is set.
    Set,
}

/// What became of a change. Whoever queued it is told of all that the queue forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// It waits.
    Waiting,
    /// Its reference has been added as often as dropped, and is forgotten.
    Cancelled(Counts),
    /// The same, and it was the last reference of a new tree block, which is forgotten too: its address is the caller's.
    Vanished(Counts),
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

    /// Queues a change of one reference. All changes come in here, before anything has cancelled out.
    pub(super) fn change(
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
            self.heads.insert(addr, head)?;
            return Ok(Queued::Waiting);
        };
        if matches!(change, Change::New(_)) {
            let flaw = Flaw::new("free space has an extent that is in use", 1, 0);
            return Err(flaw.at(Place::Extent(addr)).report());
        }
        head.expect(addr, extent)?;
        let Some(counts) = head.changes.note(reference, change)? else {
            return Ok(Queued::Waiting);
        };
        match head.leftover() {
            Leftover::Work => Ok(Queued::Cancelled(counts)),
            Leftover::Nothing => {
                self.heads.remove(&addr);
                Ok(Queued::Cancelled(counts))
            }
            Leftover::Address => {
                self.heads.remove(&addr);
                Ok(Queued::Vanished(counts))
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

    /// What there is to do for it now.
    fn leftover(&self) -> Leftover {
        match (self.origin, self.extent) {
            _ if !self.changes.is_empty() => Leftover::Work,
            // Its checksums may be in the tree already: the runner sees to that.
            (Origin::New(_), Extent::Data { .. }) => Leftover::Work,
            (Origin::New(_), Extent::Block { .. }) => Leftover::Address,
            (Origin::Known, _) if self.full_backref == FullBackref::Set => Leftover::Work,
            (Origin::Known, _) => Leftover::Nothing,
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
