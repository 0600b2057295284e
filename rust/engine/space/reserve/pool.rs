// SPDX-License-Identifier: GPL-2.0
//! What a class of block groups has and has promised: where ENOSPC is decided.

use crate::space::{Class, Shortage, Urgency};
use latch::prelude::*;
use latch::{Mutex, MutexGuard};

/// The state of a byte of a block group. See the picture in [`super`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) enum State {
    /// Can be allocated.
    Free,
    /// Allocated, no extent item yet.
    Reserved,
    /// Has an extent item.
    Used,
    /// Freed by a transaction that is not durable yet.
    Pinned,
    /// On a sequential zone, before the write pointer, belonging to nothing.
    Unusable,
    /// In a group that must not be allocated from, or part of a superblock copy.
    ReadOnly,
}

/// Bytes by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::space) struct Tally {
    pub(in crate::space) total: u64,
    pub(in crate::space) reserved: u64,
    pub(in crate::space) used: u64,
    pub(in crate::space) pinned: u64,
    pub(in crate::space) unusable: u64,
    pub(in crate::space) read_only: u64,
}

impl Tally {
    /// Bytes that can be allocated.
    pub(in crate::space) fn free(&self) -> u64 {
        let taken = [
            self.reserved,
            self.used,
            self.pinned,
            self.unusable,
            self.read_only,
        ];
        taken
            .iter()
            .fold(self.total, |left, &bytes| left.saturating_sub(bytes))
    }

    /// Moves bytes from one state to another. `EUCLEAN` if there are not as many: the books are wrong.
    pub(in crate::space) fn shift(&mut self, bytes: u64, from: State, to: State) -> Result {
        let left = self.of(from).checked_sub(bytes).ok_or(EUCLEAN)?;
        let more = self.of(to).checked_add(bytes).ok_or(EUCLEAN)?;
        if from == to {
            return Ok(());
        }
        self.set(from, left);
        self.set(to, more);
        Ok(())
    }

    /// Adds another's bytes: a group joins a class.
    pub(in crate::space) fn add(&mut self, other: &Tally) {
        self.combine(other, u64::saturating_add);
    }

    /// Takes another's bytes off: a group leaves a class.
    pub(in crate::space) fn subtract(&mut self, other: &Tally) {
        self.combine(other, u64::saturating_sub);
    }

    fn combine(&mut self, other: &Tally, with: impl Fn(u64, u64) -> u64) {
        self.total = with(self.total, other.total);
        self.reserved = with(self.reserved, other.reserved);
        self.used = with(self.used, other.used);
        self.pinned = with(self.pinned, other.pinned);
        self.unusable = with(self.unusable, other.unusable);
        self.read_only = with(self.read_only, other.read_only);
    }

    fn of(&self, state: State) -> u64 {
        match state {
            State::Free => self.free(),
            State::Reserved => self.reserved,
            State::Used => self.used,
            State::Pinned => self.pinned,
            State::Unusable => self.unusable,
            State::ReadOnly => self.read_only,
        }
    }

    fn set(&mut self, state: State, bytes: u64) {
        match state {
            State::Free => {}
            State::Reserved => self.reserved = bytes,
            State::Used => self.used = bytes,
            State::Pinned => self.pinned = bytes,
            State::Unusable => self.unusable = bytes,
            State::ReadOnly => self.read_only = bytes,
        }
    }
}

/// What is kept back for commits and for freeing on a full volume (C: `global_block_rsv`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::space) struct GlobalReserve {
    /// What it should hold.
    pub(in crate::space) size: u64,
    /// What it holds; a part of [`Totals::promised`].
    pub(in crate::space) held: u64,
}

/// What the devices could add to a class.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::space) struct Growth {
    /// Bytes of new chunks of the class's profile.
    pub(in crate::space) bytes: u64,
    /// Bytes of the next one of them; zero when the devices are full.
    pub(in crate::space) next_chunk: u64,
    /// Bytes that the next data chunk would take from these.
    pub(in crate::space) data_chunk: u64,
}

/// The books of one class.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::space) struct Totals {
    /// All groups of the class.
    pub(in crate::space) tally: Tally,
    /// Bytes promised and not allocated (C: `bytes_may_use`), with the global reserve.
    pub(in crate::space) promised: u64,
    /// Kept back; metadata only.
    pub(in crate::space) global: GlobalReserve,
    /// What chunks could still be allocated.
    pub(in crate::space) growth: Growth,
    /// A reservation was refused since the last commit.
    pub(in crate::space) pressed: bool,
}

/// One in this many bytes that handles reserve is what they may really come to use: a reservation counts eight new
/// blocks and eight splits for each item.
const WORST_CASE: u64 = 8;

impl Totals {
    /// Promises that groups and chunks to come may hold beyond what is free now. Data is used to the last byte and is
    /// promised only where it can lie.
    fn overcommit(&self, class: Class) -> u64 {
        match class {
            Class::Data => 0,
            Class::Metadata | Class::System => self
                .growth
                .bytes
                .saturating_sub(self.growth.data_chunk)
                .wrapping_shr(1),
        }
    }

    /// Free bytes without which blocks might run out before a chunk can be added: the global reserve in full, and
    /// what the handles' promises can come to.
    fn floor(&self, promised: u64) -> u64 {
        let others = promised.saturating_sub(self.global.held);
        self.global
            .held
            .saturating_add(others.checked_div(WORST_CASE).unwrap_or(others))
    }

    fn fits(&self, class: Class, promised: u64) -> bool {
        let free = self.tally.free();
        promised <= free
            || (promised <= free.saturating_add(self.overcommit(class))
                && self.floor(promised) <= free)
    }

    fn promise(&mut self, class: Class, bytes: u64, urgency: Urgency) -> Option<()> {
        let promised = self.promised.checked_add(bytes)?;
        if self.fits(class, promised) {
            self.promised = promised;
            return Some(());
        }
        let spare = match urgency {
            Urgency::Ordinary => return None,
            Urgency::Freeing => self
                .global
                .held
                .saturating_sub(self.global.size.wrapping_shr(3)),
            Urgency::Commit => self.global.held,
        };
        if spare < bytes && urgency == Urgency::Freeing {
            return None;
        }
        let drawn = spare.min(bytes);
        self.global.held = self.global.held.saturating_sub(drawn);
        self.promised = self.promised.saturating_add(bytes.saturating_sub(drawn));
        Some(())
    }

    fn shortage(&self, class: Class, bytes: u64) -> Shortage {
        if self.growth.next_chunk > 0 {
            return Shortage::NeedChunk(class);
        }
        let needed = self.promised.saturating_add(bytes);
        if needed <= self.tally.free().saturating_add(self.tally.pinned) {
            return Shortage::NeedCommit;
        }
        Shortage::Full
    }

    /// Whether so little is free that a chunk should be added before it is asked for.
    pub(in crate::space) fn is_low(&self, margin: u64) -> bool {
        self.tally.free()
            < self
                .floor(self.promised)
                .saturating_add(margin.min(self.tally.total / 8))
    }

    /// Whether the class does without a group with this tally.
    pub(in crate::space) fn can_spare(&self, group: &Tally) -> bool {
        let left = self.tally.free().saturating_sub(group.free());
        let total = self.tally.total.saturating_sub(group.total);
        left >= self.promised && left >= (total / 8).min(group.total)
    }

    /// Whether `bytes` of what is free were promised to nobody.
    fn can_lose(&self, bytes: u64) -> bool {
        self.promised.saturating_add(bytes) <= self.tally.free()
    }

    /// Fills the global reserve as far as free space allows.
    fn fill_global(&mut self, class: Class) {
        let missing = self.global.size.saturating_sub(self.global.held);
        let room = self
            .tally
            .free()
            .saturating_add(self.overcommit(class))
            .saturating_sub(self.promised);
        let more = missing.min(room);
        self.global.held = self.global.held.saturating_add(more);
        self.promised = self.promised.saturating_add(more);
    }

    /// Takes promised bytes back: `bytes` are not needed any more.
    fn unpromise(&mut self, bytes: u64) {
        self.promised = self.promised.saturating_sub(bytes);
    }

    /// Gives the global reserve a new size.
    fn resize_global(&mut self, class: Class, size: u64) {
        self.global.size = size;
        let surplus = self.global.held.saturating_sub(size);
        self.global.held = self.global.held.saturating_sub(surplus);
        self.unpromise(surplus);
        self.fill_global(class);
    }
}

/// A class's books under their lock, the innermost of this layer.
pub(in crate::space) struct Pool {
    class: Class,
    totals: Mutex<Totals>,
}

impl Pool {
    pub(in crate::space) fn new(class: Class) -> Result<Self> {
        Ok(Self {
            class,
            totals: Mutex::new(Totals::default(), latch::class!("rbtrfs_space_totals"))?,
        })
    }

    pub(in crate::space) fn class(&self) -> Class {
        self.class
    }

    pub(in crate::space) fn lock(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock()
    }

    /// Promises bytes, or tells what would help.
    pub(in crate::space) fn promise(&self, bytes: u64, urgency: Urgency) -> Result<(), Shortage> {
        let mut totals = self.totals.lock();
        totals.promise(self.class, bytes, urgency).ok_or_else(|| {
            totals.pressed = true;
            totals.shortage(self.class, bytes)
        })
    }

    /// Whether nobody was promised `bytes` of what is free.
    pub(in crate::space) fn can_lose(&self, bytes: u64) -> bool {
        self.totals.lock().can_lose(bytes)
    }

    /// Makes free bytes unusable, unless they were promised; whether it did.
    pub(in crate::space) fn lose(&self, bytes: u64) -> Result<bool> {
        let mut totals = self.totals.lock();
        if !totals.can_lose(bytes) {
            return Ok(false);
        }
        totals.tally.shift(bytes, State::Free, State::Unusable)?;
        Ok(true)
    }

    /// Whether a reservation was refused since the last commit.
    pub(in crate::space) fn is_pressed(&self) -> bool {
        self.totals.lock().pressed
    }

    /// Takes a promise back.
    pub(in crate::space) fn unpromise(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut totals = self.totals.lock();
        totals.unpromise(bytes);
        totals.fill_global(self.class);
    }

    /// A promise becomes an allocation: `drawn` of its `bytes` come from a reservation, the rest from the global
    /// reserve as far as that goes.
    pub(in crate::space) fn allocated(&self, bytes: u64, drawn: u64) -> Result {
        let mut totals = self.totals.lock();
        totals.tally.shift(bytes, State::Free, State::Reserved)?;
        let from_global = bytes.saturating_sub(drawn).min(totals.global.held);
        totals.global.held = totals.global.held.saturating_sub(from_global);
        totals.unpromise(drawn.saturating_add(from_global));
        Ok(())
    }

    /// An allocation that was not written becomes `to`, and its bytes are promised to who had them, with nobody coming in
    /// between. Whether they are: on sequential zones the same bytes cannot be had again, and others may be promised.
    pub(in crate::space) fn give_back_promised(&self, bytes: u64, to: State) -> Result<bool> {
        let mut totals = self.totals.lock();
        totals.tally.shift(bytes, State::Reserved, to)?;
        let promised = totals.promise(self.class, bytes, Urgency::Ordinary);
        if to == State::Free {
            totals.fill_global(self.class);
        }
        Ok(promised.is_some())
    }

    /// What a commit could give back has come back.
    pub(in crate::space) fn relax(&self) {
        self.totals.lock().pressed = false;
    }

    /// Moves bytes from one state to another.
    pub(in crate::space) fn shift(&self, bytes: u64, from: State, to: State) -> Result {
        let mut totals = self.totals.lock();
        totals.tally.shift(bytes, from, to)?;
        if to == State::Free {
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
    pub(in crate::space) fn resize_global(&self, size: u64) {
        self.totals.lock().resize_global(self.class, size);
    }
}
