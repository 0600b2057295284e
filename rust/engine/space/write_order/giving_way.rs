// SPDX-License-Identifier: GPL-2.0
//! Whose zones are given back when a block needs some and the device lets no more be active.
//!
//! Metadata has a share of the active zones: what a commit may need. While it holds less than that, data has the rest
//! and gives way; once it holds all of it, another group of metadata does. Either way the one with the least left, which
//! is lost until the zones are reset. A group that the next transaction cannot do without never gives way: what is free
//! in a data group may be promised, and a class of metadata keeps a group that can be written - without one the chunk
//! tree could not even enter a new chunk.

use super::admit::Verdict;
use super::group::{Closing, DataGroup, GroupPhase, Progress};
use super::{Groups, Sequential, Share, WriteOrder};
use crate::disk::{Bytes, Logical};
use crate::space::reserve::Reserve;
use crate::space::Class;
use kernel::sync::Arc;
use latch::prelude::*;

/// In which order groups of tree blocks are asked: by what each has left, and its address.
type Rest = (Bytes, Logical);

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
            |progress: &&Progress| progress.zone_state == GroupPhase::Filled && progress.is_busy();
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
                Class::Metadata | Class::System => {
                    self.metadata_gives_way(state, for_group, Reserve::Kept)?
                }
            };
            match gave {
                GaveWay::Yes => return Ok(None),
                GaveWay::Waits(verdict) => waits = waits.or(Some(verdict)),
                GaveWay::No => {}
            }
        }
        if let Some(waits) = waits {
            return Ok(Some(waits));
        }
        // What is kept back is kept for commits.
        match self.metadata_gives_way(state, for_group, Reserve::DrawnOn)? {
            GaveWay::Yes => Ok(None),
            GaveWay::Waits(verdict) => Ok(Some(verdict)),
            GaveWay::No => Ok(Some(Verdict::Wait)),
        }
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

    /// Finishes the group of tree blocks with the least left of which all was sent, if its class keeps another, and what is left
    /// was promised to nobody.
    fn metadata_gives_way(
        &self,
        state: &mut Groups,
        for_group: Logical,
        reserve: Reserve,
    ) -> Result<GaveWay> {
        let mut asked = None;
        while let Some((rest, progress)) = state.next_to_give_way(for_group, asked) {
            asked = Some(rest);
            if progress.group.give_up_at(progress.pointer.get(), reserve)? == Closing::Refused {
                continue;
            }
            if self.finish(progress).is_ok() {
                self.counters.force();
                return Ok(GaveWay::Yes);
            }
        }
        let busy = state.may_give_way(for_group).find(|it| it.is_busy());
        let waits = busy.map(|it| Verdict::Drain(it.start, it.len));
        Ok(waits.map_or(GaveWay::No, GaveWay::Waits))
    }

    /// Finishes the zones of a group that was closed. After an error, which is logged, it holds them until they are reset.
    fn finish(&self, progress: &mut Progress) -> Result {
        let finished = self.zones.finish(progress.start);
        progress.close();
        match finished {
            Ok(()) => self.counters.finish(),
            Err(error) => {
                let start = progress.start;
                pr_warn!("block group {start}: zones cannot be finished: {error:?}\n");
            }
        }
        finished
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
            |progress: &&Progress| progress.zone_state == GroupPhase::Active && progress.is_quiet();
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
        let pointer = progress.pointer.get();
        let closing = progress.group.give_up_at(pointer, Reserve::Kept)?;
        if closing == Closing::Closed {
            // Nothing is written there any more, whatever becomes of the zones.
            let _ = sequential.finish(progress);
        }
        Ok(closing)
    }
}

impl Groups {
    /// The groups of tree blocks that hold active zones and may do without: all allocated there was sent, and the class of each
    /// keeps another.
    fn may_give_way(&self, for_group: Logical) -> impl Iterator<Item = &Progress> {
        self.groups.iter().filter_map(move |(&start, progress)| {
            let is_kept = start == for_group || !self.has_other(progress, for_group);
            let may = !is_kept && progress.zone_state == GroupPhase::Active && progress.is_sent();
            may.then_some(progress)
        })
    }

    /// The group of tree blocks to ask behind `asked`: the one with the least left comes first.
    fn next_to_give_way(
        &mut self,
        for_group: Logical,
        asked: Option<Rest>,
    ) -> Option<(Rest, &mut Progress)> {
        let quiet = self.may_give_way(for_group).filter(|it| !it.is_busy());
        let rests = quiet.map(|it| (it.left(), it.start));
        let next = rests
            .filter(|&rest| asked.is_none_or(|asked| rest > asked))
            .min()?;
        Some((next, self.groups.get_mut(&next.1)?))
    }

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
                || (progress.zone_state == GroupPhase::Active && progress.left() > Bytes::ZERO);
            progress.start != group.start && progress.class == group.class && can_be_written
        })
    }
}
