// SPDX-License-Identifier: GPL-2.0
//! The groups of a class by what can be had from each, so that nobody looks at all of them.

use crate::disk::{Bytes, Logical};
use crate::map::{insert_in_order, OrdMap};
use latch::prelude::*;

/// How the free space of a group can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) enum Offer {
    /// The group can be written at once.
    Ready,
    /// The zones must be activated first.
    Asleep,
    /// The group must be read first, where it is free.
    Unread,
}

/// What a group offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::space) struct Offered {
    /// The longest piece that can be written at once.
    pub(in crate::space) ready: Bytes,
    /// The longest piece in zones that must be activated first.
    pub(in crate::space) asleep: Bytes,
    /// What is free in a group of which was not read yet where.
    pub(in crate::space) unread: Bytes,
    /// Whether nothing is in the group.
    pub(in crate::space) unused: bool,
}

/// The groups of a class, by address.
pub(in crate::space) struct GroupIndex {
    /// Ascending; a slot each.
    starts: KVVec<Logical>,
    ready: Maxima,
    asleep: Maxima,
    unread: Maxima,
    unused: OrdMap<Logical, ()>,
    /// How often a group came to offer a longer piece than before.
    risen: u64,
}

impl GroupIndex {
    pub(in crate::space) fn new() -> Self {
        Self {
            starts: KVVec::new(),
            ready: Maxima::new(),
            asleep: Maxima::new(),
            unread: Maxima::new(),
            unused: OrdMap::new(),
            risen: 0,
        }
    }

    /// A group joins, which offers nothing yet.
    pub(in crate::space) fn insert(&mut self, start: Logical) -> Result {
        let Err(slot) = self.slot_of(start) else {
            return Ok(());
        };
        self.ready.insert(slot, self.starts.len())?;
        self.asleep.insert(slot, self.starts.len())?;
        self.unread.insert(slot, self.starts.len())?;
        insert_in_order(&mut self.starts, start)
    }

    /// A group leaves.
    pub(in crate::space) fn remove(&mut self, start: Logical) {
        let Ok(slot) = self.slot_of(start) else {
            return;
        };
        let _ = self.starts.remove(slot);
        self.ready.remove(slot);
        self.asleep.remove(slot);
        self.unread.remove(slot);
        self.unused.remove(&start);
    }

    /// What a group offers from now on. This has no effect when it is not a member.
    pub(in crate::space) fn set(&mut self, start: Logical, offered: Offered) -> Result {
        let Ok(slot) = self.slot_of(start) else {
            return Ok(());
        };
        let (ready, asleep) = (self.ready.at(slot), self.asleep.at(slot));
        let is_more = offered.ready > ready || offered.asleep > asleep;
        self.risen = self.risen.wrapping_add(u64::from(is_more));
        self.ready.set(slot, offered.ready);
        self.asleep.set(slot, offered.asleep);
        self.unread.set(slot, offered.unread);
        match offered.unused {
            true => drop(self.unused.insert(start, ())?),
            false => drop(self.unused.remove(&start)),
        }
        Ok(())
    }

    /// The first group at or behind `from` that offers a piece of `len` bytes.
    pub(in crate::space) fn offering(
        &self,
        offer: Offer,
        from: Logical,
        len: Bytes,
    ) -> Option<Logical> {
        let slot = self.first_slot(from);
        let found = self.of(offer).first_from(slot, len)?;
        self.starts.get(found).copied()
    }

    /// Changes whenever a group comes to offer a longer piece than before. Who looked at one group after the other, found
    /// none that offers enough, and finds this unchanged, missed none.
    pub(in crate::space) fn risen(&self) -> u64 {
        self.risen
    }

    /// The longest piece that any group offers.
    pub(in crate::space) fn longest(&self, offer: Offer) -> Bytes {
        self.of(offer).highest()
    }

    /// The first of the groups that offer most.
    pub(in crate::space) fn best(&self, offer: Offer) -> Option<Logical> {
        let most = self.longest(offer);
        (most > Bytes::ZERO).then(|| self.offering(offer, Logical::new(0), most))?
    }

    /// The first group at or behind `from` in which there is nothing.
    pub(in crate::space) fn unused_from(&self, from: Logical) -> Option<Logical> {
        self.unused.ceiling(&from).map(|(&start, ())| start)
    }

    /// The slot of a group, or else the one that it would have.
    fn slot_of(&self, start: Logical) -> Result<usize, usize> {
        let slot = self.first_slot(start);
        match self.starts.get(slot) {
            Some(&found) if found == start => Ok(slot),
            _ => Err(slot),
        }
    }

    /// The slot of the first group at or behind `from`. The library's search can panic, as far as the compiler sees.
    fn first_slot(&self, from: Logical) -> usize {
        let (mut low, mut high) = (0usize, self.starts.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.starts.get(middle) {
                Some(&start) if start < from => low = middle.saturating_add(1),
                _ => high = middle,
            }
        }
        low
    }

    fn of(&self, offer: Offer) -> &Maxima {
        match offer {
            Offer::Ready => &self.ready,
            Offer::Asleep => &self.asleep,
            Offer::Unread => &self.unread,
        }
    }
}

/// A length for each slot, and the higher of each two above them, up to the highest of all.
struct Maxima {
    /// The one at 1 is the highest; below the one at `n` are those at `2n` and `2n + 1`. The second half is the slots.
    tree: KVVec<Bytes>,
}

impl Maxima {
    fn new() -> Self {
        Self { tree: KVVec::new() }
    }

    fn slots(&self) -> usize {
        self.tree.len() / 2
    }

    fn highest(&self) -> Bytes {
        self.tree.get(1).copied().unwrap_or_default()
    }

    /// Makes room for a slot among the first `used`, those behind it move up. New slots nearly always come last.
    fn insert(&mut self, slot: usize, used: usize) -> Result {
        let slots = self.slots();
        if used >= slots {
            let more = slots.saturating_mul(2).max(8);
            let mut tree = KVVec::from_elem(Bytes::ZERO, more.saturating_mul(2), GFP_NOFAIL)?;
            let mut old = self.tree.iter().skip(slots);
            for place in tree.iter_mut().skip(more) {
                *place = old.next().copied().unwrap_or_default();
            }
            self.tree = tree;
        } else if slot == used {
            return Ok(());
        }
        let mut carried = Bytes::ZERO;
        for place in self.values(slot) {
            carried = core::mem::replace(place, carried);
        }
        self.rebuild();
        Ok(())
    }

    /// Takes a slot out; those behind it move down.
    fn remove(&mut self, slot: usize) {
        let mut carried = Bytes::ZERO;
        for place in self.values(slot).rev() {
            carried = core::mem::replace(place, carried);
        }
        self.rebuild();
    }

    /// The numbers from a slot on.
    fn values(&mut self, slot: usize) -> impl DoubleEndedIterator<Item = &mut Bytes> {
        let first = self.slots().saturating_add(slot);
        self.tree.iter_mut().skip(first)
    }

    fn rebuild(&mut self) {
        for at in (1..self.slots()).rev() {
            self.renew(at);
        }
    }

    fn renew(&mut self, at: usize) -> Option<Bytes> {
        let left = *self.tree.get(at.checked_mul(2)?)?;
        let right = *self.tree.get(at.checked_mul(2)?.checked_add(1)?)?;
        let place = self.tree.get_mut(at)?;
        *place = left.max(right);
        Some(*place)
    }

    fn at(&self, slot: usize) -> Bytes {
        let at = self.slots().saturating_add(slot);
        self.tree.get(at).copied().unwrap_or_default()
    }

    fn set(&mut self, slot: usize, value: Bytes) {
        let mut at = self.slots().saturating_add(slot);
        match self.tree.get_mut(at) {
            Some(place) if *place != value => *place = value,
            _ => return,
        }
        while at > 1 {
            at /= 2;
            self.renew(at);
        }
    }

    /// The first slot from `slot` on with at least `least`.
    fn first_from(&self, slot: usize, least: Bytes) -> Option<usize> {
        let slots = self.slots();
        let holds = |at: usize| self.tree.get(at).is_some_and(|&value| value >= least);
        let mut at = slots.checked_add(slot).filter(|_| slot < slots)?;
        // Up until a piece to the right holds enough, and down to the first slot there.
        while !holds(at) {
            while at % 2 == 1 {
                at /= 2;
            }
            if at == 0 {
                return None;
            }
            at = at.checked_add(1)?;
        }
        while at < slots {
            at = at.checked_mul(2)?;
            if !holds(at) {
                at = at.checked_add(1)?;
            }
        }
        at.checked_sub(slots)
    }
}
