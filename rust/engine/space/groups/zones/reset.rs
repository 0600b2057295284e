// SPDX-License-Identifier: GPL-2.0
//! Emptying the zones of groups in which nothing is left.

use crate::disk::{Bug, Bytes, Logical};
use crate::space::groups::activity::Command;
use crate::space::groups::block_groups::BlockGroups;
use crate::space::groups::group::{Allocation, Body, Group};
use crate::space::reserve::ByteState;
use crate::space::write_order::Closing;
use crate::space::Class;
use core::cell::OnceCell;
use latch::prelude::*;

impl BlockGroups {
    /// Empties the zones of groups in which nothing is left: they can be written again from their start. `on_reset` is
    /// told of each.
    pub(in crate::space) fn reset_empty(&self, on_reset: &dyn Fn(Logical)) -> Result {
        if !self.volume.rules().reuses_by_reset() {
            return Ok(());
        }
        // Set once it was told that addresses of data come back.
        let counted = OnceCell::new();
        for class in Class::ALL {
            let mut from = Logical::new(0);
            while let Some(group) = self.next_unused(class, from) {
                from = group.start().saturating_add(Bytes::new(1));
                self.reset(&group, on_reset, &counted)?;
            }
        }
        Ok(())
    }

    fn reset(&self, group: &Group, on_reset: &dyn Fn(Logical), counted: &OnceCell<()>) -> Result {
        let start = group.start();
        if !self.write_order.is_quiet(start) || !is_worth_reset(group, &group.lock()) {
            return Ok(());
        }
        // Who waits for zones of file data goes on waiting: these may be active.
        let _giving = match group.class() {
            Class::Data => self.write_order.giving(),
            Class::Metadata | Class::System => None,
        };
        let Some(command) = close_if_worth_reset(group)? else {
            return Ok(());
        };
        let reset = match group.class() {
            Class::Data => {
                // All that this call resets is free since before it began: one count tells of all of it.
                counted.get_or_init(|| self.count_reuse());
                self.volume.zones().reset(group.chunk())
            }
            Class::Metadata | Class::System => self.write_order.reset(start),
        };
        if let Err(error) = reset {
            pr_warn!("block group {start}: zones cannot be reset: {error:?}\n");
            // Some of them may be empty now, or all: where the next write may go is not known. Nothing is allocated until
            // they were reset after all, which is tried again behind the next commit.
            let mut body = group.lock();
            body.activity.undo(command);
            group.give_up_rest(&mut body)?;
            return group.open(&mut body);
        }
        let mut body = group.lock();
        let Some(zones) = body.appending() else {
            let bug = Bug::new("zones of a group were reset that has none");
            return Err(bug.of(start.get()).report());
        };
        let consumed = zones.offset.before();
        zones.restart();
        body.under_way = Bytes::ZERO;
        body.unwritten = Bytes::ZERO;
        body.activity.end(command);
        body.tried = None;
        body.resets = body.resets.saturating_add(1);
        group.shift(
            &mut body,
            consumed,
            ByteState::Unusable,
            ByteState::ReadOnly,
        )?;
        group.open(&mut body)?;
        on_reset(start);
        Ok(())
    }
}

/// Whether nothing is in a group, and it should be reset now.
fn is_worth_reset(group: &Group, body: &Body) -> bool {
    match body.gain_of_reset() {
        Gain::Nothing => false,
        Gain::Little => group.space_info().is_pressed(),
        Gain::Half => true,
    }
}

/// Stops allocation from a group that holds nothing, and little of which is left to allocate, so that its zones can be reset. Where
/// that was promised it goes on, until others have taken it or it is promised no more: the next transaction is open already.
fn close_if_worth_reset(group: &Group) -> Result<Option<Command>> {
    let mut body = group.lock();
    if !is_worth_reset(group, &body) {
        return Ok(None);
    }
    let Some(command) = body.activity.command() else {
        return Ok(None);
    };
    let closing = group.close_where(&mut body, |class, tally| Ok(class.lend(tally.free())))?;
    if closing == Closing::Refused {
        body.activity.undo(command);
        return Ok(None);
    }
    Ok(Some(command))
}

/// What a group has to gain if its zones are reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gain {
    /// Something is in the group, or it is at its start.
    Nothing,
    /// Less than half of it.
    Little,
    /// Half of it or more.
    Half,
}

impl Body {
    fn gain_of_reset(&self) -> Gain {
        if !self.is_unused() || self.allocation != Allocation::Open {
            return Gain::Nothing;
        }
        let Some(appending) = self.as_appending() else {
            return Gain::Nothing;
        };
        match appending.offset.before() {
            Bytes::ZERO => Gain::Nothing,
            consumed if consumed < appending.capacity.divided_by(2) => Gain::Little,
            _ => Gain::Half,
        }
    }
}
