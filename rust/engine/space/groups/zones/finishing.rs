// SPDX-License-Identifier: GPL-2.0
//! Finishing the zones of groups of which something is left: nothing is written there any more, and others can be active.

use crate::space::free::policy::FreeSpace;
use crate::space::groups::block_groups::BlockGroups;
use crate::space::groups::group::{Body, Group};
use latch::prelude::*;

/// Whether active zones were given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relief {
    /// The zones of one group were given up.
    Given,
    /// No group held any for nothing.
    None,
}

/// What became of what was left of the zones of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space::groups) enum GivenUp {
    /// The rest is lost until the zones are reset; none is active any more.
    Finished,
    /// The rest is lost, and the device holds the zones active.
    Unfinished,
    /// The rest was promised to somebody, or is written to.
    Refused,
}

/// Gives up what is left of the zones of a group, unless that was promised.
pub(super) fn close_rest(groups: &BlockGroups, group: &Group) -> Result<GivenUp> {
    if is_full(&group.lock()) {
        return Ok(GivenUp::Finished);
    }
    let _giving = groups.write_order.giving();
    let Some(command) = group.begin_giving_up()? else {
        return Ok(GivenUp::Refused);
    };
    let relief = finish_zones(groups, group);
    group.lock().activity.end(command);
    Ok(match relief {
        Relief::Given => GivenUp::Finished,
        Relief::None => GivenUp::Unfinished,
    })
}

/// Finishes the zones of a group to which nothing will be written any more. One whose zones cannot be finished holds them until
/// they are reset: that costs active zones, and nobody's bytes.
pub(super) fn finish_zones(groups: &BlockGroups, group: &Group) -> Relief {
    match groups.volume.zones().finish(group.chunk()) {
        Ok(()) => Relief::Given,
        Err(error) => {
            let start = group.start();
            pr_warn!("block group {start}: zones cannot be finished: {error:?}\n");
            Relief::None
        }
    }
}

/// Whether nothing can be written to the zones of a group any more.
pub(super) fn is_full(body: &Body) -> bool {
    matches!(&body.free_space, FreeSpace::Append(appending) if appending.free().is_zero())
}
