// SPDX-License-Identifier: GPL-2.0
//! Block groups on sequential zones: when their zones are taken, given back and emptied.

use super::group::{Allocation, Body, Group};
use crate::disk::{Bug, Logical, ZoneOffset};
use crate::space::free::policy::{Appending, FreeSpace};
use crate::space::reserve::ByteState;
use crate::space::write_order::{DataGroup, Ending, OrderedGroup, Share, WriteOrder, Zones};
use crate::space::{Class, DataExtent, Space};
use crate::volume::{Activation, Volume};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Condvar, Mutex, MutexGuard};

/// The volume's zones by the address of the group above them.
pub(in crate::space) struct VolumeZones(pub(in crate::space) Arc<Volume>);

impl Zones for VolumeZones {
    fn activate(&self, group: Logical) -> Result<Activation> {
        let chunk = self.0.chunk(group)?;
        self.0.activate_zones(&chunk)
    }

    fn share(&self, group: Logical) -> Share {
        let chunk = self.0.chunk(group);
        match chunk.is_ok_and(|chunk| self.0.owes_zones(&chunk)) {
            true => Share::Owed,
            false => Share::Held,
        }
    }

    fn has_spare(&self, group: Logical) -> bool {
        let chunk = self.0.chunk(group);
        chunk.is_ok_and(|chunk| self.0.has_spare_zones(&chunk))
    }

    fn finish(&self, group: Logical) -> Result {
        let chunk = self.0.chunk(group)?;
        self.0.finish_zones(&chunk)
    }

    fn filled(&self, group: Logical) {
        if let Ok(chunk) = self.0.chunk(group) {
            self.0.zones_filled(&chunk);
        }
    }

    fn reset(&self, group: Logical) -> Result {
        let chunk = self.0.chunk(group)?;
        self.0.reset_zones(&chunk)
    }
}

impl WriteOrder {
    /// The order for a volume's metadata, to be given to its block cache and to [`crate::space::Options`].
    pub fn for_volume(volume: &Arc<Volume>) -> Result<Arc<Self>> {
        let order = match volume.is_zoned() {
            true => Self::sequential(Arc::new(VolumeZones(volume.clone()), GFP_KERNEL)?)?,
            false => Self::none(),
        };
        Ok(Arc::new(order, GFP_KERNEL)?)
    }
}

/// The allocation state of a group on sequential zones.
fn appending(body: &mut Body) -> Option<&mut Appending> {
    match &mut body.free_space {
        FreeSpace::Append(appending) => Some(appending),
        FreeSpace::Anywhere(_) => None,
    }
}

impl Group {
    /// No block will stand at `addr`.
    pub(in crate::space) fn abandon(&self, addr: Logical) {
        if let Some(appending) = appending(&mut self.lock()) {
            appending.abandon(addr);
        }
    }

    /// Gives up what is left of the zones: free becomes unusable.
    fn give_up_rest(&self, body: &mut Body) -> Result {
        let from = if body.allocation == Allocation::Closed {
            ByteState::ReadOnly
        } else {
            ByteState::Free
        };
        let Some(appending) = appending(body) else {
            return Err(EINVAL);
        };
        let rest = appending.free();
        appending.offset = ZoneOffset::new(appending.capacity);
        self.publish(body);
        self.shift(body, rest, from, ByteState::Unusable)
    }
}

impl OrderedGroup for Group {
    fn blocks_end(&self) -> Logical {
        match appending(&mut self.lock()) {
            Some(appending) => appending.end_of_blocks(),
            None => self.start(),
        }
    }

    fn is_abandoned(&self, addr: Logical) -> bool {
        appending(&mut self.lock()).is_some_and(|appending| appending.is_abandoned(addr))
    }

    fn close_at(&self, pointer: Logical) -> Result<bool> {
        let mut body = self.lock();
        if appending(&mut body).is_none_or(|appending| appending.end_of_blocks() > pointer) {
            return Ok(false);
        }
        self.give_up_rest(&mut body)?;
        Ok(true)
    }
}

impl DataGroup for Group {
    fn spare(&self) -> Option<u64> {
        let mut body = self.lock();
        let left = idle_rest(&mut body)?;
        (body.allocation == Allocation::Closed || self.space_info().can_lose(left)).then_some(left)
    }

    fn is_busy(&self) -> bool {
        let body = self.lock();
        body.active && body.under_way > 0
    }

    fn give_up(&self) -> Result<bool> {
        let mut body = self.lock();
        let Some(left) = idle_rest(&mut body) else {
            return Ok(false);
        };
        // Between asking and this nobody else may be promised it.
        let promised = body.allocation == Allocation::Open && !self.space_info().lose(left)?;
        if promised {
            return Ok(false);
        }
        let from = match body.allocation {
            Allocation::Open => ByteState::Free,
            Allocation::Closed => ByteState::ReadOnly,
        };
        self.count(&mut body, left, from, ByteState::Unusable)?;
        if body.allocation == Allocation::Closed {
            self.space_info().shift(left, from, ByteState::Unusable)?;
        }
        if let Some(appending) = appending(&mut body) {
            appending.offset = ZoneOffset::new(appending.capacity);
        }
        body.active = false;
        self.publish(&body);
        Ok(true)
    }
}

/// What is left in a data group that holds active zones to which nothing is on its way.
fn idle_rest(body: &mut Body) -> Option<u64> {
    let idle = body.active && body.under_way == 0;
    let zones = appending(body)?;
    (idle && zones.offset.get() > 0).then(|| zones.free())
}

/// Counts data writes that have ended, for those who wait for the zones they hold.
pub(in crate::space) struct DataProgress {
    ended: Mutex<u64>,
    moved: Condvar,
}

impl DataProgress {
    pub(in crate::space) fn new() -> Result<Self> {
        Ok(Self {
            ended: Mutex::new(0, latch::class!("rbtrfs_data_progress"))?,
            moved: Condvar::new(latch::class!("rbtrfs_data_ended"))?,
        })
    }

    /// How many there were.
    pub(in crate::space) fn ended(&self) -> u64 {
        *self.ended.lock()
    }

    /// Waits until there were more than `seen`. One must be under way.
    pub(in crate::space) fn await_next(&self, seen: u64) {
        let mut ended = self.ended.lock();
        while *ended == seen {
            self.moved.wait(&mut ended);
        }
    }

    fn advance(&self) {
        let mut ended = self.ended.lock();
        *ended = ended.wrapping_add(1);
        drop(ended);
        self.moved.notify_all();
    }
}

impl Space {
    /// How many data writes have ended: to be asked before an allocation that [`Self::await_data`] may follow.
    pub fn data_ended(&self) -> u64 {
        self.progress.ended()
    }

    /// After an allocation was refused with `EAGAIN`: waits for a data write to end since `seen` was counted. `false`
    /// when none is under way. No lock may be held that ending a write takes.
    pub fn await_data(&self, seen: u64) -> bool {
        let mut ended = self.progress.ended.lock();
        while *ended == seen {
            let under_way = self
                .groups
                .read()
                .of(Class::Data)
                .any(|group| group.lock().under_way > 0);
            if !under_way {
                return false;
            }
            self.progress.moved.wait(&mut ended);
        }
        true
    }

    /// Tells that a data extent has reached the device, where the device says it is: the last one of a group gives
    /// its zones' active resources back. Called once for each extent that was not released, before its reference is
    /// added. Without effect on regular devices.
    pub fn data_written(&self, extent: DataExtent) -> Result {
        if !self.volume.is_zoned() {
            return Ok(());
        }
        let group = self.group_holding(extent.logical.get(), extent.len)?;
        let mut body = group.lock();
        body.under_way = body.under_way.saturating_sub(extent.len);
        let released = self.release_full_zones(&group, body);
        self.progress.advance();
        released
    }

    /// The same for an extent that will not be written any more.
    pub(in crate::space) fn data_given_up(&self, group: &Group, len: u64) -> Result {
        if group.class() != Class::Data || !self.volume.is_zoned() {
            return Ok(());
        }
        let mut body = group.lock();
        body.under_way = body.under_way.saturating_sub(len);
        body.unwritten = body.unwritten.saturating_add(len);
        let released = self.release_full_zones(group, body);
        self.progress.advance();
        released
    }

    /// Gives the zones of a data group back if they are full and nothing is under way there.
    fn release_full_zones(&self, group: &Group, mut body: MutexGuard<'_, Body>) -> Result {
        let full = appending(&mut body).is_some_and(|appending| appending.free() == 0);
        if !full || !body.active || body.under_way > 0 {
            return Ok(());
        }
        body.active = false;
        let is_short = body.unwritten > 0 || body.ending == Ending::Short;
        drop(body);
        if is_short {
            return self.volume.finish_zones(group.chunk());
        }
        self.volume.zones_filled(group.chunk());
        Ok(())
    }

    /// Gives back the zones of a data group that nothing can be allocated from and nothing is on its way to, so that
    /// another's can be activated. Whether there was one. May talk to the device.
    ///
    /// What is free is never given up for that: it may be promised, and the smallest allocation can have it.
    pub fn relieve_zones(&self) -> Result<bool> {
        let Some(group) = self.spent_data_group() else {
            return Ok(false);
        };
        {
            let mut body = group.lock();
            if !is_spent(&mut body) {
                return Ok(false);
            }
            group.give_up_rest(&mut body)?;
            body.active = false;
        }
        self.volume.finish_zones(group.chunk())?;
        Ok(true)
    }

    fn spent_data_group(&self) -> Option<Arc<Group>> {
        let groups = self.groups.read();
        let spent = groups
            .of(Class::Data)
            .find(|group| is_spent(&mut group.lock()))
            .cloned();
        spent
    }

    /// Empties the zones of groups in which nothing is left: they can be written again from their start.
    pub(in crate::space) fn reset_empty_groups(&self) -> Result {
        if !self.volume.is_zoned() {
            return Ok(());
        }
        for class in [Class::Data, Class::Metadata, Class::System] {
            let mut from = 0;
            loop {
                let next = self.groups.read().empty_appending(class, from);
                let Some(group) = next else { break };
                from = group.start().get().saturating_add(1);
                self.reset_group(&group)?;
            }
        }
        Ok(())
    }

    fn reset_group(&self, group: &Group) -> Result {
        let start = group.start();
        if !self.write_order.is_quiet(start) || !self.close_if_worth_reset(group)? {
            return Ok(());
        }
        let reset = match group.class() {
            Class::Data => self.volume.reset_zones(group.chunk()),
            Class::Metadata | Class::System => self.write_order.reset(start),
        };
        if let Err(error) = reset {
            pr_warn!("block group {start}: zones cannot be reset: {error:?}\n");
            return group.open(&mut group.lock());
        }
        let mut body = group.lock();
        let Some(zones) = appending(&mut body) else {
            let bug = Bug::new("zones of a group were reset that has none");
            return Err(bug.of(start.get()).report());
        };
        let consumed = zones.offset.get();
        zones.restart();
        body.under_way = 0;
        body.unwritten = 0;
        body.active = false;
        body.in_use_when_tried = u64::MAX;
        group.shift(
            &mut body,
            consumed,
            ByteState::Unusable,
            ByteState::ReadOnly,
        )?;
        group.open(&mut body)?;
        group.publish(&body);
        if self.cursors.is_log(start) {
            self.cursors.forget_log(start);
        }
        Ok(())
    }

    /// Stops allocation from a group that holds nothing, and little of which is left to allocate.
    fn close_if_worth_reset(&self, group: &Group) -> Result<bool> {
        let mut body = group.lock();
        let short = group.space_info().is_pressed();
        if !is_worth_reset(&mut body, short) {
            return Ok(false);
        }
        group.close(&mut body)?;
        Ok(true)
    }
}

/// Whether a group holds active zones for nothing.
fn is_spent(body: &mut Body) -> bool {
    let idle = body.active && body.under_way == 0;
    let closed = body.allocation == Allocation::Closed;
    appending(body).is_some_and(|appending| {
        idle && appending.offset.get() > 0 && (closed || appending.free() == 0)
    })
}

/// Whether nothing is in the group, and resetting it gains at least half of it, or anything if space is short.
pub(in crate::space) fn is_worth_reset(body: &mut Body, short: bool) -> bool {
    let tally = body.tally;
    let empty = tally.used == 0
        && tally.reserved == 0
        && tally.pinned == 0
        && body.allocation == Allocation::Open;
    appending(body).is_some_and(|appending| {
        let consumed = appending.offset.get();
        empty && consumed > 0 && (short || consumed >= appending.capacity / 2)
    })
}
