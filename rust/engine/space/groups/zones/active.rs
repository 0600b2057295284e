// SPDX-License-Identifier: GPL-2.0
//! The active zones of groups of file data: when they are given back, and waiting for that.

use super::finishing::{close_rest, finish_zones, GivenUp, Relief};
use crate::disk::Bytes;
use crate::space::groups::activity::Command;
use crate::space::groups::block_groups::BlockGroups;
use crate::space::groups::group::{Body, Group};
use crate::space::write_order::{DataGroup, DataProgress, DataWait, Ending};
use crate::space::{Class, DataExtent};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::MutexGuard;

/// The active zones of the data groups.
pub(in crate::space) struct DataZones {
    groups: Arc<BlockGroups>,
    progress: Arc<DataProgress>,
}

impl DataZones {
    pub(in crate::space) fn new(groups: Arc<BlockGroups>) -> Result<Self> {
        let progress = groups.write_order.data_progress()?;
        Ok(Self { groups, progress })
    }

    /// Does what [`crate::space::Space::data_ended`] says.
    pub(in crate::space) fn ended(&self) -> u64 {
        self.progress.ended()
    }

    /// Does what [`crate::space::Space::await_data`] says.
    pub(in crate::space) fn wait(&self, seen: u64) -> DataWait {
        self.progress.await_while(seen, || {
            self.groups
                .read()
                .of(Class::Data)
                .any(|group| group.lock().under_way > Bytes::ZERO)
        })
    }

    /// Does what [`crate::space::Space::data_written`] says.
    pub(in crate::space) fn written(&self, extent: DataExtent) -> Result {
        if !self.groups.volume.rules().writes_in_order() {
            return Ok(());
        }
        let group = self.groups.holding(extent.logical, extent.len)?;
        let _giving = self.progress.giving();
        let mut body = group.lock();
        body.under_way = body.under_way.saturating_sub(extent.len);
        self.release_full_zones(&group, body)
    }

    /// Tells that an extent of `len` bytes of a group will not be written any more.
    pub(in crate::space) fn given_up(&self, group: &Group, len: Bytes) -> Result {
        if group.class() != Class::Data || !self.groups.volume.rules().writes_in_order() {
            return Ok(());
        }
        let _giving = self.progress.giving();
        let mut body = group.lock();
        body.under_way = body.under_way.saturating_sub(len);
        body.unwritten = body.unwritten.saturating_add(len);
        self.release_full_zones(group, body)
    }

    /// Gives the zones of a data group back if they are full and nothing is under way there.
    fn release_full_zones(&self, group: &Group, mut body: MutexGuard<'_, Body>) -> Result {
        let full = body
            .appending()
            .is_some_and(|appending| appending.free() == Bytes::ZERO);
        if !full || !body.activity.is_awake() || body.under_way > Bytes::ZERO {
            return Ok(());
        }
        let Some(command) = body.activity.command() else {
            return Ok(());
        };
        group.publish(&mut body)?;
        let is_short = body.unwritten > Bytes::ZERO || body.ending == Ending::Short;
        drop(body);
        match is_short {
            // What was written is on the device, whatever becomes of the zones.
            true => {
                finish_zones(&self.groups, group);
            }
            false => self.groups.volume.zones().filled(group.chunk()),
        }
        group.lock().activity.end(command);
        Ok(())
    }

    /// Does what [`crate::space::Space::relieve_zones`] says.
    pub(in crate::space) fn relieve(&self) -> Result<Relief> {
        while let Some(group) = self.spent_group() {
            let _giving = self.progress.giving();
            let Some(command) = begin_relief(&group)? else {
                return Ok(Relief::None);
            };
            let relief = finish_zones(&self.groups, &group);
            group.lock().activity.end(command);
            if relief == Relief::Given {
                return Ok(Relief::Given);
            }
        }
        Ok(Relief::None)
    }

    /// Does what [`crate::space::Space::give_up_data_zone`] says.
    pub(in crate::space) fn give_up_one(&self) -> Result<Relief> {
        while let Some(group) = self.least_idle() {
            match close_rest(&self.groups, &group)? {
                GivenUp::Finished => return Ok(Relief::Given),
                GivenUp::Refused => return Ok(Relief::None),
                // It is idle no more, and the next one is asked.
                GivenUp::Unfinished => {}
            }
        }
        Ok(Relief::None)
    }

    /// The group with the least left that nothing is on its way to, and that was promised to no user.
    fn least_idle(&self) -> Option<Arc<Group>> {
        let groups = self.groups.read();
        let idle = groups
            .of(Class::Data)
            .filter_map(|group| Some((group.spare()?, group)));
        let least = idle.min_by_key(|(left, _)| *left);
        least.map(|(_, group)| group.clone())
    }

    fn spent_group(&self) -> Option<Arc<Group>> {
        let groups = self.groups.read();
        let spent = groups
            .of(Class::Data)
            .find(|group| is_spent(&group.lock()))
            .cloned();
        spent
    }
}

/// Whether a group holds active zones for nothing.
fn is_spent(body: &Body) -> bool {
    let idle = body.activity.is_awake() && body.under_way == Bytes::ZERO;
    body.as_appending().is_some_and(|appending| {
        idle && appending.offset.get() > 0 && appending.free() == Bytes::ZERO
    })
}

/// The zones of a group are to be finished, if it still holds them for nothing.
fn begin_relief(group: &Group) -> Result<Option<Command>> {
    let mut body = group.lock();
    if !is_spent(&body) {
        return Ok(None);
    }
    let command = body.activity.command();
    group.publish(&mut body)?;
    Ok(command)
}
