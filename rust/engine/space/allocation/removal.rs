// SPDX-License-Identifier: GPL-2.0
//! An empty group on its way out.

use super::allocate::Allocator;
use crate::btree::Allocate;
use crate::disk::{Bytes, Logical};
use crate::space::free::policy::FreeSpace;
use crate::space::groups::activity::Command;
use crate::space::groups::block_groups::BlockGroups;
use crate::space::groups::group::{Allocation, Body, Group};
use crate::space::groups::loading::unread::{NextGroup, Reader};
use crate::space::groups::writeout::write::Writeout;
use crate::space::groups::zones::sparse::dead_in;
use crate::space::reserve::Spare;
use crate::space::write_order::Closing;
use crate::space::Class;
use crate::volume::Chunk;
use kernel::sync::Arc;
use latch::prelude::*;

/// An empty group on its way out: nothing is allocated from it any more. Dropped, it is usable again.
///
/// txn removes the DEV_EXTENTs and the chunk item and calls [`Removal::delete_items`] in the same transaction; when
/// that is durable the zones are reset ([`crate::volume::ZoneManagement::reset`]) and the chunk leaves the map.
pub struct Removal {
    groups: Arc<BlockGroups>,
    allocator: Arc<Allocator>,
    writeout: Arc<Writeout>,
    group: Arc<Group>,
    /// What is undone when the group is opened again. `None`: it is gone.
    leaving: Option<Command>,
}

impl Removal {
    /// An empty group that is worth removing, never the last of its class; it is closed from now on.
    pub(in crate::space) fn next(
        groups: &Arc<BlockGroups>,
        reader: &Reader,
        allocator: &Arc<Allocator>,
        writeout: &Arc<Writeout>,
    ) -> Result<Option<Removal>> {
        let closed = close_unused(groups, reader)?;
        Ok(closed.map(|(group, leaving)| Removal {
            groups: groups.clone(),
            allocator: allocator.clone(),
            writeout: writeout.clone(),
            group,
            leaving: Some(leaving),
        }))
    }

    /// The group's, and the chunk's, address.
    pub fn start(&self) -> Logical {
        self.group.start()
    }

    /// The chunk that is removed.
    pub fn chunk(&self) -> &Arc<Chunk> {
        self.group.chunk()
    }

    /// Deletes the group's items: the group is gone. No tree block lock is held. After an error the transaction must
    /// be aborted.
    pub fn delete_items(mut self, txn: &dyn Allocate) -> Result {
        self.groups.remove(&self.group)?;
        // Its zones take no command: who finds it still must not finish those of another.
        self.leaving = None;
        self.allocator.forget_log(self.group.start());
        self.writeout.remove(txn, &self.group)?;
        self.groups.growth().refresh();
        Ok(())
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        let Some(leaving) = self.leaving.take() else {
            return;
        };
        let mut body = self.group.lock();
        body.activity.undo(leaving);
        // What stays closed is not allocated from until the next mount.
        let _ = self.group.open(&mut body);
    }
}

/// Closes a group that is empty and that its class can spare. That its item says so is not enough: where it is free is
/// read, and what cannot be read stays.
fn close_unused(groups: &BlockGroups, reader: &Reader) -> Result<Option<(Arc<Group>, Command)>> {
    for class in [Class::Data, Class::Metadata] {
        let is_wanted = class == Class::Data && !groups.may_lose_data_zones();
        if is_wanted || groups.read().count(class) < 2 {
            continue;
        }
        let mut from = Logical::new(0);
        while let Some(group) = groups.next_unused(class, from) {
            from = group.start().saturating_add(Bytes::new(1));
            if !groups.write_order.is_quiet(group.start()) || !spares(reader, &group)? {
                continue;
            }
            reader.read(&group)?;
            if let Some(leaving) = close_if_unused(&group)? {
                return Ok(Some((group, leaving)));
            }
        }
    }
    Ok(None)
}

/// Whether nothing is in a group, as far as its bytes are counted, and its class can spare it. Where others that are not read
/// make up for it, these are.
fn spares(reader: &Reader, group: &Group) -> Result<bool> {
    let _asking = reader.asking();
    loop {
        match spare(group) {
            Spare::Yes => return Ok(true),
            Spare::OnceRead if reader.read_next(group.class())? == NextGroup::Read => {}
            Spare::OnceRead | Spare::No => return Ok(false),
        }
    }
}

/// Whether the group is empty and its class can spare it.
fn spare(group: &Group) -> Spare {
    let body = group.lock();
    match body.is_unused() && body.allocation == Allocation::Open {
        true => {
            let dead = dead_in(&body, group.len());
            let totals = group.space_info().lock();
            totals.can_spare(group.class(), &body.tally, dead)
        }
        false => Spare::No,
    }
}

/// Closes the group if it is empty, all of it is known to be free, and its class can spare it.
/// Nobody is promised anything in between.
fn close_if_unused(group: &Group) -> Result<Option<Command>> {
    let mut body = group.lock();
    let empty = body.is_unused() && is_all_free(&body);
    if !empty || body.allocation == Allocation::Closed {
        return Ok(None);
    }
    let Some(leaving) = body.activity.leave() else {
        return Ok(None);
    };
    let dead = dead_in(&body, group.len());
    let closing = group.close_where(&mut body, |class, tally| class.give_up_spare(tally, dead))?;
    if closing == Closing::Refused {
        body.activity.undo(leaving);
        return Ok(None);
    }
    Ok(Some(leaving))
}

/// Whether it is known that no extent is in the group, and not only counted.
fn is_all_free(body: &Body) -> bool {
    match &body.free_space {
        FreeSpace::Anywhere(ranges) => {
            ranges.free().saturating_add(body.superblocks) == body.tally.total
        }
        FreeSpace::Unread(_) | FreeSpace::GivenUp => false,
        // Only the count tells it there.
        FreeSpace::Append(_) => true,
    }
}
