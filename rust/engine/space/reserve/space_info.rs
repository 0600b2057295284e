// SPDX-License-Identifier: GPL-2.0
//! What a class of block groups has and has promised, under its lock: where ENOSPC is decided (C: `space-info.c`).

use super::demand::{Reserve, Return, Withdrawal};
use super::index::{GroupIndex, Offer};
use super::tally::{ByteState, Tally};
use super::totals::{Growth, Spare, Totals};
use crate::disk::{Bug, Bytes, Flaw};
use crate::space::{Class, Shortage, Urgency};
use latch::prelude::*;
use latch::{Mutex, MutexGuard, Rank};

/// A class's books under their lock.
///
/// Lock order: `GroupIndex` > `SpaceTotals`.
pub(in crate::space) struct SpaceInfo {
    class: Class,
    totals: Mutex<Totals>,
    index: Mutex<GroupIndex>,
}

impl SpaceInfo {
    pub(in crate::space) fn new(class: Class) -> Result<Self> {
        Ok(Self {
            class,
            totals: Mutex::new(Totals::default(), Rank::SpaceTotals)?,
            index: Mutex::new(GroupIndex::new(), Rank::GroupIndex)?,
        })
    }

    pub(in crate::space) fn class(&self) -> Class {
        self.class
    }

    pub(in crate::space) fn lock(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock()
    }

    /// The groups by what can be had from each.
    pub(in crate::space) fn index(&self) -> MutexGuard<'_, GroupIndex> {
        self.index.lock()
    }

    /// The groups by what can be had from each, unless somebody has the lock.
    pub(in crate::space) fn try_index(&self) -> Option<MutexGuard<'_, GroupIndex>> {
        self.index.try_lock()
    }

    /// The longest piece that can be had from any group.
    pub(in crate::space) fn longest(&self, offer: Offer) -> Bytes {
        self.index.lock().longest(offer)
    }

    /// The longest piece of any group, whether its zones are active or not.
    pub(in crate::space) fn longest_of_all(&self) -> Bytes {
        let index = self.index.lock();
        index
            .longest(Offer::Ready)
            .max(index.longest(Offer::Asleep))
    }

    /// The count of [`GroupIndex::risen`].
    pub(in crate::space) fn risen(&self) -> u64 {
        self.index.lock().risen()
    }

    /// Promises bytes, or tells what would help. With [`Urgency::Promised`] there is one [`Awaited`](super::Awaited) more.
    pub(in crate::space) fn promise(&self, bytes: Bytes, urgency: Urgency) -> Result<(), Shortage> {
        let mut totals = self.totals.lock();
        if totals.promise(self.class, bytes, urgency).is_none() {
            let shortage = totals.shortage(self.class, bytes, urgency);
            // What is there and only has to be read presses nobody.
            totals.pressed |= !matches!(shortage, Shortage::Unread(_));
            return Err(shortage);
        }
        if urgency == Urgency::Promised {
            totals.awaited = totals.awaited.saturating_add(1);
        }
        Ok(())
    }

    /// Whether no user was promised `bytes` of what is free.
    pub(in crate::space) fn can_lose(&self, bytes: Bytes) -> bool {
        let mut totals = *self.totals.lock();
        totals.lose(bytes, Reserve::Kept) == Withdrawal::Done
    }

    /// Makes free bytes unusable, unless they were promised to a user or are kept back more than `reserve` says.
    pub(in crate::space) fn lose(&self, bytes: Bytes, reserve: Reserve) -> Withdrawal {
        self.totals.lock().lose(bytes, reserve)
    }

    /// It is not known any more where a group of `bytes` is free, of which `free` cannot be allocated now. Unless that was
    /// promised, or somebody has the lock.
    pub(in crate::space) fn try_forget(&self, free: Bytes, bytes: Bytes) -> Result<Withdrawal> {
        let Some(mut totals) = self.totals.try_lock() else {
            return Ok(Withdrawal::Refused);
        };
        if !totals.can_lose(free) {
            return Ok(Withdrawal::Refused);
        }
        totals
            .tally
            .shift(free, ByteState::Free, ByteState::Unread)
            .map_err(differs)?;
        totals.known = totals.known.saturating_sub(bytes);
        Ok(Withdrawal::Done)
    }

    /// Bytes of the groups of which it is known where they are free. `None` where somebody has the lock.
    pub(in crate::space) fn try_known(&self) -> Option<Bytes> {
        self.totals.try_lock().map(|totals| totals.known)
    }

    /// It became known where a group of `bytes` is free.
    pub(in crate::space) fn note_known(&self, bytes: Bytes) {
        let mut totals = self.totals.lock();
        totals.known = totals.known.saturating_add(bytes);
    }

    /// It is not known any more where a group of `bytes` is free.
    pub(in crate::space) fn note_forgotten(&self, bytes: Bytes) {
        let mut totals = self.totals.lock();
        totals.known = totals.known.saturating_sub(bytes);
    }

    /// What is free in a group with this tally becomes read-only if the class does without it. `dead` as in
    /// [`Totals::can_spare`].
    pub(in crate::space) fn give_up_spare(&self, group: &Tally, dead: Bytes) -> Result<Withdrawal> {
        let mut totals = self.totals.lock();
        if totals.can_spare(self.class, group, dead) != Spare::Yes {
            return Ok(Withdrawal::Refused);
        }
        totals
            .tally
            .shift(group.free(), ByteState::Free, ByteState::ReadOnly)
            .map_err(differs)?;
        Ok(Withdrawal::Done)
    }

    /// Free bytes become read-only for a while, unless what was promised needs them.
    pub(in crate::space) fn lend(&self, bytes: Bytes) -> Withdrawal {
        self.totals.lock().lend(self.class, bytes)
    }

    /// Whether a reservation was refused since the last commit.
    pub(in crate::space) fn is_pressed(&self) -> bool {
        self.totals.lock().pressed
    }

    /// Takes a promise back.
    pub(in crate::space) fn unpromise(&self, bytes: Bytes) {
        if bytes == Bytes::ZERO {
            return;
        }
        let mut totals = self.totals.lock();
        totals.unpromise(bytes);
        totals.fill_global(self.class);
    }

    /// A promise becomes an allocation: `drawn` of its `bytes` come from a reservation, the rest from the global
    /// reserve as far as that goes.
    pub(in crate::space) fn allocated(&self, bytes: Bytes, drawn: Bytes) -> Result {
        let mut totals = self.totals.lock();
        totals
            .tally
            .shift(bytes, ByteState::Free, ByteState::Reserved)
            .map_err(differs)?;
        let from_global = bytes.saturating_sub(drawn).min(totals.global.held);
        totals.global.held = totals.global.held.saturating_sub(from_global);
        totals.unpromise(drawn.saturating_add(from_global));
        Ok(())
    }

    /// An allocation that was not written becomes `to`, and its bytes are promised to who had them, with nobody coming in
    /// between. On sequential zones the same bytes cannot be had again, and others may be promised.
    pub(in crate::space) fn give_back_promised(
        &self,
        bytes: Bytes,
        to: ByteState,
    ) -> Result<Return> {
        let mut totals = self.totals.lock();
        totals
            .tally
            .shift(bytes, ByteState::Reserved, to)
            .map_err(differs)?;
        let promised = totals.promise(self.class, bytes, Urgency::Ordinary);
        if to == ByteState::Free {
            totals.fill_global(self.class);
        }
        Ok(match promised {
            Some(()) => Return::Promised,
            None => Return::Lost,
        })
    }

    /// What a commit could give back has come back.
    pub(in crate::space) fn relax(&self) {
        self.totals.lock().pressed = false;
    }

    /// Moves bytes from one state to another.
    pub(in crate::space) fn shift(&self, bytes: Bytes, from: ByteState, to: ByteState) -> Result {
        let mut totals = self.totals.lock();
        totals.tally.shift(bytes, from, to).map_err(differs)?;
        if to == ByteState::Free {
            totals.fill_global(self.class);
        }
        Ok(())
    }

    /// A group joins.
    pub(in crate::space) fn add(&self, tally: &Tally) {
        let mut totals = self.totals.lock();
        totals.tally.add(tally);
        totals.fill_global(self.class);
    }

    /// A group leaves.
    pub(in crate::space) fn subtract(&self, tally: &Tally) {
        self.totals.lock().tally.subtract(tally);
    }

    /// Tells what the devices could still add.
    pub(in crate::space) fn set_growth(&self, growth: Growth) {
        let mut totals = self.totals.lock();
        totals.growth = growth;
        totals.fill_global(self.class);
    }

    /// Gives the global reserve a new size.
    pub(in crate::space) fn resize_global(&self, size: Bytes) {
        self.totals.lock().resize_global(self.class, size);
    }
}

/// The totals of a class are not the sum of its groups, whose own tallies let the bytes pass.
#[cold]
fn differs(flaw: Flaw) -> Error {
    Bug::new(flaw.what).of(flaw.found).report()
}
