// SPDX-License-Identifier: GPL-2.0
//! One block group: its bytes by state, and where they are free.

use super::activity::Activity;
use super::items::Items;
use crate::disk::{Bytes, Flaw, Logical, Site};
use crate::space::free::policy::{Appending, FreeSpace, Idle};
use crate::space::free::ranges::{Span, Wish};
use crate::space::reserve::{ByteState, GroupIndex, Offered, Return, SpaceInfo, Tally, Withdrawal};
use crate::space::write_order::{Closing, Ending};
use crate::space::{Class, Reservation};
use crate::volume::Chunk;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, MutexGuard, Rank};

/// Whether addresses may be taken from a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) enum Allocation {
    /// Addresses may be taken.
    Open,
    /// No address may be taken: the group is on its way out, or its zones were finished before they were full.
    Closed,
}

/// How an attempt to empty a group ended.
#[derive(Clone, Copy, Debug)]
pub(in crate::space) struct Tried {
    /// Bytes that were still in use.
    pub(in crate::space) in_use: Bytes,
    /// How many transactions had become durable when it began.
    pub(in crate::space) commits: u64,
}

/// What changes in a group, under its lock.
pub(in crate::space) struct Body {
    pub(in crate::space) tally: Tally,
    pub(in crate::space) free_space: FreeSpace,
    pub(in crate::space) allocation: Allocation,
    /// What the zones are to the device.
    pub(in crate::space) activity: Activity,
    /// File data whose IO has begun or may begin and has not ended, on sequential zones.
    pub(in crate::space) under_way: Bytes,
    /// File data that was given up before it was written: the zones are not full by themselves.
    pub(in crate::space) unwritten: Bytes,
    /// What is left of the zones behind the last byte that can be allocated.
    pub(in crate::space) ending: Ending,
    /// How an attempt to empty the group ended, since its zones were reset.
    pub(in crate::space) tried: Option<Tried>,
    /// How often the zones were reset.
    pub(in crate::space) resets: u64,
    /// Bytes of superblock copies, which are read-only for ever.
    pub(in crate::space) superblocks: Bytes,
    /// What the index of the class knows.
    pub(in crate::space) offered: Offered,
}

impl Body {
    /// Whether nothing is in the group.
    pub(in crate::space) fn is_unused(&self) -> bool {
        let tally = self.tally;
        tally.used == Bytes::ZERO && tally.reserved == Bytes::ZERO && tally.pinned == Bytes::ZERO
    }

    /// The allocation state, on sequential zones.
    pub(in crate::space) fn as_appending(&self) -> Option<&Appending> {
        match &self.free_space {
            FreeSpace::Append(appending) => Some(appending),
            FreeSpace::Anywhere(_) | FreeSpace::Unread(_) | FreeSpace::GivenUp => None,
        }
    }

    /// The allocation state, on sequential zones, to change.
    pub(in crate::space) fn appending(&mut self) -> Option<&mut Appending> {
        match &mut self.free_space {
            FreeSpace::Append(appending) => Some(appending),
            FreeSpace::Anywhere(_) | FreeSpace::Unread(_) | FreeSpace::GivenUp => None,
        }
    }

    /// How bytes that are idle count.
    pub(in crate::space) fn state_of(&self, idle: Idle) -> ByteState {
        match idle {
            Idle::Free | Idle::Unread if self.allocation == Allocation::Closed => {
                ByteState::ReadOnly
            }
            Idle::Free => ByteState::Free,
            Idle::Unread => ByteState::Unread,
            Idle::Lost => ByteState::ReadOnly,
            Idle::Unusable => ByteState::Unusable,
        }
    }
}

/// A block group.
///
/// Lock order, of items, body and the totals: `BlockGroupItems` > `MetadataTree` > `BlockGroup` > `SpaceTotals`.
pub(in crate::space) struct Group {
    chunk: Arc<Chunk>,
    class: Class,
    space_info: Arc<SpaceInfo>,
    /// How much can be in it: less than it is long, where zones hold less.
    capacity: Bytes,
    body: Mutex<Body>,
    /// What the trees have of this group, and what they lack.
    pub(in crate::space) items: Mutex<Items>,
}

impl Group {
    /// A group as it was loaded or made, not yet counted in its space_info.
    pub(in crate::space) fn new(
        chunk: Arc<Chunk>,
        class: Class,
        space_info: Arc<SpaceInfo>,
        body: Body,
        items: Items,
    ) -> Result<Self> {
        Ok(Self {
            capacity: body.free_space.capacity(chunk.len),
            chunk,
            class,
            space_info,
            body: Mutex::new(body, Rank::BlockGroup)?,
            items: Mutex::new(items, Rank::BlockGroupItems)?,
        })
    }

    pub(in crate::space) fn chunk(&self) -> &Arc<Chunk> {
        &self.chunk
    }

    pub(in crate::space) fn class(&self) -> Class {
        self.class
    }

    pub(in crate::space) fn space_info(&self) -> &Arc<SpaceInfo> {
        &self.space_info
    }

    pub(in crate::space) fn start(&self) -> Logical {
        self.chunk.logical
    }

    pub(in crate::space) fn len(&self) -> Bytes {
        self.chunk.len
    }

    /// How much can be in it.
    pub(in crate::space) fn capacity(&self) -> Bytes {
        self.capacity
    }

    /// Bytes that the chunk takes on its devices.
    pub(in crate::space) fn device_bytes(&self) -> Bytes {
        let stripes = u64::try_from(self.chunk.stripes.len()).unwrap_or(1);
        self.chunk.len.saturating_mul(stripes)
    }

    /// Where the group ends.
    pub(in crate::space) fn end(&self) -> Logical {
        self.start().saturating_add(self.len())
    }

    /// Whether `[start, end)` lies in the group.
    pub(in crate::space) fn contains(&self, start: Logical, end: Logical) -> bool {
        self.start() <= start && start < end && end <= self.end()
    }

    /// Whether file data is here the addresses of which can be had again before a zone is reset.
    pub(in crate::space) fn is_rewritten_in_place(&self) -> bool {
        self.class == Class::Data && self.lock().as_appending().is_none()
    }

    /// What changes of the group.
    pub(in crate::space) fn lock(&self) -> MutexGuard<'_, Body> {
        self.body.lock()
    }

    /// What changes of the group, unless somebody has the lock.
    pub(in crate::space) fn try_lock(&self) -> Option<MutexGuard<'_, Body>> {
        self.body.try_lock()
    }

    /// Takes a range for `wish` on account of `from`: free becomes reserved. `None` if nothing fits.
    pub(in crate::space) fn allocate(
        &self,
        wish: Wish,
        from: &Reservation,
    ) -> Result<Option<Span>> {
        let mut body = self.body.lock();
        if body.allocation == Allocation::Closed {
            return Ok(None);
        }
        let Some((start, end)) = body.free_space.take(wish)? else {
            return Ok(None);
        };
        let len = end.saturating_since(start);
        self.count(&mut body, len, ByteState::Free, ByteState::Reserved)?;
        if self.class == Class::Data && matches!(body.free_space, FreeSpace::Append(_)) {
            body.under_way = body.under_way.saturating_add(len);
        }
        let drawn = from.draw_for(&self.space_info, len);
        self.space_info.allocated(len, drawn)?;
        Ok(Some((start, end)))
    }

    /// Takes `[start, end)`, which a log tree refers to: idle becomes reserved. `EEXIST` if it is not idle.
    pub(in crate::space) fn take_at(&self, start: Logical, end: Logical) -> Result {
        let mut body = self.body.lock();
        let idle = body.free_space.take_at(start, end)?;
        let from = body.state_of(idle);
        self.shift(
            &mut body,
            end.saturating_since(start),
            from,
            ByteState::Reserved,
        )
    }

    /// Gives `[start, end)` back: reserved or pinned becomes free, or unusable on sequential zones.
    pub(in crate::space) fn give_back(
        &self,
        start: Logical,
        end: Logical,
        from: ByteState,
    ) -> Result {
        let mut body = self.body.lock();
        let idle = body.free_space.give_back(start, end)?;
        let to = body.state_of(idle);
        self.shift(&mut body, end.saturating_since(start), from, to)
    }

    /// The reverse of [`Self::allocate`], for what was not written: address and promise come back as one. `ENOSPC`: the
    /// address has come back, and all that is free is promised to others.
    pub(in crate::space) fn take_back(
        &self,
        start: Logical,
        end: Logical,
        to: &Reservation,
    ) -> Result {
        let mut body = self.body.lock();
        let idle = body.free_space.give_back(start, end)?;
        let state = body.state_of(idle);
        let len = end.saturating_since(start);
        self.count(&mut body, len, ByteState::Reserved, state)?;
        match self.space_info.give_back_promised(len, state)? {
            Return::Promised => {
                to.take_in(&self.space_info, len);
                Ok(())
            }
            Return::Lost => Err(ENOSPC),
        }
    }

    /// Keeps `[start, end)`, of the state `from`, until it is given back: it becomes pinned.
    pub(in crate::space) fn keep(&self, start: Logical, end: Logical, from: ByteState) -> Result {
        let mut body = self.body.lock();
        body.free_space.keep(start, end)?;
        let len = end.saturating_since(start);
        if from == ByteState::Used && matches!(body.free_space, FreeSpace::GivenUp) {
            self.count_used(&mut body, len)?;
        }
        self.shift(&mut body, len, from, ByteState::Pinned)
    }

    /// Counts `len` bytes of a group that was given up as used, which have an extent item. Its item may have said less: then
    /// they were taken for unused, which are read-only there.
    fn count_used(&self, body: &mut Body, len: Bytes) -> Result {
        let missing = len.saturating_sub(body.tally.used);
        let missing = missing.min(body.tally.read_only);
        match missing {
            Bytes::ZERO => Ok(()),
            missing => self.shift(body, missing, ByteState::ReadOnly, ByteState::Used),
        }
    }

    /// Moves bytes from one state to another where no address becomes free or is taken.
    pub(in crate::space) fn move_bytes(
        &self,
        bytes: Bytes,
        from: ByteState,
        to: ByteState,
    ) -> Result {
        self.shift(&mut self.body.lock(), bytes, from, to)
    }

    /// Stops allocation from a group that was read, if its class agrees, which then counts what is free as read-only. Nobody is promised anything in between.
    pub(in crate::space) fn close_where(
        &self,
        body: &mut Body,
        agree: impl FnOnce(&SpaceInfo, &Tally) -> Result<Withdrawal>,
    ) -> Result<Closing> {
        // Index and class change at once, as ever.
        let mut index = self.space_info.index();
        if agree(&self.space_info, &body.tally)? == Withdrawal::Refused {
            return Ok(Closing::Refused);
        }
        body.allocation = Allocation::Closed;
        let free = body.tally.free();
        self.turn(body, free, ByteState::Free, ByteState::ReadOnly)?;
        self.renew(&mut index, body)?;
        Ok(Closing::Closed)
    }

    /// Allows allocation again.
    pub(in crate::space) fn open(&self, body: &mut Body) -> Result {
        if body.allocation == Allocation::Open {
            return Ok(());
        }
        body.allocation = Allocation::Open;
        let free = body.tally.read_only.saturating_sub(body.superblocks);
        let to = match body.free_space {
            FreeSpace::Unread(_) => ByteState::Unread,
            FreeSpace::GivenUp => ByteState::ReadOnly,
            FreeSpace::Anywhere(_) | FreeSpace::Append(_) => ByteState::Free,
        };
        self.shift(body, free, ByteState::ReadOnly, to)
    }

    /// Renews what the index of the class knows. [`Self::count`] does it by itself.
    pub(in crate::space) fn publish(&self, body: &mut Body) -> Result {
        if self.offer(body) == body.offered {
            return Ok(());
        }
        self.renew(&mut self.space_info.index(), body)
    }

    /// Renews what `index`, that of the class, knows of the group.
    pub(in crate::space) fn renew(&self, index: &mut GroupIndex, body: &mut Body) -> Result {
        let offered = self.offer(body);
        if offered != body.offered {
            index.set(self.start(), offered)?;
            body.offered = offered;
        }
        Ok(())
    }

    fn offer(&self, body: &Body) -> Offered {
        let largest = match body.allocation {
            Allocation::Open => body.free_space.largest(),
            Allocation::Closed => Bytes::ZERO,
        };
        // Whether metadata's zones are active is the matter of the write order.
        let is_ready = body.activity.is_awake() || self.class != Class::Data;
        let (ready, asleep) = match is_ready {
            true => (largest, Bytes::ZERO),
            false => (Bytes::ZERO, largest),
        };
        Offered {
            ready,
            asleep,
            unread: body.tally.unread,
            unused: body.is_unused(),
        }
    }

    /// Moves bytes from one state to another, in the group's tally and in its class. Index and class change at once: who
    /// is told by the class that something is free, or to be read, finds it in the index.
    pub(in crate::space) fn shift(
        &self,
        body: &mut Body,
        bytes: Bytes,
        from: ByteState,
        to: ByteState,
    ) -> Result {
        self.turn(body, bytes, from, to)?;
        let mut index = self.space_info.index();
        self.renew(&mut index, body)?;
        self.space_info.shift(bytes, from, to)
    }

    /// Moves bytes from one state to another in the group's own tally.
    pub(in crate::space) fn count(
        &self,
        body: &mut Body,
        bytes: Bytes,
        from: ByteState,
        to: ByteState,
    ) -> Result {
        self.turn(body, bytes, from, to)?;
        self.publish(body)
    }

    /// Moves bytes from one state to another in the group's own tally, unknown to the index.
    pub(in crate::space) fn turn(
        &self,
        body: &mut Body,
        bytes: Bytes,
        from: ByteState,
        to: ByteState,
    ) -> Result {
        body.tally
            .shift(bytes, from, to)
            .map_err(|flaw| self.broken(flaw))
    }

    /// Reports what contradicts itself in the group.
    #[cold]
    pub(in crate::space) fn broken(&self, flaw: Flaw) -> Error {
        flaw.at(Site::BlockGroup(self.start())).report()
    }
}
