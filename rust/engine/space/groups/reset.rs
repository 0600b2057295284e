// SPDX-License-Identifier: GPL-2.0
//! Emptying the zones of groups in which nothing is left.

use super::block_groups::BlockGroups;
use super::group::{Allocation, Body, Group};
use crate::disk::{Bug, Bytes, Logical};
use crate::space::reserve::ByteState;
use crate::space::write_order::Closing;
use crate::space::Class;
use core::cell::Cell;
use latch::prelude::*;

impl BlockGroups {
    /// Empties the zones of groups in which nothing is left: they can be written again from their start. `on_reset` is
    /// told of each.
    pub(in crate::space) fn reset_empty(&self, on_reset: &dyn Fn(Logical)) -> Result {
        if !self.volume.rules().reuses_by_reset() {
            return Ok(());
        }
        // Whether it was told that addresses of data come back.
        let counted = Cell::new(false);
        for class in Class::ALL {
            let mut from = Logical::new(0);
            while let Some(group) = self.next_unused(class, from) {
                from = group.start().saturating_add(Bytes::new(1));
                self.reset(&group, on_reset, &counted)?;
            }
        }
        Ok(())
    }

    fn reset(&self, group: &Group, on_reset: &dyn Fn(Logical), counted: &Cell<bool>) -> Result {
        let start = group.start();
        if !self.write_order.is_quiet(start)
            || self.close_if_worth_reset(group)? == Closing::Refused
        {
            return Ok(());
        }
        let reset = match group.class() {
            Class::Data => {
                // All that this call resets is free since before it began: one count tells of all of it.
                if !counted.replace(true) {
                    self.count_reuse();
                }
                self.volume.zones().reset(group.chunk())
            }
            Class::Metadata | Class::System => self.write_order.reset(start),
        };
        if let Err(error) = reset {
            pr_warn!("block group {start}: zones cannot be reset: {error:?}\n");
            // Some of them may be empty now, or all: where the next write may go is not known. Nothing is allocated until
            // they were reset after all, which is tried again behind the next commit.
            let mut body = group.lock();
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
        body.active = false;
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

    /// Stops allocation from a group that holds nothing, and little of which is left to allocate. Where that was promised it goes
    /// on, until others have taken it or it is promised no more: the next transaction is open already.
    fn close_if_worth_reset(&self, group: &Group) -> Result<Closing> {
        let mut body = group.lock();
        let short = group.space_info().is_pressed();
        if !body.is_worth_reset(short) {
            return Ok(Closing::Refused);
        }
        group.close_where(&mut body, |class, tally| Ok(class.lend(tally.free())))
    }
}

impl Body {
    /// Whether nothing is in the group, and resetting it gains at least half of it, or anything if space is short.
    pub(in crate::space) fn is_worth_reset(&self, short: bool) -> bool {
        let empty = self.is_unused() && self.allocation == Allocation::Open;
        self.as_appending().is_some_and(|appending| {
            let consumed = appending.offset.before();
            empty
                && consumed > Bytes::ZERO
                && (short || consumed >= appending.capacity.divided_by(2))
        })
    }
}
