// SPDX-License-Identifier: GPL-2.0
//! Telling devices what is free: at once when a commit has freed it, or later, in small pieces.

use crate::disk::{Bytes, Logical};
use crate::space::free::policy::FreeSpace;
use crate::space::free::ranges::Span;
use crate::space::groups::block_groups::BlockGroups;
use crate::space::groups::group::{Allocation, Group};
use crate::space::groups::loading::unread::Reader;
use crate::space::reserve::ByteState;
use crate::space::{Class, Reservation, Urgency};
use crate::volume::Chunk;
use core::ops::Range;
use core::sync::atomic::{AtomicU8, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// Whether devices are told of freed ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discard {
    /// Devices are not told.
    #[default]
    Never,
    /// The commit that freed them tells, once it is durable (C: `discard=sync`).
    AtUnpin,
    /// [`crate::space::Space::trim_waiting`] tells some time later, as far as they are still free (C: `discard=async`).
    Later,
}

/// What fstrim(8) asks for, and what came of it so far.
pub struct Trim<'a> {
    /// Addresses: what is free in the block groups there is told of.
    pub range: Range<Logical>,
    /// Pieces of less are left out.
    pub least: Bytes,
    /// Asked between pieces: an error ends it.
    pub go_on: &'a dyn Fn() -> Result,
    /// How many bytes the devices were told of.
    pub trimmed: Bytes,
}

impl Trim<'_> {
    /// The devices were told of so many bytes more.
    pub fn count(&mut self, bytes: Bytes) {
        self.trimmed = self.trimmed.saturating_add(bytes);
    }
}

/// Told of the error after which nothing can be written any more: it cannot be read where a group is free. Who calls hears of
/// it, too, but not what kind of an error it is.
pub(in crate::space) type Lost<'a> = &'a dyn Fn(Error);

/// Bytes that are kept from being allocated at a time. Little of the metadata: more of that may be promised than is
/// free, and a commit must find what it needs.
const fn piece(class: Class) -> Bytes {
    Bytes::new(match class {
        Class::Data => 16 << 20,
        Class::Metadata | Class::System => 256 << 10,
    })
}

/// Ranges that may wait; more are forgotten.
const MOST_WAITING: usize = 1 << 14;

/// When devices are told of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// What is free in the group of the range is known.
    Now,
    /// The range's group is to be read, after another.
    Later,
    /// The range's group is gone, or is not read for this.
    Never,
}

/// What devices have yet to be told.
pub(in crate::space) struct Trims {
    groups: Arc<BlockGroups>,
    reader: Arc<Reader>,
    mode: AtomicU8,
    /// Ranges that were freed, `[start, end)`, in no order. A leaf lock.
    waiting: Mutex<KVec<Span>>,
}

impl Trims {
    pub(in crate::space) fn new(
        groups: Arc<BlockGroups>,
        reader: Arc<Reader>,
        discard: Discard,
    ) -> Result<Self> {
        let trims = Self {
            groups,
            reader,
            mode: AtomicU8::new(0),
            waiting: Mutex::new(KVec::new(), Rank::WaitingTrims)?,
        };
        trims.set(discard);
        Ok(trims)
    }

    pub(in crate::space) fn set(&self, discard: Discard) {
        let mode = match discard {
            Discard::Never => 0,
            Discard::AtUnpin => 1,
            Discard::Later => 2,
        };
        self.mode.store(mode, Ordering::Relaxed);
    }

    pub(in crate::space) fn discard(&self) -> Discard {
        match self.mode.load(Ordering::Relaxed) {
            0 => Discard::Never,
            1 => Discard::AtUnpin,
            _ => Discard::Later,
        }
    }

    /// `[start, end)` has become free. A hint: without memory it is forgotten.
    pub(in crate::space) fn note(&self, start: Logical, end: Logical) {
        if self.discard() != Discard::Later {
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.len() < MOST_WAITING {
            let _ = waiting.push((start, end), GFP_KERNEL);
        }
    }

    /// Does what [`crate::space::Space::trim_waiting`] says.
    pub(in crate::space) fn trim_waiting(
        &self,
        most: usize,
        in_time: &dyn Fn() -> bool,
        lost: Lost<'_>,
    ) -> Result {
        let (mut read, mut later) = (None, KVec::new());
        for _ in 0..most {
            if !in_time() {
                break;
            }
            let next = self.waiting.lock().pop();
            let Some((start, end)) = next else { break };
            let _asking = self.reader.asking();
            match self.turn_of(start, &mut read, lost)? {
                Due::Now => drop(self.trim(start, end, &|| Ok(()))?),
                // A hint: without memory it is forgotten.
                Due::Later => drop(later.push((start, end), GFP_KERNEL)),
                Due::Never => {}
            }
        }
        self.put_off(later);
        Ok(())
    }

    /// When the devices can be told of a range. For the sake of those that wait one group is `read` at a time, and none that
    /// would have to be forgotten again.
    fn turn_of(
        &self,
        start: Logical,
        read: &mut Option<Arc<Group>>,
        lost: Lost<'_>,
    ) -> Result<Due> {
        let group = self
            .groups
            .read()
            .holding(start, start.saturating_add(Bytes::new(1)))
            .cloned();
        Ok(match group {
            None => Due::Never,
            Some(group) if !group.is_unread() => Due::Now,
            Some(_) if read.is_some() => Due::Later,
            Some(group) if !self.reader.has_memory_for(&group) => Due::Never,
            Some(group) => {
                self.reader.read(&group).inspect_err(|error| lost(*error))?;
                *read = Some(group);
                Due::Now
            }
        })
    }

    /// Lets ranges wait until the others had their turn.
    fn put_off(&self, mut later: KVec<Span>) {
        if later.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        // Hints, too.
        let _ = later.extend_from_slice(&waiting, GFP_KERNEL);
        *waiting = later;
    }

    /// Does what [`crate::space::Space::trim_free`] says.
    pub(in crate::space) fn trim_free(&self, call: &mut Trim<'_>, lost: Lost<'_>) -> Result {
        // Whole sectors: the caller's range may end anywhere.
        let sector = self.groups.sector_size;
        let end = Logical::after(call.range.end.before().round_down(sector));
        let first = call.range.start.before().checked_round_up(sector);
        let Some(mut at) = first.map(Logical::after) else {
            return Ok(());
        };
        while at < end {
            (call.go_on)()?;
            let Some(group) = self.groups.read().reaching_beyond(at).cloned() else {
                break;
            };
            self.reader.forget_surplus();
            // Until the devices are told of the piece: what is forgotten meanwhile would be passed over.
            let _asking = self.reader.asking();
            self.reader.read(&group).inspect_err(|error| lost(*error))?;
            let from = at.max(group.start());
            match free_in(&group, from, end.min(group.end())) {
                Some((first, last)) => {
                    if last.saturating_since(first) >= call.least {
                        call.count(self.trim(first, last, call.go_on)?);
                    }
                    at = last;
                }
                None => at = group.end(),
            }
        }
        Ok(())
    }

    /// Tells the devices of what is free in `[start, end)`: how many bytes that was. What is being trimmed is allocated
    /// meanwhile; the bytes are reserved first, so that nobody misses them who was promised some. Nothing is free in a group
    /// that is not read.
    fn trim(&self, start: Logical, end: Logical, go_on: &dyn Fn() -> Result) -> Result<Bytes> {
        let (mut at, mut trimmed) = (start, Bytes::ZERO);
        while at < end {
            go_on()?;
            let group = self
                .groups
                .read()
                .holding(at, at.saturating_add(Bytes::new(1)))
                .cloned();
            let Some(group) = group else { break };
            let until = end.min(group.end());
            let bytes = until.saturating_since(at).min(piece(group.class()));
            let Ok(reservation) =
                Reservation::promised(group.space_info(), bytes, Urgency::Ordinary)
            else {
                // Space is short: the next commit frees it again.
                break;
            };
            let Some((from, to)) = take_free(&group, at, until, &reservation)? else {
                at = until;
                continue;
            };
            self.discard_range(from, to);
            group.give_back(from, to, ByteState::Reserved)?;
            trimmed = trimmed.saturating_add(to.saturating_since(from));
            at = to;
        }
        Ok(trimmed)
    }

    /// Tells the devices that a range is unused. A hint: errors do not matter.
    pub(in crate::space) fn discard_range(&self, start: Logical, end: Logical) {
        let mut at = start;
        while at < end {
            // Sequential zones are reset instead.
            let sequential = |chunk: Arc<Chunk>| self.groups.volume.zones().is_sequential(&chunk);
            if self.groups.volume.chunk(at).is_ok_and(sequential) {
                return;
            }
            let Ok(mapping) = self.groups.volume.map(at, end.saturating_since(at)) else {
                return;
            };
            for place in mapping.copies() {
                if let Some(device) = self.groups.volume.device(place.devid) {
                    let _ = device.discard(place.at, mapping.len);
                }
            }
            if mapping.len == Bytes::ZERO {
                return;
            }
            at = at.saturating_add(mapping.len);
        }
    }
}

/// The first free piece of `[start, end)` in a group that could be taken.
fn free_in(group: &Group, start: Logical, end: Logical) -> Option<Span> {
    let body = group.lock();
    match (&body.free_space, body.allocation) {
        (FreeSpace::Anywhere(ranges), Allocation::Open) => ranges.first_in(start, end),
        _ => None,
    }
}

/// Takes the first free piece of `[start, end)` in a group that `from` pays for: free becomes reserved.
fn take_free(
    group: &Group,
    start: Logical,
    end: Logical,
    from: &Reservation,
) -> Result<Option<Span>> {
    let mut body = group.lock();
    if body.allocation == Allocation::Closed {
        return Ok(None);
    }
    let FreeSpace::Anywhere(ranges) = &mut body.free_space else {
        return Ok(None);
    };
    let Some((first, last)) = ranges.first_in(start, end) else {
        return Ok(None);
    };
    let last = last.min(first.saturating_add(from.bytes()));
    ranges.remove(first, last)?;
    let len = last.saturating_since(first);
    group.count(&mut body, len, ByteState::Free, ByteState::Reserved)?;
    let drawn = from.draw_for(group.space_info(), len);
    group.space_info().allocated(len, drawn)?;
    Ok(Some((first, last)))
}
