// SPDX-License-Identifier: GPL-2.0
//! What the write order asks of block groups and of the volume that their zones belong to.

use crate::disk::{Bug, Bytes, Logical, ZoneOffset};
use crate::space::free::policy::{FreeSpace, Idle};
use crate::space::groups::activity::Command;
use crate::space::groups::group::{Allocation, Body, Group};
use crate::space::reserve::{ByteState, Reserve, Withdrawal};
use crate::space::write_order::{
    Closing, DataGroup, NewGroup, OrderedGroup, Share, WriteOrder, Zones,
};
use crate::space::Class;
use crate::volume::{Activation, Volume};
use kernel::sync::Arc;
use latch::prelude::*;

/// The volume's zones by the address of the group above them.
struct VolumeZones(Arc<Volume>);

impl Zones for VolumeZones {
    fn activate(&self, group: Logical) -> Result<Activation> {
        let chunk = self.0.chunk(group)?;
        self.0.zones().activate(&chunk)
    }

    fn share(&self, group: Logical) -> Share {
        let chunk = self.0.chunk(group);
        match chunk.is_ok_and(|chunk| self.0.zones().owes(&chunk)) {
            true => Share::Owed,
            false => Share::Held,
        }
    }

    fn has_spare(&self, group: Logical) -> bool {
        let chunk = self.0.chunk(group);
        chunk.is_ok_and(|chunk| self.0.zones().has_spare(&chunk))
    }

    fn finish(&self, group: Logical) -> Result {
        let chunk = self.0.chunk(group)?;
        self.0.zones().finish(&chunk)
    }

    fn filled(&self, group: Logical) {
        if let Ok(chunk) = self.0.chunk(group) {
            self.0.zones().filled(&chunk);
        }
    }

    fn reset(&self, group: Logical) -> Result {
        let chunk = self.0.chunk(group)?;
        self.0.zones().reset(&chunk)
    }
}

impl WriteOrder {
    /// The order for a volume's metadata, to be given to its block cache and to [`crate::space::Options`].
    pub fn for_volume(volume: &Arc<Volume>) -> Result<Arc<Self>> {
        let order = match volume.rules().writes_in_order() {
            true => Self::sequential(Arc::new(VolumeZones(volume.clone()), GFP_KERNEL)?)?,
            false => Self::none(),
        };
        Ok(Arc::new(order, GFP_KERNEL)?)
    }
}

impl Group {
    /// No block will stand at `addr`.
    pub(in crate::space) fn abandon(&self, addr: Logical) {
        if let Some(appending) = self.lock().appending() {
            appending.abandon(addr);
        }
    }

    /// Gives up what is left of the zones: free becomes unusable.
    pub(in crate::space) fn give_up_rest(&self, body: &mut Body) -> Result {
        let from = body.state_of(Idle::Free);
        let Some(appending) = body.appending() else {
            let bug = Bug::new("the rest of a group is given up that has no zones");
            return Err(bug.of(self.start().get()).report());
        };
        let rest = appending.free();
        appending.offset = ZoneOffset::after(appending.capacity);
        self.shift(body, rest, from, ByteState::Unusable)
    }

    /// Gives up what is `left` of the zones, which are to be finished then, unless that was promised.
    fn give_up_unpromised(
        &self,
        body: &mut Body,
        left: Bytes,
        reserve: Reserve,
    ) -> Result<Closing> {
        // Between asking and this nobody else may be promised it.
        if body.allocation == Allocation::Open
            && self.space_info().lose(left, reserve) == Withdrawal::Refused
        {
            return Ok(Closing::Refused);
        }
        let from = body.state_of(Idle::Free);
        self.count(body, left, from, ByteState::Unusable)?;
        if body.allocation == Allocation::Closed {
            self.space_info().shift(left, from, ByteState::Unusable)?;
        }
        if let Some(appending) = body.appending() {
            appending.offset = ZoneOffset::after(appending.capacity);
        }
        self.publish(body)?;
        Ok(Closing::Closed)
    }
}

impl OrderedGroup for Group {
    fn blocks_end(&self) -> Logical {
        match self.lock().appending() {
            Some(appending) => appending.end_of_blocks(),
            None => self.start(),
        }
    }

    fn is_abandoned(&self, addr: Logical) -> bool {
        self.lock()
            .appending()
            .is_some_and(|appending| appending.is_abandoned(addr))
    }

    fn give_up_at(&self, pointer: Logical, reserve: Reserve) -> Result<Closing> {
        let mut body = self.lock();
        match rest_behind(&mut body, pointer) {
            Some(left) => self.give_up_unpromised(&mut body, left, reserve),
            None => Ok(Closing::Refused),
        }
    }
}

/// What is left of the zones, if no block will be written behind `pointer`.
fn rest_behind(body: &mut Body, pointer: Logical) -> Option<Bytes> {
    let zones = body.appending()?;
    (zones.end_of_blocks() <= pointer).then(|| zones.free())
}

impl DataGroup for Group {
    fn spare(&self) -> Option<Bytes> {
        let mut body = self.lock();
        let left = idle_rest(&mut body)?;
        self.space_info().can_lose(left).then_some(left)
    }

    fn is_busy(&self) -> bool {
        let body = self.lock();
        body.activity.is_commanded() || body.activity.is_awake() && body.under_way > Bytes::ZERO
    }

    fn give_up(&self, finish: &mut dyn FnMut()) -> Result<Closing> {
        let Some(command) = self.begin_giving_up()? else {
            return Ok(Closing::Refused);
        };
        finish();
        self.lock().activity.end(command);
        Ok(Closing::Closed)
    }
}

impl Group {
    /// The zones of a group of file data are to be finished, if nothing is on its way to them and what they have left was
    /// promised to nobody: it is given up.
    pub(super) fn begin_giving_up(&self) -> Result<Option<Command>> {
        let mut body = self.lock();
        let Some(left) = idle_rest(&mut body) else {
            return Ok(None);
        };
        let Some(command) = body.activity.command() else {
            return Ok(None);
        };
        if self.give_up_unpromised(&mut body, left, Reserve::Kept)? == Closing::Refused {
            body.activity.undo(command);
            return Ok(None);
        }
        Ok(Some(command))
    }
}

/// What is left in a data group that holds active zones to which nothing is on its way.
fn idle_rest(body: &mut Body) -> Option<Bytes> {
    let idle = body.activity.is_awake() && body.under_way == Bytes::ZERO;
    let zones = body.appending()?;
    (idle && zones.offset.get() > 0).then(|| zones.free())
}

/// Metadata on sequential zones is written in order.
pub(in crate::space) fn join_write_order(order: &WriteOrder, group: &Arc<Group>) -> Result {
    let new = {
        let body = group.lock();
        let FreeSpace::Append(appending) = &body.free_space else {
            return Ok(());
        };
        NewGroup {
            class: group.class(),
            start: group.start(),
            len: group.len(),
            capacity: appending.capacity,
            ending: body.ending,
            written_to: appending.end_of_allocated(),
            active: body.activity.is_awake(),
            group: group.clone(),
        }
    };
    match group.class() {
        Class::Data => order.add_data(group.start(), group.clone()),
        // The write order locks groups, not the other way round.
        Class::Metadata | Class::System => order.add(new),
    }
}
