// SPDX-License-Identifier: GPL-2.0
//! Addresses: for tree blocks, for file data, and for what a log tree refers to.

use crate::disk::{Bug, Bytes, Logical, ZoneOffset};
use crate::space::free::data_extent::DataExtent;
use crate::space::free::policy::FreeSpace;
use crate::space::free::ranges::Wish;
use crate::space::groups::activity::Activity;
use crate::space::groups::block_groups::BlockGroups;
use crate::space::groups::group::{Body, Group};
use crate::space::groups::set::GroupSet;
use crate::space::reserve::Offer;
use crate::space::{BlockClass, Class, Reservation, Urgency};
use crate::volume::Activation;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;

/// Who writes asks for what a file can have.
const TOO_MUCH: Bug = Bug::new("more data is to be allocated than there are addresses");

/// Tree blocks are allocated where this many bytes are free in one piece, if there is such a place: those of one
/// transaction then lie next to each other and go out in long writes.
const CLUSTER: Bytes = Bytes::new(1 << 20);

/// Where the last allocation of a kind was; [`NOWHERE`] before the first.
struct Cursors {
    /// The start of the group that data came from last.
    data: AtomicU64,
    /// The start of the group that tree blocks came from last.
    metadata: AtomicU64,
    /// The start of the group that blocks of the chunk tree came from last.
    system: AtomicU64,
    /// The group of the log trees; on sequential zones nothing else is allocated there.
    log: AtomicU64,
}

/// No group starts here.
const NOWHERE: u64 = u64::MAX;
/// The first address and the one behind all.
const ZERO: Logical = Logical::new(0);
const END: Logical = Logical::new(u64::MAX);

impl Cursors {
    /// Whether `start` is the group of the log trees.
    fn is_log(&self, start: Logical) -> bool {
        self.log.load(Ordering::Relaxed) == start.get()
    }

    /// The log trees leave their group.
    fn forget_log(&self, start: Logical) {
        let _ =
            self.log
                .compare_exchange(start.get(), NOWHERE, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// What chooses the addresses of new extents.
pub(in crate::space) struct Allocator {
    groups: Arc<BlockGroups>,
    cursors: Cursors,
}

impl Allocator {
    pub(in crate::space) fn new(groups: Arc<BlockGroups>) -> Self {
        Self {
            groups,
            cursors: Cursors {
                data: AtomicU64::new(NOWHERE),
                metadata: AtomicU64::new(NOWHERE),
                system: AtomicU64::new(NOWHERE),
                log: AtomicU64::new(NOWHERE),
            },
        }
    }

    /// The log trees leave a group, if it is theirs.
    pub(in crate::space) fn forget_log(&self, start: Logical) {
        self.cursors.forget_log(start);
    }

    /// Tells that no block will stand at `addr`, which stays allocated.
    pub(in crate::space) fn abandon_block(&self, addr: Logical) {
        // An error has been logged: an address without a group is corruption that others meet as well.
        if let Ok(group) = self.groups.holding(addr, self.groups.node_size) {
            group.abandon(addr);
        }
    }

    /// Gives back the address of a block that was never written.
    pub(in crate::space) fn give_back_block(&self, addr: Logical) {
        let len = self.groups.node_size;
        self.groups.give_back(addr, len, |_| Ok(()));
    }

    /// See [`crate::space::Space::allocate_block`]. What nobody keeps is given back by [`Self::give_back_block`].
    pub(in crate::space) fn allocate_block(
        &self,
        class: BlockClass,
        near: Logical,
        from: &Reservation,
    ) -> Result<Logical> {
        let size = self.groups.node_size;
        let wish = Wish {
            wanted: size,
            min: size,
            align: size,
            cluster: CLUSTER,
        };
        self.groups.commit_may_free.store(true, Ordering::Relaxed);
        let groups = self.groups.read();
        let cursor = match class {
            BlockClass::System => &self.cursors.system,
            BlockClass::Metadata | BlockClass::TreeLog => &self.cursors.metadata,
        };
        if cursor.load(Ordering::Relaxed) == NOWHERE {
            let first = begun_group(&groups, class.class(), near);
            cursor.store(first.map_or(0, Logical::get), Ordering::Relaxed);
        }
        if class == BlockClass::TreeLog && self.groups.volume.rules().writes_in_order() {
            if let Some(start) = self.allocate_log_block(&groups, wish, from)? {
                return Ok(start);
            }
        }
        let mut found = self.search(&groups, class.class(), cursor, wish, from, |group| {
            !self.cursors.is_log(group.start())
        })?;
        if found.is_none() {
            found = self.search(&groups, class.class(), cursor, wish, from, |_| true)?;
        }
        match found {
            Some((start, _)) => Ok(start),
            None => {
                pr_err!("no space for a {} block\n", class.class());
                Err(ENOSPC)
            }
        }
    }

    /// Does what [`crate::space::Space::allocate_data`] says.
    pub(in crate::space) fn allocate_data(
        &self,
        from: &Reservation,
        wanted: Bytes,
        min: Bytes,
    ) -> Result<DataExtent> {
        let sector = self.groups.sector_size;
        let whole = |bytes: Bytes| bytes.checked_round_up(sector).ok_or(TOO_MUCH);
        let min = whole(min.max(sector))?;
        let wanted = whole(wanted)?.max(min);
        let groups = self.groups.read();
        let cursor = &self.cursors.data;
        let info = self.groups.info(Class::Data);
        // What zones that are written have left goes first: no other is begun for it, and none is left with a rest.
        let mut asked = match self.groups.volume.rules().fills_begun_groups() {
            true => info.longest(Offer::Ready).clamp(min, wanted),
            false => wanted,
        };
        loop {
            let wish = Wish {
                wanted,
                min: asked,
                align: sector,
                cluster: Bytes::ZERO,
            };
            if let Some((start, end)) =
                self.search(&groups, Class::Data, cursor, wish, from, |_| true)?
            {
                return Ok(DataExtent {
                    logical: start,
                    len: end.saturating_since(start),
                });
            }
            if asked == min {
                break;
            }
            // What is longest now; less if that was there before, behind zones that cannot be activated.
            asked = match info.longest_of_all() {
                longest if longest < asked => longest,
                _ => whole(asked.divided_by(4))?,
            };
            asked = asked.max(min);
        }
        let waiting = info.longest(Offer::Asleep) >= min;
        Err(if waiting { EAGAIN } else { ENOSPC })
    }

    /// A data extent of `len` bytes for the cache of a group: of one of data in it, or the file would keep another from being
    /// given back. Those of other groups lie as low as can be. `None` where there is no space.
    pub(in crate::space) fn allocate_cache(
        &self,
        of: &Group,
        len: Bytes,
    ) -> Result<Option<DataExtent>> {
        let info = self.groups.info(Class::Data);
        let Ok(from) = Reservation::promised(info, len, Urgency::Ordinary) else {
            return Ok(None);
        };
        let wish = Wish {
            wanted: len,
            min: len,
            align: self.groups.sector_size,
            cluster: Bytes::ZERO,
        };
        let found = match of.class() {
            Class::Data => of.allocate(wish, &from)?,
            Class::Metadata | Class::System => {
                let (groups, lowest) = (self.groups.read(), AtomicU64::new(0));
                self.search(&groups, Class::Data, &lowest, wish, &from, |_| true)?
            }
        };
        Ok(found.map(|(start, _)| DataExtent {
            logical: start,
            len,
        }))
    }

    /// Does what [`crate::space::Space::take`] says.
    pub(in crate::space) fn take(&self, addr: Logical, len: Bytes) -> Result {
        let group = self.groups.holding(addr, len)?;
        group.take_at(addr, addr.saturating_add(len))
    }

    /// Finds in a group of a class what was promised, wherever that moves while one group is looked at after the other.
    fn search(
        &self,
        groups: &GroupSet,
        class: Class,
        cursor: &AtomicU64,
        wish: Wish,
        from: &Reservation,
        accept: impl Fn(&Group) -> bool,
    ) -> Result<Option<(Logical, Logical)>> {
        let info = self.groups.info(class);
        loop {
            let risen = info.risen();
            let found = self.search_once(groups, class, cursor, wish, from, &accept)?;
            // Pieces that are too short come and go without end.
            let longest = info.longest_of_all();
            if found.is_some() || info.risen() == risen || longest < wish.min {
                return Ok(found);
            }
        }
    }

    /// Tries the groups of a class that offer enough, first the one of the last allocation and those behind it.
    fn search_once(
        &self,
        groups: &GroupSet,
        class: Class,
        cursor: &AtomicU64,
        wish: Wish,
        from: &Reservation,
        accept: &impl Fn(&Group) -> bool,
    ) -> Result<Option<(Logical, Logical)>> {
        let first = match cursor.load(Ordering::Relaxed) {
            NOWHERE => ZERO,
            first => Logical::new(first),
        };
        for offer in [Offer::Ready, Offer::Asleep] {
            let offering = |start, end| self.offering(groups, class, offer, wish.min, start..end);
            let around = Iterator::chain(offering(first, END), offering(ZERO, first));
            for group in around.filter(|group| accept(group)) {
                if offer == Offer::Asleep && self.wake(group)? == Activation::NoBudget {
                    continue;
                }
                if let Some(span) = group.allocate(wish, from)? {
                    cursor.store(group.start().get(), Ordering::Relaxed);
                    return Ok(Some(span));
                }
            }
        }
        Ok(None)
    }

    /// The groups of a class that start in `starts` and offer a piece of `len` bytes, each asked for when its turn comes.
    fn offering<'g>(
        &'g self,
        groups: &'g GroupSet,
        class: Class,
        offer: Offer,
        len: Bytes,
        starts: Range<Logical>,
    ) -> impl Iterator<Item = &'g Arc<Group>> {
        let (info, mut from) = (self.groups.info(class), starts.start);
        let found = core::iter::from_fn(move || {
            let found = info.index().offering(offer, from, len)?;
            from = found.saturating_add(Bytes::new(1));
            (found < starts.end).then_some(found)
        });
        // One that is being removed may be known to the index still.
        found.filter_map(|start| groups.holding(start, start.saturating_add(Bytes::new(1))))
    }

    /// Activates the zones of a group of file data, which can be written then.
    fn wake(&self, group: &Group) -> Result<Activation> {
        let mut body = group.lock();
        match body.activity {
            Activity::Awake => return Ok(Activation::Active),
            Activity::Commanded | Activity::Leaving => return Ok(Activation::NoBudget),
            Activity::Asleep => {}
        }
        let activation = self.groups.volume.zones().activate(group.chunk())?;
        if activation == Activation::Active {
            body.activity = Activity::Awake;
        }
        group.publish(&mut body)?;
        Ok(activation)
    }

    /// A block from the log trees' own group on sequential zones; `None` where there is no such group.
    fn allocate_log_block(
        &self,
        groups: &GroupSet,
        wish: Wish,
        from: &Reservation,
    ) -> Result<Option<Logical>> {
        let current = Logical::new(self.cursors.log.load(Ordering::Relaxed));
        if let Some(group) = groups.holding(current, current.saturating_add(Bytes::new(1))) {
            if let Some((start, _)) = group.allocate(wish, from)? {
                return Ok(Some(start));
            }
        }
        let in_use = Logical::new(self.cursors.metadata.load(Ordering::Relaxed));
        let fresh = |group: &&Arc<Group>| group.start() != in_use && is_fresh(&group.lock());
        let Some(group) = groups.of(Class::Metadata).find(fresh) else {
            self.cursors.log.store(NOWHERE, Ordering::Relaxed);
            return Ok(None);
        };
        self.cursors
            .log
            .store(group.start().get(), Ordering::Relaxed);
        Ok(group.allocate(wish, from)?.map(|(start, _)| start))
    }
}

/// Where the first allocation since the mount looks first: in the group of `near`, but on sequential zones in one that holds active
/// zones already. Each that is left so holds them until it gives way, with all that is free there.
fn begun_group(groups: &GroupSet, class: Class, near: Logical) -> Option<Logical> {
    let is_begun = |group: &&Arc<Group>| {
        let body = group.lock();
        let zones = body.as_appending();
        zones.is_some_and(|zones| {
            body.activity.is_awake() && zones.offset.get() > 0 && zones.free() > Bytes::ZERO
        })
    };
    let nearest = groups.holding(near, near.saturating_add(Bytes::new(1)));
    let begun = nearest.filter(is_begun);
    let begun = begun.or_else(|| groups.of(class).find(is_begun));
    begun.or(nearest).map(|group| group.start())
}

/// Whether a group lies on sequential zones and nothing was allocated there since their reset.
fn is_fresh(body: &Body) -> bool {
    matches!(&body.free_space, FreeSpace::Append(appending) if appending.offset == ZoneOffset::default())
}
