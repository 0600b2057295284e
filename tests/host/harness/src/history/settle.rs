// SPDX-License-Identifier: GPL-2.0
//! After a step that failed: what state the file system may be in.

use super::model::Model;
use super::op::{Id, Op};
use super::snapshot::Snapshot;

/// The file whose contents a step changes in pieces: when it fails, some of them may be done.
fn changed_in_pieces(op: &Op) -> Option<Id> {
    match op {
        Op::Write { id, .. }
        | Op::Truncate { id, .. }
        | Op::PunchHole { id, .. }
        | Op::Preallocate { id, .. } => Some(*id),
        _ => None,
    }
}

/// Whether a step that fails leaves nothing behind that a look at the files does not show: a file without a name is
/// not seen.
pub fn is_seen(op: &Op, model: &Model) -> bool {
    changed_in_pieces(op).is_none_or(|id| model.path(id).is_some())
}

/// The state in which `found` is after `op` failed: the one before it, the one after it, or one in between where the
/// step goes in pieces. `Err` is what differs.
pub fn settle(found: &Snapshot, before: &Model, after: &Model, op: &Op) -> Result<Model, String> {
    // Nobody sees a file without a name; one that was not made is not there to be used.
    let order = if matches!(op, Op::CreateUnnamed { .. }) {
        [before, after]
    } else {
        [after, before]
    };
    for state in order {
        if state.snapshot() == *found {
            return Ok(state.at_time(after.now()));
        }
    }
    let half_done = changed_in_pieces(op).and_then(|id| {
        // Without a name it cannot be seen.
        let file = found.files.get(&before.path(id)?)?;
        let state = before.with_contents(id, file.contents.clone(), file.mtime);
        (state.snapshot() == *found).then(|| state.at_time(after.now()))
    });
    half_done.ok_or_else(|| {
        let from_before = found.compare(&before.snapshot()).join("\n");
        let from_after = found.compare(&after.snapshot()).join("\n");
        format!("neither before nor after {op:?}\nagainst before:\n{from_before}\nagainst after:\n{from_after}")
    })
}
