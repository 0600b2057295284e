// SPDX-License-Identifier: GPL-2.0
//! Whose zones are given back when a block needs some and the device lets no more be active.
//!
//! Metadata has a share of the active zones: what a commit may need. While it holds less than that, data has the rest
//! and gives way; once it holds all of it, another group of metadata does. Either way the one with the least left, which
//! is lost until the zones are reset. A group that the next transaction cannot do without never gives way: what is free
//! in a data group may be promised, and a class of metadata keeps a group that can be written - without one the chunk
//! tree could not even enter a new chunk.

use super::admit::Verdict;
use super::group::{Closing, DataGroup, Progress, ZoneState};
use super::{Groups, Sequential, Share, WriteOrder};
use crate::disk::{Bytes, Logical};
use crate::space::Class;
use kernel::sync::Arc;
use latch::prelude::*;

/// Whether a group's zones could be given back.
enum GaveWay {
    Yes,
    /// The zones can be finished once this was waited for.
    Waits(Verdict),
    No,
}

impl Sequential {
    /// Makes another group give way to `for_group`. `None`: one did, ask for zones again. Each time leaves fewer groups to
    /// ask.
    pub(super) fn make_way(
        &self,
        state: &mut Groups,
        for_group: Logical,
    ) -> Result<Option<Verdict>> {
        let before = state.filled;
        self.reap(state);
        if state.filled < before {
            return Ok(None);
        }
        let full =
            |progress: &&Progress| progress.zone_state == ZoneState::Filled && progress.is_busy();
        if let Some(full) = state.groups.values().find(full) {
            return Ok(Some(Verdict::Drain(full.start, full.len)));
        }
        let mut waits = None;
        let shares = match self.zones.share(for_group) {
            Share::Owed => [Class::Data, Class::Metadata],
            Share::Held => [Class::Metadata, Class::Data],
        };
        for class in shares {
            let gave = match class {
                Class::Data => self.data_gives_way(state)?,
                Class::Metadata | Class::System => self.metadata_gives_way(state, for_group)?,
            };
            match gave {
                GaveWay::Yes => return Ok(None),
                GaveWay::Waits(verdict) => waits = waits.or(Some(verdict)),
                GaveWay::No => {}
            }
        }
        Ok(Some(waits.unwrap_or(Verdict::Wait)))
    }

    /// Finishes the data group with the least left that nothing is on its way to. One whose zones cannot be finished holds them
    /// until they are reset; it is asked no more, and the next one is.
    fn data_gives_way(&self, state: &Groups) -> Result<GaveWay> {
        // Before the groups are asked: a write that ends in between is not waited for.
        let seen = self.data.ended();
        while let Some((start, group)) = state.least_data() {
            let _giving = self.data.giving();
            let mut finished = Ok(());
            if group.give_up(&mut || finished = self.zones.finish(start))? == Closing::Refused {
                break;
            }
            match finished {
                Ok(()) => {
                    self.counters.force();
                    return Ok(GaveWay::Yes);
                }
                Err(error) => {
                    pr_warn!("block group {start}: zones cannot be finished: {error:?}\n");
                }
            }
        }
        let is_busy = state.data.values().any(|group| group.is_busy());
        Ok(match is_busy {
            true => GaveWay::Waits(Verdict::AwaitData(seen)),
            false => GaveWay::No,
        })
    }

    /// Finishes the group of tree blocks with the least left of which all was sent, if its class keeps another.
    fn metadata_gives_way(&self, state: &mut Groups, for_group: Logical) -> Result<GaveWay> {
        let mut busy = None;
        let mut least: Option<(Bytes, Logical)> = None;
        for (&start, progress) in state.groups.iter() {
            let is_kept = start == for_group || !state.has_other(progress, for_group);
            if is_kept || progress.zone_state != ZoneState::Active || !progress.is_sent() {
                continue;
            }
            if progress.is_busy() {
                busy = Some(Verdict::Drain(progress.start, progress.len));
                continue;
            }
            let left = progress.left();
            if least.is_none_or(|(fewest, _)| left < fewest) {
                least = Some((left, start));
            }
        }
        if let Some(progress) = least.and_then(|(_, start)| state.groups.get_mut(&start)) {
            if progress.group.close_at(progress.pointer.get())? == Closing::Closed {
                self.finish(progress)?;
                self.counters.force();
                return Ok(GaveWay::Yes);
            }
        }
        Ok(busy.map_or(GaveWay::No, GaveWay::Waits))
    }

    /// Finishes the zones of a group that was closed.
    fn finish(&self, progress: &mut Progress) -> Result {
        self.zones.finish(progress.start)?;
        progress.close();
        self.counters.finish();
        Ok(())
    }
}

impl WriteOrder {
    /// Gives up what a group of tree blocks has left, if nothing of it is unsent or under way, its class has another that can be
    /// written, and what is left was promised to nobody.
    pub(in crate::space) fn give_up(&self, start: Logical) -> Result<Closing> {
        let Some(sequential) = &self.sequential else {
            return Ok(Closing::Refused);
        };
        let mut state = sequential.state.lock();
        sequential.reap(&mut state);
        let quiet =
            |progress: &&Progress| progress.zone_state == ZoneState::Active && progress.is_quiet();
        let Some(class) = state.groups.get(&start).filter(quiet).map(|it| it.class) else {
            return Ok(Closing::Refused);
        };
        let is_other =
            |it: &Progress| it.start != start && it.class == class && it.left() > Bytes::ZERO;
        if !state.groups.values().any(is_other) {
            return Ok(Closing::Refused);
        }
        let Some(progress) = state.groups.get_mut(&start) else {
            return Ok(Closing::Refused);
        };
        let closing = progress.group.give_up_at(progress.pointer.get())?;
        if closing == Closing::Closed {
            if let Err(error) = sequential.finish(progress) {
                // Nothing is written there any more: it holds an active zone until it is reset.
                pr_warn!("block group {start}: zones cannot be finished: {error:?}\n");
                progress.close();
            }
        }
        Ok(closing)
    }
}

impl Groups {
    /// The data group with the least left that nothing is on its way to.
    fn least_data(&self) -> Option<(Logical, &Arc<dyn DataGroup>)> {
        let groups = self.data.iter();
        let idle = groups.filter_map(|(&start, group)| Some((group.spare()?, start, group)));
        let (_, start, group) = idle.min_by_key(|(left, ..)| *left)?;
        Some((start, group))
    }

    /// Whether the class of a group has another one that can be written, or will be when `for_group` can.
    fn has_other(&self, group: &Progress, for_group: Logical) -> bool {
        self.groups.iter().any(|(&other, progress)| {
            let can_be_written = other == for_group
                || (progress.zone_state == ZoneState::Active && progress.left() > Bytes::ZERO);
            progress.start != group.start && progress.class == group.class && can_be_written
        })
    }
}
