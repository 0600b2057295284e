// SPDX-License-Identifier: GPL-2.0
//! What a class of block groups has and has promised, and whether it can promise more.

use super::demand::{Reserve, Withdrawal};
use super::tally::{ByteState, Tally};
use crate::disk::Bytes;
use crate::space::{Class, Shortage, Urgency};

/// What is kept back for commits and for freeing on a full volume (C: `global_block_rsv`). Of file data on sequential zones:
/// for moving data, which empties other zones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::space) struct GlobalReserve {
    /// The bytes that it should hold.
    pub(in crate::space) size: Bytes,
    /// The bytes that it holds: a part of [`Totals::promised`].
    pub(in crate::space) held: Bytes,
}

/// What the devices could add to a class.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::space) struct Growth {
    /// Bytes of new chunks of the class's profile.
    pub(in crate::space) bytes: Bytes,
    /// Bytes of the next one of them; zero when the devices are full.
    pub(in crate::space) next_chunk: Bytes,
    /// Bytes that the next data chunk would take from these.
    pub(in crate::space) data_chunk: Bytes,
}

/// The books of one class.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::space) struct Totals {
    /// The bytes of all groups of the class, by state.
    pub(in crate::space) tally: Tally,
    /// Bytes promised and not allocated (C: `bytes_may_use`), with the global reserve.
    pub(in crate::space) promised: Bytes,
    /// What is kept back.
    pub(in crate::space) global: GlobalReserve,
    /// Bytes of the group that is being written on sequential zones: what is dead there comes back when it is full.
    pub(in crate::space) dying: Bytes,
    /// How many [`Awaited`](super::Awaited) there are.
    pub(in crate::space) awaited: u64,
    /// What chunks could still be allocated.
    pub(in crate::space) growth: Growth,
    /// Bytes of the groups of which it is known where they are free, and may be anywhere.
    pub(in crate::space) known: Bytes,
    /// Whether a reservation was refused since the last commit.
    pub(in crate::space) pressed: bool,
}

/// Whether a class does without a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) enum Spare {
    /// What is known to be free in others suffices.
    Yes,
    /// What is unread in others suffices.
    OnceRead,
    /// Others hold too little.
    No,
}

/// One in this many bytes that handles reserve is what they may really come to use: a reservation counts eight new
/// blocks and eight splits for each item.
const WORST_CASE: u64 = 8;
/// Free bytes for the chunk tree below which it gets a chunk.
const SYSTEM_MARGIN: Bytes = Bytes::new(1 << 20);
/// Free bytes for metadata, beyond what is needed at worst, below which it gets a chunk.
const METADATA_MARGIN: Bytes = Bytes::new(16 << 20);

/// When it is known of so many bytes of groups of tree blocks where they are free, which none of them is ever forgotten for, no
/// more of them are read: at worst 40 KiB for a GiB.
const MOST_OF_TREE_BLOCKS: Bytes = Bytes::new(1 << 40);

impl Totals {
    /// Free bytes that can be read where they are.
    pub(in crate::space) fn readable(&self, class: Class) -> Bytes {
        match class {
            Class::Metadata | Class::System if self.known >= MOST_OF_TREE_BLOCKS => Bytes::ZERO,
            Class::Data | Class::Metadata | Class::System => self.tally.unread,
        }
    }

    /// Promises that groups and chunks to come may hold beyond what is free now. Data is used to the last byte and is
    /// promised only where it can lie; and nothing is promised like this that could be read.
    fn overcommit(&self, class: Class) -> Bytes {
        match class {
            Class::Data => Bytes::ZERO,
            Class::Metadata | Class::System if self.readable(class) > Bytes::ZERO => Bytes::ZERO,
            Class::Metadata | Class::System => self
                .growth
                .bytes
                .saturating_sub(self.growth.data_chunk)
                .divided_by(2),
        }
    }

    /// Free bytes without which blocks might run out before a chunk can be added: the global reserve in full, and
    /// what the handles' promises can come to.
    fn floor(&self, promised: Bytes) -> Bytes {
        self.global.held.saturating_add(self.used_of(promised))
    }

    /// What the handles' promises can come to.
    fn used_of(&self, promised: Bytes) -> Bytes {
        let others = promised.saturating_sub(self.global.held);
        others.divided_by(WORST_CASE)
    }

    fn fits(&self, class: Class, promised: Bytes) -> bool {
        let free = self.tally.free();
        promised <= free
            || (promised <= free.saturating_add(self.overcommit(class))
                && self.floor(promised) <= free)
    }

    pub(super) fn promise(&mut self, class: Class, bytes: Bytes, urgency: Urgency) -> Option<()> {
        let promised = self.promised.checked_add(bytes)?;
        if self.fits(class, promised) {
            self.promised = promised;
            return Some(());
        }
        let GlobalReserve { size, held } = self.global;
        let spare = match urgency {
            Urgency::Ordinary => return None,
            Urgency::Promised => held.saturating_sub(size.divided_by(2)),
            Urgency::Freeing => held.saturating_sub(size.divided_by(8)),
            Urgency::Commit => held,
        };
        let loose = self.tally.free().saturating_sub(self.promised);
        let missing = bytes.saturating_sub(loose);
        if spare < missing && urgency != Urgency::Commit {
            return None;
        }
        let drawn = spare.min(missing);
        self.global.held = self.global.held.saturating_sub(drawn);
        self.promised = self.promised.saturating_add(bytes.saturating_sub(drawn));
        Some(())
    }

    pub(super) fn shortage(&self, class: Class, bytes: Bytes, urgency: Urgency) -> Shortage {
        if self.reading_helps(class, bytes, urgency) {
            return Shortage::Unread(class);
        }
        if self.growth.next_chunk > Bytes::ZERO {
            return Shortage::NeedChunk(class);
        }
        let needed = self.promised.saturating_add(bytes);
        let (free, pinned) = (self.tally.free_in_all(), self.tally.pinned);
        if pinned > Bytes::ZERO && needed <= free.saturating_add(pinned) {
            return Shortage::NeedCommit;
        }
        if urgency == Urgency::Promised && self.awaited > 0 {
            return Shortage::Others;
        }
        Shortage::Full
    }

    /// Whether the promise could be given if it were known of all groups where they are free.
    fn reading_helps(&self, class: Class, bytes: Bytes, urgency: Urgency) -> bool {
        if self.readable(class) == Bytes::ZERO {
            return false;
        }
        let mut read = *self;
        read.tally.unread = Bytes::ZERO;
        read.fill_global(class);
        read.promise(class, bytes, urgency).is_some()
    }

    /// Whether a chunk should be added before it is asked for: little is free, and there is nothing to be read. Data gets
    /// one when it is asked for.
    pub(in crate::space) fn wants_chunk(&self, class: Class) -> bool {
        // Of a tiny volume files need the zones more.
        let dying = match self.growth.bytes >= self.dying.saturating_mul(2) {
            true => self.dying,
            false => Bytes::ZERO,
        };
        self.is_little(class, dying)
    }

    /// Whether little is free, `dying` bytes of which may be dead by and by, and there is nothing to be read.
    fn is_little(&self, class: Class, dying: Bytes) -> bool {
        let needed = match class {
            Class::Data => return false,
            Class::Metadata => self
                .floor(self.promised)
                .saturating_add(self.margin())
                .saturating_add(dying),
            Class::System => SYSTEM_MARGIN.min(self.tally.total.divided_by(2)),
        };
        self.readable(class) == Bytes::ZERO && self.tally.free() < needed
    }

    /// Whether so little is known to be free that more, which there is, should be read before it is asked for. That the
    /// global reserve was drawn on makes no difference.
    pub(in crate::space) fn wants_reading(&self, class: Class) -> bool {
        let needed = match class {
            Class::Data => return false,
            Class::Metadata => {
                let used = self.used_of(self.promised);
                self.global
                    .size
                    .saturating_add(used)
                    .saturating_add(self.margin())
            }
            Class::System => SYSTEM_MARGIN.min(self.tally.total.divided_by(2)),
        };
        self.readable(class) > Bytes::ZERO && self.tally.free() < needed
    }

    fn margin(&self) -> Bytes {
        METADATA_MARGIN.min(self.tally.total.divided_by(8))
    }

    /// Whether the class does without a group with this tally, and would not want a chunk then. If zones are reset with it
    /// that brings `dead` bytes back.
    pub(in crate::space) fn can_spare(&self, class: Class, group: &Tally, dead: Bytes) -> Spare {
        let mut rest = *self;
        rest.tally.subtract(group);
        let least = self
            .promised
            .max(rest.tally.total.divided_by(8).min(group.total));
        // What is dead comes back by it, whatever is made next.
        let would_return = dead == Bytes::ZERO && rest.is_little(class, self.dying);
        if rest.tally.free_in_all() < least || would_return {
            return Spare::No;
        }
        match rest.tally.free() >= self.promised {
            true => Spare::Yes,
            false => Spare::OnceRead,
        }
    }

    /// Whether `bytes` of what is free were promised to nobody.
    pub(super) fn can_lose(&self, bytes: Bytes) -> bool {
        self.promised.saturating_add(bytes) <= self.tally.free()
    }

    /// Takes `bytes` of what is free, and some of what is kept back where all else is promised: an eighth, or, as a last resort,
    /// whatever there is, and what others were promised.
    pub(super) fn lose(&mut self, bytes: Bytes, reserve: Reserve) -> Withdrawal {
        let mut rest = *self;
        let missing = rest.promised.saturating_add(bytes);
        let missing = missing.saturating_sub(rest.tally.free());
        let GlobalReserve { size, held } = rest.global;
        let is_promised = match reserve {
            Reserve::Kept => missing > held.min(size.divided_by(8)),
            // Without it a commit ends in a hole; who was promised too much is refused later, perhaps.
            Reserve::DrawnOn => false,
        };
        if is_promised
            || rest
                .tally
                .shift(bytes, ByteState::Free, ByteState::Unusable)
                .is_err()
        {
            return Withdrawal::Refused;
        }
        let drawn = missing.min(held);
        rest.global.held = held.saturating_sub(drawn);
        rest.unpromise(drawn);
        *self = rest;
        Withdrawal::Done
    }

    /// Bytes of file data that can be written elsewhere to empty a zone: what nobody was promised, and most of what is kept
    /// back for that. Chunks to come do not count: they may be tree blocks' before.
    pub(in crate::space) fn movable(&self) -> Bytes {
        let others = self.promised.saturating_sub(self.global.held);
        let free = self.tally.free().saturating_sub(others);
        free.saturating_sub(self.global.size.divided_by(8))
    }

    /// Keeps free bytes from everybody for a while, if what was promised can do without them. The global
    /// reserve, which is filled up again when they come back, may lack them meanwhile.
    pub(super) fn lend(&mut self, class: Class, bytes: Bytes) -> Withdrawal {
        let mut rest = *self;
        if rest
            .tally
            .shift(bytes, ByteState::Free, ByteState::ReadOnly)
            .is_err()
        {
            return Withdrawal::Refused;
        }
        if !rest.fits(class, rest.promised) {
            let missing = rest.promised.saturating_sub(rest.tally.free());
            let drawn = missing.min(rest.global.held);
            rest.global.held = rest.global.held.saturating_sub(drawn);
            rest.unpromise(drawn);
        }
        if !rest.fits(class, rest.promised) {
            return Withdrawal::Refused;
        }
        *self = rest;
        Withdrawal::Done
    }

    /// Fills the global reserve as far as free space allows.
    pub(super) fn fill_global(&mut self, class: Class) {
        let missing = self.global.size.saturating_sub(self.global.held);
        let spare = self
            .tally
            .free()
            .saturating_add(self.overcommit(class))
            .saturating_sub(self.promised);
        let more = missing.min(spare);
        self.global.held = self.global.held.saturating_add(more);
        self.promised = self.promised.saturating_add(more);
    }

    /// Takes promised bytes back: `bytes` are not needed any more.
    pub(super) fn unpromise(&mut self, bytes: Bytes) {
        self.promised = self.promised.saturating_sub(bytes);
    }

    /// Gives the global reserve a new size.
    pub(super) fn resize_global(&mut self, class: Class, size: Bytes) {
        self.global.size = size;
        let surplus = self.global.held.saturating_sub(size);
        self.global.held = self.global.held.saturating_sub(surplus);
        self.unpromise(surplus);
        self.fill_global(class);
    }
}
