// SPDX-License-Identifier: GPL-2.0
//! Groups of which was not read yet where they are free: reading it when it is needed, and forgetting it again.
//!
//! Nothing is allocated from such a group, so nobody waits for a group whose reservation was granted: what is promised is
//! free where it was read. Who finds nothing to be promised reads a group and asks again ([`crate::space::Shortage::Unread`]).

use super::budget::{tell_unused, LONGEST};
use super::load::extent;
use crate::btree::Tree;
use crate::disk::{Bug, Bytes, Flaw, Key, Logical, Site};
use crate::space::free::changes::{SpaceChange, SpaceChanges};
use crate::space::free::on_disk::Home;
use crate::space::free::policy::FreeSpace;
use crate::space::free::ranges::FreeRanges;
use crate::space::free::tree::Unreadable;
use crate::space::groups::block_groups::BlockGroups;
use crate::space::groups::group::{Allocation, Group};
use crate::space::groups::items::Items;
use crate::space::groups::make::exclude_superblocks;
use crate::space::reserve::{ByteState, Offer, Withdrawal};
use crate::space::Class;
use crate::volume::Writes;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::NofsScope;

/// When it is known of groups of more bytes where they are free, some of it is forgotten: at worst 40 KiB for a GiB.
const MOST_KNOWN: Bytes = Bytes::new(1 << 40);
/// Bytes of a group that take a page at most, with the smallest sectors.
const WINDOW: Bytes = Bytes::new(128 << 20);
/// Groups that are looked at in turn when something is to be forgotten.
const LOOKS: usize = 1024;
/// The committer's thread reads on until so many bytes of file data can be allocated.
const AHEAD: Bytes = Bytes::new(1 << 30);

/// Reads where groups are free.
pub(in crate::space) struct Reader {
    groups: Arc<BlockGroups>,
    home: Arc<Home>,
    /// Where to look next for a group to be forgotten.
    hand: AtomicU64,
    /// How many are reading what they will be promised then.
    asking: AtomicU64,
    forgotten: AtomicUsize,
}

/// Whether there was a group to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "where there was none, asking again does not help"]
pub enum NextGroup {
    /// There was, and it was read.
    Read,
    /// There was none.
    None,
}

/// Puts what is free in a group, whose items are locked, into ranges that are empty.
type Source<'a> = &'a dyn Fn(&mut Items, &mut FreeRanges) -> Result<(), Unreadable>;

/// Keeps all that is known until who asks for space has read enough to be promised it.
pub struct Asking<'a>(&'a AtomicU64);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reader {
    pub(in crate::space) fn new(groups: Arc<BlockGroups>, home: Arc<Home>) -> Self {
        Self {
            groups,
            home,
            hand: AtomicU64::new(0),
            asking: AtomicU64::new(0),
            forgotten: AtomicUsize::new(0),
        }
    }

    /// Nothing is forgotten while it lives, but what is forgotten already: who has it and then reads a group will find it
    /// known.
    pub(in crate::space) fn asking(&self) -> Asking<'_> {
        self.asking.fetch_add(1, Ordering::Relaxed);
        Asking(&self.asking)
    }

    /// The group of a class of which most is unread, if any may be read.
    fn next(&self, class: Class) -> Option<Arc<Group>> {
        let info = self.groups.info(class);
        if info.lock().readable(class) == Bytes::ZERO {
            return None;
        }
        let best = info.index().best(Offer::Unread)?;
        self.groups.at(best)
    }

    /// Reads where the group of a class is free of which most is unread.
    pub(in crate::space) fn read_next(&self, class: Class) -> Result<NextGroup> {
        let Some(group) = self.next(class) else {
            return Ok(NextGroup::None);
        };
        self.read(&group)?;
        Ok(NextGroup::Read)
    }

    /// Reads where tree blocks can lie, until there is enough of that or no more.
    pub(in crate::space) fn read_wanted(&self) -> Result {
        while let Some(class) = self.groups.growth().read_wanted() {
            if self.read_next(class)? == NextGroup::None {
                break;
            }
        }
        Ok(())
    }

    /// Reads where file data can lie before anybody asks for it, group by group, as far as that need not be forgotten again.
    pub(in crate::space) fn read_ahead(&self) -> Result {
        self.forget_surplus();
        let free = self.groups.info(Class::Data).lock().tally.free();
        match self.next(Class::Data) {
            Some(group) if free < AHEAD && self.has_memory_for(&group) => self.read(&group),
            _ => Ok(()),
        }
    }

    /// Whether nothing would have to be forgotten for a group that is read.
    pub(in crate::space) fn has_memory_for(&self, group: &Group) -> bool {
        let known = self.groups.known();
        known.saturating_add(group.len()) <= MOST_KNOWN
    }

    /// Forgets what is known beyond the most that is to be, as far as nobody needs it. Who asks for space does not have this
    /// done: he reads only while less is known to be free than is promised, and that much is needed.
    pub(in crate::space) fn forget_surplus(&self) {
        for _ in 0..LOOKS {
            if self.groups.known() <= MOST_KNOWN {
                break;
            }
            self.forget(1);
        }
    }

    /// Reads where a group is free, if that is not known. A group of which what is said contradicts itself stays unused until
    /// the next mount, and is not read again. An error is that of the tree, or tree blocks have no place left: nothing
    /// can be written any more.
    pub(in crate::space) fn read(&self, group: &Group) -> Result {
        self.read_in(group, &|items, ranges| {
            items.read_free(&self.home.now(), ranges)
        })
    }

    /// Reads in the extent tree where the first group at or behind `from` is free of which that is not known; gives where that
    /// ends, or `None` if there is none. Nobody changes the extent tree meanwhile, and what was changed before was noted.
    pub(in crate::space) fn derive_next(
        &self,
        extents: &Tree,
        from: Logical,
    ) -> Result<Option<Logical>> {
        let mut from = from;
        loop {
            let next = self.groups.read().reaching_beyond(from).cloned();
            let Some(group) = next else { return Ok(None) };
            from = group.end();
            if group.is_unread() {
                let node_size = self.groups.node_size;
                self.read_in(&group, &|_, ranges| {
                    all_without_extents(extents, (group.start(), group.end()), node_size, ranges)
                })?;
                return Ok(Some(from));
            }
        }
    }

    fn read_in(&self, group: &Group, read: Source<'_>) -> Result {
        let _nofs = NofsScope::enter();
        // Held from before the tree is read until the group is used as it was read: what comes and goes is noted under it.
        let mut items = group.items.lock();
        if !group.is_unread() {
            return Ok(());
        }
        if self.groups.volume.writes() == Writes::Aborted {
            // What was noted may have left for a tree that does not have it.
            return Err(EROFS);
        }
        let read = self.ranges(group, &mut items, read);
        let known = read.and_then(|ranges| {
            let known = group.know(&self.groups, ranges);
            known.map_err(Unreadable::Group)
        });
        match known {
            Err(Unreadable::Group(error)) => self.give_up(group, error),
            known => Ok(known?),
        }
    }

    /// Gives a group up. An error where tree blocks had no other place.
    fn give_up(&self, group: &Group, error: Error) -> Result {
        let start = group.start();
        tell_unused(start, error);
        group.give_up_unread()?;
        let left = group.space_info().lock().tally.free_in_all();
        match group.class() {
            Class::Metadata if left == Bytes::ZERO => Err(error),
            _ => Ok(()),
        }
    }

    // Transactions do not fail for want of memory, and it may be one that needs this.
    #[inline(never)]
    fn ranges(
        &self,
        group: &Group,
        items: &mut Items,
        read: Source<'_>,
    ) -> Result<FreeRanges, Unreadable> {
        let (start, sector_size) = (group.start(), self.groups.sector_size);
        if group.len() > LONGEST {
            return Err(Unreadable::Group(EFBIG));
        }
        let ranges = FreeRanges::new(start, group.len(), sector_size, GFP_NOFAIL);
        let mut ranges = ranges.map_err(Unreadable::Group)?;
        read(items, &mut ranges)?;
        Ok(ranges)
    }

    /// About how many pages [`Self::forget`] could give back, at most. It waits for nobody.
    pub(in crate::space) fn forgettable(&self) -> usize {
        let known = match self.can_be_read_again() {
            true => self.groups.info(Class::Data).try_known(),
            false => None,
        };
        known.map_or(0, pages)
    }

    /// Whether all that is forgotten can be read again. It waits for nobody.
    fn can_be_read_again(&self) -> bool {
        self.home.try_now().is_some_and(|on_disk| on_disk.has_all())
    }

    /// Forgets where groups of file data are free in which nothing is under way, and which is promised to nobody. Looks at
    /// `most` groups, going on where it ended; at none while somebody reads what he asked for. How many pages it gave back,
    /// at most.
    ///
    /// It waits for nobody and takes no memory: whoever wants memory calls it, with whatever locks.
    pub(in crate::space) fn forget(&self, most: usize) -> usize {
        let is_asking = self.asking.load(Ordering::Relaxed) > 0;
        if is_asking || !self.can_be_read_again() {
            return 0;
        }
        let mut forgotten = Bytes::ZERO;
        for _ in 0..most {
            let hand = Logical::new(self.hand.load(Ordering::Relaxed));
            let Some(groups) = self.groups.try_read() else {
                break;
            };
            let next = groups.next_of(Class::Data, hand).cloned();
            drop(groups);
            let after = next.as_ref().map_or(0, |group| group.end().get());
            self.hand.store(after, Ordering::Relaxed);
            if let Some(group) = next {
                // An error has been logged; the group stays as it is.
                let of_it = group.forget(&self.asking).unwrap_or(Bytes::ZERO);
                forgotten = forgotten.saturating_add(of_it);
            }
        }
        let forgotten = pages(forgotten);
        self.forgotten.fetch_add(forgotten, Ordering::Relaxed);
        forgotten
    }

    /// How many pages [`Self::forget`] gave back so far.
    pub(in crate::space) fn forgotten(&self) -> usize {
        self.forgotten.load(Ordering::Relaxed)
    }
}

/// Puts what has no extent item in `[start, end)` into `ranges`, which are empty.
fn all_without_extents(
    extents: &Tree,
    (start, end): (Logical, Logical),
    node_size: Bytes,
    ranges: &mut FreeRanges,
) -> Result<(), Unreadable> {
    ranges.insert(start, end).map_err(Unreadable::Group)?;
    let mut contradicts = None;
    extents.scan(Key::at_addresses(start..end), |key, _| {
        let Some((start, end)) = extent(key, node_size) else {
            return Ok(ControlFlow::Continue(()));
        };
        match ranges.remove(start, end) {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(_) => {
                contradicts = Some(start);
                Ok(ControlFlow::Break(()))
            }
        }
    })?;
    match contradicts {
        None => Ok(()),
        Some(addr) => {
            let flaw = Flaw::missing("extent overlaps another, or lies in two block groups");
            Err(Unreadable::Group(flaw.at(Site::Extent(addr)).report()))
        }
    }
}

/// The pages that it takes at most to know where so many bytes of groups are free.
fn pages(known: Bytes) -> usize {
    usize::try_from(known.round_up(WINDOW).count(WINDOW)).unwrap_or(usize::MAX)
}

impl Group {
    /// Whether it has to be read where the group is free.
    pub(in crate::space) fn is_unread(&self) -> bool {
        let body = self.lock();
        matches!(body.free_space, FreeSpace::Unread(_)) && body.allocation == Allocation::Open
    }

    /// It is known from now on where the group is free: in `ranges`, all that has no extent item, but for what is kept.
    /// Unless the group was closed meanwhile: it is not allocated from then, and may be gone.
    #[inline(never)]
    fn know(&self, groups: &BlockGroups, mut ranges: FreeRanges) -> Result {
        let mut body = self.lock();
        if body.allocation == Allocation::Closed {
            return Ok(());
        }
        let unused = body.tally.total.saturating_sub(body.tally.used);
        if ranges.free() != unused {
            let flaw = Flaw::new(
                "free ranges are not what is unused",
                ranges.free().get(),
                unused.get(),
            );
            return Err(self.broken(flaw));
        }
        if let FreeSpace::Unread(kept) = &body.free_space {
            for (start, end, change) in kept.iter() {
                let kept = change == SpaceChange::Allocated && ranges.remove(start, end).is_ok();
                if !kept {
                    let bug = Bug::new("what is kept from being free is not what is pinned");
                    return Err(bug.of(start.get()).report());
                }
            }
        }
        // After what is kept: only a disk that lies has an extent where a superblock copy is.
        let superblocks = exclude_superblocks(&groups.volume, self.chunk(), &mut ranges)?;
        let guessed = core::mem::replace(&mut body.superblocks, superblocks);
        let (more, fewer) = (
            superblocks.saturating_sub(guessed),
            guessed.saturating_sub(superblocks),
        );
        self.shift(&mut body, fewer, ByteState::ReadOnly, ByteState::Unread)?;
        self.shift(&mut body, more, ByteState::Unread, ByteState::ReadOnly)?;
        let unread = body.tally.unread;
        if ranges.free() != unread {
            let flaw = Flaw::new(
                "tally differs from the free ranges",
                unread.get(),
                ranges.free().get(),
            );
            return Err(self.broken(flaw));
        }
        body.free_space = FreeSpace::Anywhere(ranges);
        self.space_info().note_known(self.len());
        self.shift(&mut body, unread, ByteState::Unread, ByteState::Free)
    }

    /// What is free in the group cannot be read: neither that nor what is freed there is used any more. Unless the group
    /// was closed meanwhile, as [`Self::know`] has it.
    fn give_up_unread(&self) -> Result {
        let mut body = self.lock();
        if body.allocation == Allocation::Closed {
            return Ok(());
        }
        let unread = body.tally.unread;
        body.free_space = FreeSpace::GivenUp;
        self.shift(&mut body, unread, ByteState::Unread, ByteState::ReadOnly)
    }

    /// Forgets where the group is free, unless something is under way there, or it was promised, or somebody is `asking` or
    /// has one of the locks; of how many bytes.
    fn forget(&self, asking: &AtomicU64) -> Result<Bytes> {
        let Some(mut body) = self.try_lock() else {
            return Ok(Bytes::ZERO);
        };
        // Under the lock: who asks from now on finds that the group is forgotten, and reads it.
        if asking.load(Ordering::Relaxed) > 0 {
            return Ok(Bytes::ZERO);
        }
        let tally = body.tally;
        let idle = tally.reserved == Bytes::ZERO && tally.pinned == Bytes::ZERO;
        let is_known = matches!(body.free_space, FreeSpace::Anywhere(_));
        if !idle || !is_known || body.allocation == Allocation::Closed {
            return Ok(Bytes::ZERO);
        }
        // Index and class change at once, as ever.
        let Some(mut index) = self.space_info().try_index() else {
            return Ok(Bytes::ZERO);
        };
        if self.space_info().try_forget(tally.free(), self.len())? == Withdrawal::Refused {
            return Ok(Bytes::ZERO);
        }
        body.free_space = FreeSpace::Unread(SpaceChanges::new());
        self.turn(&mut body, tally.free(), ByteState::Free, ByteState::Unread)?;
        self.renew(&mut index, &mut body)?;
        Ok(self.len())
    }
}
