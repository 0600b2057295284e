// SPDX-License-Identifier: GPL-2.0
//! Reading the block groups at mount.
//!
//! Where they are free is read later, group by group, by `unread`. Only where nothing but the extent tree tells it, that is
//! read here, all of it and before anything can change.

use super::budget::{tell_unused, Budget, LONGEST};
use crate::btree::Tree;
use crate::disk::{BlockGroupItem, Bytes, Flaw, Key, Kind, Logical, Site, ZoneOffset};
use crate::map::OrdMap;
use crate::space::free::cache::Stored;
use crate::space::free::on_disk::OnDisk;
use crate::space::free::policy::FreeSpace;
use crate::space::free::ranges::FreeRanges;
use crate::space::groups::block_groups::BlockGroups;
use crate::space::groups::group::{Allocation, Body, Group};
use crate::space::groups::items::Items;
use crate::space::groups::make::{class_of, leave_unread, new_body, use_ranges};
use crate::space::groups::zones::order::join_write_order;
use crate::space::Class;
use crate::volume::{Chunk, Writes};
use core::ops::ControlFlow;
use kernel::sync::Arc;
use latch::prelude::*;

/// What the extent tree tells of where a group is free.
enum Derived {
    /// Nothing: another tree tells it, the write pointer does, or nobody asks.
    Nothing,
    /// What is free, as far as extents were seen.
    Ranges(KBox<FreeRanges>),
    /// Nothing more: the group's cache has told what is free.
    Cached(KBox<FreeRanges>),
    /// Nothing there is used: it contradicts itself, which was reported, or it would take too much memory to know more.
    GivenUp(Error),
}

/// A group that is being read.
struct Loading {
    chunk: Arc<Chunk>,
    class: Class,
    used: Bytes,
    body: Body,
    /// What is free, where the extent tree has to tell it.
    derived: Derived,
    /// Where the last extent that was seen ends, where the whole extent tree is read.
    seen_to: Logical,
}

impl Loading {
    fn start(&self) -> Logical {
        self.chunk.logical
    }

    fn end(&self) -> Logical {
        self.chunk.end()
    }
}

impl Loading {
    /// The next extent is `[start, end)`: before it is free space, as far as the write pointer does not tell that.
    fn see(&mut self, start: Logical, end: Logical, budget: &mut Budget) -> Result {
        let before = core::mem::replace(&mut self.seen_to, end);
        let Derived::Ranges(ranges) = &mut self.derived else {
            return Ok(());
        };
        if before >= start {
            return Ok(());
        }
        let seen = budget.change(self.class, ranges, |ranges| ranges.insert(before, start));
        match seen {
            Err(error) if error == EFBIG => self.derived = Derived::GivenUp(error),
            seen => seen?,
        }
        Ok(())
    }

    fn is_cached(&self) -> bool {
        matches!(self.derived, Derived::Cached(_))
    }

    /// The extent at `addr` overlaps another of the group, or goes beyond its end.
    #[cold]
    fn contradict(&mut self, addr: Logical) {
        if let Derived::Ranges(_) | Derived::Cached(_) = self.derived {
            let flaw = Flaw::missing("extent overlaps another, or lies in two block groups");
            self.derived = Derived::GivenUp(flaw.at(Site::Extent(addr)).report());
        }
    }
}

type Loadings = OrdMap<Logical, Loading>;

/// What is read at mount, and where it goes.
pub(in crate::space) struct Loader<'a> {
    /// Where the groups go.
    pub(in crate::space) groups: &'a BlockGroups,
    /// The tree with the block group items.
    pub(in crate::space) items: &'a Tree,
    /// What the disk has of free space.
    pub(in crate::space) free_space: &'a OnDisk,
    /// The extent tree.
    pub(in crate::space) extents: &'a Tree,
    /// The caches, if they are believed: what they say is not looked for in the extent tree.
    pub(in crate::space) caches: Option<&'a Stored>,
    /// When the mount began, the volume might be written, at once or later: its free space is read, too.
    pub(in crate::space) writable: bool,
    /// What is free is read from the extent tree where nothing else has it.
    pub(in crate::space) derives: bool,
}

impl Loader<'_> {
    /// Reads all block groups. Gives those whose caches are not right, unless no cache of any group may be believed.
    pub(in crate::space) fn load(&self) -> Result<Option<KVVec<Logical>>> {
        let mut budget = Budget::new();
        let mut loadings = self.read_groups(&mut budget)?;
        if self.derives {
            match self.free_space {
                OnDisk::Tree(..) => {}
                OnDisk::Caches(_) | OnDisk::Nowhere => {
                    self.derive_free_space(&mut loadings, &mut budget)?;
                }
            }
        }
        let mut doubted = self.caches.map(|_| KVVec::new());
        let mut given_up = None;
        while let Some((start, loading)) = loadings.pop_first() {
            let class = loading.class;
            if let Some(doubted) = doubted.as_mut().filter(|_| !loading.is_cached()) {
                doubted.push(start, GFP_KERNEL)?;
            }
            let error = self.finish(loading)?;
            // Nothing is known that its cache could be compared with.
            doubted = doubted.filter(|_| error.is_none());
            given_up = given_up.or(error.filter(|_| class != Class::Data));
        }
        self.groups.growth().refresh();
        given_up.map_or(Ok(()), |error| self.check_places(error))?;
        Ok(doubted)
    }

    /// Groups of tree blocks were given up: where those had no other place, nothing can be written.
    #[cold]
    fn check_places(&self, error: Error) -> Result {
        let has_free = |class| self.groups.info(class).lock().tally.free_in_all() > Bytes::ZERO;
        if has_free(Class::Metadata) && has_free(Class::System) {
            return Ok(());
        }
        pr_err!("tree blocks have no other place: the volume can only be read\n");
        if self.groups.volume.writes() == Writes::Later {
            self.groups.volume.forbid_writing();
            return Ok(());
        }
        Err(error)
    }

    // What is read of one group is large, and in frames that are gone before the trees are walked.
    #[inline(never)]
    fn read_groups(&self, budget: &mut Budget) -> Result<Loadings> {
        let mut loadings = Loadings::new();
        let mut from = Logical::new(0);
        while let Some(chunk) = self.groups.volume.chunk_from(from) {
            let end = chunk.logical.checked_add(chunk.len);
            let loading = self.read_group(chunk, budget)?;
            loadings.insert(loading.start(), loading)?;
            let Some(end) = end else { break };
            from = end;
        }
        Ok(loadings)
    }

    #[inline(never)]
    fn read_group(&self, chunk: Arc<Chunk>, budget: &mut Budget) -> Result<Loading> {
        let start = chunk.logical;
        let key = Key::new(start.get(), Kind::BLOCK_GROUP_ITEM, chunk.len.get());
        let item = self
            .items
            .get(&key, |bytes| BlockGroupItem::parse(&key, bytes))?
            .ok_or_else(|| {
                let flaw = Flaw::missing("chunk has no block group item");
                flaw.at(Site::Chunk(chunk.logical)).report()
            })?;
        let BlockGroupItem { used, flags } =
            item.map_err(|flaw| flaw.in_item(self.items.id(), &key).report())?;
        if flags != chunk.flags {
            let (found, expected) = (flags.get(), chunk.flags.get());
            let flaw = Flaw::new("block group is not of its chunk's type", found, expected);
            return Err(broken(start, flaw));
        }
        let class = class_of(&chunk)?;
        let zones = match self.writable {
            true => Some(self.groups.volume.zones().load(&chunk, &mut || {
                last_allocated(self.extents, &chunk, self.groups.node_size)
            })?),
            false => None,
        };
        let body = new_body(self.groups, &chunk, zones, class, used)?;
        let derived = match (self.free_space, &body.free_space) {
            (OnDisk::Caches(_) | OnDisk::Nowhere, FreeSpace::Unread(_)) if self.derives => {
                self.begin_deriving((&chunk, class), used, budget)?
            }
            _ => Derived::Nothing,
        };
        Ok(Loading {
            class,
            used,
            body,
            derived,
            seen_to: start,
            chunk,
        })
    }

    #[inline(never)]
    fn begin_deriving(
        &self,
        (chunk, class): (&Chunk, Class),
        used: Bytes,
        budget: &mut Budget,
    ) -> Result<Derived> {
        if chunk.len > LONGEST {
            return Ok(Derived::GivenUp(EFBIG));
        }
        let unused = chunk.len.saturating_sub(used);
        let read = |caches: &Stored| caches.read(&self.groups.volume, chunk, unused);
        if let Some(ranges) = self.caches.and_then(read) {
            return match budget.take(class, &ranges) {
                Ok(()) => Ok(Derived::Cached(KBox::new(ranges, GFP_KERNEL)?)),
                Err(error) => Ok(Derived::GivenUp(error)),
            };
        }
        let (start, sector_size) = (chunk.logical, self.groups.sector_size);
        let ranges = FreeRanges::new(start, chunk.len, sector_size, GFP_KERNEL)?;
        Ok(Derived::Ranges(KBox::new(ranges, GFP_KERNEL)?))
    }

    /// Checks what was read of a group and makes it known. Gives the reason if the group was given up.
    #[inline(never)]
    fn finish(&self, loading: Loading) -> Result<Option<Error>> {
        let Loading {
            chunk,
            class,
            used,
            mut body,
            derived,
            seen_to: _,
        } = loading;
        let given_up = self.take_over(&chunk, used, derived, &mut body)?;
        if let Some(error) = given_up {
            give_up(chunk.logical, &mut body, error);
        }
        self.make_known(chunk, class, used, body)?;
        Ok(given_up)
    }

    /// Takes over what was derived of a group, `used` bytes of which are in use. Gives the reason why the group is to be given up, if
    /// there is one.
    fn take_over(
        &self,
        chunk: &Chunk,
        used: Bytes,
        derived: Derived,
        body: &mut Body,
    ) -> Result<Option<Error>> {
        let (start, len) = (chunk.logical, chunk.len);
        let unused = len.saturating_sub(used);
        match (derived, &body.free_space) {
            _ if !self.writable => {
                body.allocation = Allocation::Closed;
                body.tally.read_only = unused;
            }
            (Derived::GivenUp(error), _) => return Ok(Some(error)),
            (Derived::Ranges(ranges) | Derived::Cached(ranges), _) if ranges.free() != unused => {
                let flaw = Flaw::new(
                    "free ranges are not what is unused",
                    ranges.free().get(),
                    unused.get(),
                );
                return Ok(Some(broken(start, flaw)));
            }
            (Derived::Ranges(ranges) | Derived::Cached(ranges), _) => {
                use_ranges(&self.groups.volume, chunk, body, KBox::into_inner(ranges))?
            }
            (Derived::Nothing, FreeSpace::Unread(_)) if used > len => {
                let flaw = Flaw::new(
                    "more is used than the block group holds",
                    used.get(),
                    len.get(),
                );
                return Err(broken(start, flaw));
            }
            (Derived::Nothing, FreeSpace::Unread(_)) => {
                leave_unread(&self.groups.volume, chunk, body)?
            }
            (Derived::Nothing, _) => {}
        }
        Ok(None)
    }

    /// Makes the group of a chunk known, to the write order and to all.
    fn make_known(&self, chunk: Arc<Chunk>, class: Class, used: Bytes, body: Body) -> Result {
        let start = chunk.logical;
        let span = (start, chunk.end());
        let free_space = match &body.free_space {
            FreeSpace::Anywhere(ranges) => {
                let sector_size = self.groups.sector_size;
                let on_disk = self.free_space;
                on_disk.cached(span, sector_size, ranges, body.superblocks)?
            }
            _ => self.free_space.group(span, None),
        };
        let items = Items::new(start, chunk.len, chunk.flags, used, free_space);
        let space_info = self.groups.info(class).clone();
        let group = Group::new(chunk, class, space_info, body, items)?;
        let group = Arc::new(group, GFP_KERNEL)?;
        join_write_order(&self.groups.write_order, &group)?;
        self.groups.add(&group)
    }

    /// Free space as what the extent tree has no item for, but for groups of which a cache has told it.
    #[inline(never)]
    fn derive_free_space(&self, loadings: &mut Loadings, budget: &mut Budget) -> Result {
        let mut from = Some(Logical::new(0));
        while let Some(at) = from {
            let mut behind = loadings.range_from(&at).map(|(_, loading)| loading);
            let cached = behind.find(|loading| loading.is_cached());
            let until = cached.map_or(Logical::new(u64::MAX), Loading::start);
            from = cached.map(Loading::end);
            if at < until {
                self.scan_extents((loadings, budget), at, until)?;
            }
        }
        for (_, loading) in loadings.iter_mut() {
            let end = loading.end();
            loading.see(end, end, budget)?;
        }
        Ok(())
    }

    /// Sees the extents that begin in `[from, until)`.
    fn scan_extents(
        &self,
        (loadings, budget): (&mut Loadings, &mut Budget),
        from: Logical,
        until: Logical,
    ) -> Result {
        let node_size = self.groups.node_size;
        self.extents.scan(Key::at_addresses(from..until), |key, _| {
            if let Some((start, end)) = extent(key, node_size) {
                see((loadings, budget), start, end)?;
            }
            Ok(ControlFlow::Continue(()))
        })
    }
}

/// The extent tree has `[start, end)` behind all that was seen.
fn see((loadings, budget): (&mut Loadings, &mut Budget), start: Logical, end: Logical) -> Result {
    let loading = loadings.floor_mut(&start).map(|(_, loading)| loading);
    let Some(loading) = loading.filter(|loading| start < loading.end()) else {
        let flaw = Flaw::missing("extent lies in no block group");
        return Err(flaw.at(Site::Extent(start)).report());
    };
    if loading.seen_to <= start && end <= loading.end() {
        return loading.see(start, end, budget);
    }
    loading.contradict(start);
    let mut next = loading.end();
    while let Some((_, behind)) = loadings.ceiling_mut(&next) {
        if behind.start() >= end {
            break;
        }
        behind.contradict(start);
        next = behind.end();
    }
    Ok(())
}

/// What is said of where a group is free contradicts itself, or is too much: what is unused stays so.
#[cold]
fn give_up(start: Logical, body: &mut Body, error: Error) {
    tell_unused(start, error);
    body.tally.read_only = body.tally.free();
    body.free_space = FreeSpace::GivenUp;
}

/// The range of an extent item, by its key.
pub(in crate::space::groups) fn extent(key: Key, node_size: Bytes) -> Option<(Logical, Logical)> {
    let start = Logical::new(key.objectid.get());
    let len = match key.kind {
        Kind::EXTENT_ITEM => Bytes::new(key.offset),
        Kind::METADATA_ITEM => node_size,
        _ => return None,
    };
    Some((start, start.saturating_add(len)))
}

/// Where the last extent of a group ends, from the group's start.
fn last_allocated(extents: &Tree, chunk: &Chunk, node_size: Bytes) -> Result<ZoneOffset> {
    let start = chunk.logical;
    let last = chunk.end().get().saturating_sub(1);
    // The last item before the end belongs to the last extent, or to the group itself; the extent's own item may
    // stand before its references.
    let found = extents.floor(&Key::new(last, Kind::new(u8::MAX), u64::MAX), |key, _| key)?;
    let Some(found) = found.filter(|key| key.objectid.get() >= start.get()) else {
        return Ok(ZoneOffset::new(0));
    };
    let key = Key::new(found.objectid.get(), Kind::METADATA_ITEM, u64::MAX);
    let item = extents.floor(&key, |key, _| key)?;
    let end = item
        .filter(|key| key.objectid.get() >= start.get())
        .and_then(|key| extent(key, node_size));
    let offset = end.map_or(Bytes::ZERO, |(_, end)| end.saturating_since(start));
    Ok(ZoneOffset::after(offset))
}

/// Reports what contradicts itself in the block group at `start`.
#[cold]
fn broken(start: Logical, flaw: Flaw) -> Error {
    flaw.at(Site::BlockGroup(start)).report()
}
