// SPDX-License-Identifier: GPL-2.0
//! What waits for one extent.

use crate::disk::{Bytes, Flaw, Key, Logical, Reference, Site};
use crate::map::OrdMap;
use latch::prelude::*;

/// What an extent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::txn) enum Extent {
    /// A tree block of this level.
    Block { level: u8 },
    /// Data of this many bytes.
    Data { len: Bytes },
}

impl Extent {
    /// The number that tells it from another one at its address.
    fn measure(self) -> u64 {
        match self {
            Self::Block { level } => level.into(),
            Self::Data { len } => len.get(),
        }
    }
}

/// Whether the extent tree has the extent's item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The extent tree has the item.
    Known,
    /// Allocated in this transaction; the item is to be inserted. The key is a tree block's first.
    New(Key),
}

/// What a reference goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::txn) enum Change {
    /// The reference is the first one of an extent allocated now. The key is a tree block's first.
    New(Key),
    /// The reference is made once more.
    Add,
    /// The reference is dropped once.
    Drop,
}

impl Change {
    /// By how much it changes the count of all references.
    const fn of_count(self) -> i64 {
        match self {
            Self::New(_) | Self::Add => 1,
            Self::Drop => -1,
        }
    }
}

/// How often a reference was made and dropped while it waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::txn) struct Counts {
    pub(super) added: u32,
    pub(super) dropped: u32,
}

impl Counts {
    /// By how much the extent tree's count is to change.
    pub(super) fn net(self) -> i64 {
        i64::from(self.added).saturating_sub(self.dropped.into())
    }

    /// How many additions met a drop: the extent tree never learns of either.
    pub(in crate::txn) fn met(self) -> u32 {
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

/// The references of one extent that changed. Nearly always one: it needs no memory of its own. There may be a million, of a
/// file that has one extent in as many places.
#[derive(Default)]
pub(super) struct Changes {
    first: Option<(Reference, Counts)>,
    /// Empty where there is no first one.
    more: OrdMap<Reference, Counts>,
    sum: i64,
}

impl Changes {
    /// Gives all of them. None was added as often as it was dropped.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Reference, Counts)> + '_ {
        let more = self.more.iter().map(|(known, counts)| (*known, *counts));
        Iterator::chain(self.first.iter().copied(), more)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()).saturating_add(self.more.len())
    }

    /// Whether they cancelled out.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The change of the count of all references.
    pub(super) fn sum(&self) -> i64 {
        self.sum
    }

    /// Notes a change; gives the reference's counts if these cancel out by it, in which case it is forgotten.
    pub(super) fn note(&mut self, reference: Reference, change: Change) -> Result<Option<Counts>> {
        let mut counts = self.known(reference).unwrap_or_default();
        counts.note(change)?;
        self.sum = self.sum.saturating_add(change.of_count());
        if counts.net() == 0 {
            self.forget(reference);
            return Ok(Some(counts));
        }
        match &mut self.first {
            Some((first, known)) if *first == reference => *known = counts,
            Some(_) => {
                self.more.insert(reference, counts)?;
            }
            None => self.first = Some((reference, counts)),
        }
        Ok(None)
    }

    fn known(&self, reference: Reference) -> Option<Counts> {
        match self.first {
            Some((first, counts)) if first == reference => Some(counts),
            _ => self.more.get(&reference).copied(),
        }
    }

    /// Takes a reference out.
    fn forget(&mut self, reference: Reference) {
        match self.first {
            Some((first, _)) if first == reference => self.first = self.more.pop_first(),
            _ => {
                self.more.remove(&reference);
            }
        }
    }
}

/// All that is queued for one extent.
pub(in crate::txn) struct Head {
    /// The extent that is referred to.
    pub(super) extent: Extent,
    /// Whether the extent tree has its item.
    pub(super) origin: Origin,
    /// Set the flag that the block's children are referenced by its address.
    pub(super) full_backref: FullBackref,
    /// The references that come and go.
    pub(super) changes: Changes,
}

/// What there is to do for a head.
pub(super) enum Leftover {
    /// The trees are to be changed.
    Work,
    /// Nothing: the extent is as it was.
    Nothing,
    /// The extent was allocated and dropped: its address has to go where it came from.
    Address,
}

/// Whether a head sets the full backref flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FullBackref {
    /// The flag stays as it is.
    Keep,
    /// The flag is set.
    Set,
}

impl Head {
    pub(super) fn new(extent: Extent, origin: Origin) -> Self {
        Self {
            extent,
            origin,
            full_backref: FullBackref::Keep,
            changes: Changes::default(),
        }
    }

    /// How much there is to do for it: its references, each of which may have an item of its own.
    pub(super) fn weight(&self) -> usize {
        self.changes.len().max(1)
    }

    /// How many additions met a drop, of all references that wait.
    pub(in crate::txn) fn met(&self) -> u32 {
        let met = self.changes.iter().map(|(_, counts)| counts.met());
        met.fold(0, u32::saturating_add)
    }

    /// What there is to do for it now.
    pub(super) fn leftover(&self) -> Leftover {
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
    pub(super) fn expect(&self, addr: Logical, extent: Extent) -> Result {
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
        Err(flaw.at(Site::Extent(addr)).report())
    }
}
