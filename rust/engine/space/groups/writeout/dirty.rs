// SPDX-License-Identifier: GPL-2.0
//! The groups that the trees are behind of.

use crate::disk::Logical;
use crate::map::OrdMap;
use latch::prelude::*;

/// How far a group's write-out is. A group in none of these is clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The trees lack something.
    Dirty,
    /// Being written; nothing has changed since that began.
    Writing,
    /// Being written, and changed since.
    Redirtied,
}

/// What a group is when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space::groups) enum Ended {
    /// The disk has all.
    Clean,
    /// The group changed meanwhile.
    Dirty,
}

/// The groups that the trees, or the caches, are behind of. The one place that knows a group's [`State`].
pub(in crate::space::groups) struct DirtyGroups {
    groups: OrdMap<Logical, State>,
}

impl DirtyGroups {
    pub(in crate::space::groups) fn new() -> Self {
        Self {
            groups: OrdMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The group that starts at `start` changed.
    pub(in crate::space::groups) fn dirty(&mut self, start: Logical) -> Result {
        match self.groups.get_mut(&start) {
            None => drop(self.groups.insert(start, State::Dirty)?),
            Some(State::Dirty | State::Redirtied) => {}
            Some(state) => *state = State::Redirtied,
        }
        Ok(())
    }

    /// The first dirty group at or behind `from`, which is being written from now on.
    pub(in crate::space::groups) fn begin(&mut self, from: Logical) -> Option<Logical> {
        let dirty = |(&start, &state): (&Logical, &State)| (state == State::Dirty).then_some(start);
        let start = self.groups.range_from(&from).find_map(dirty)?;
        if let Some(state) = self.groups.get_mut(&start) {
            *state = State::Writing;
        }
        Some(start)
    }

    /// The group was written. What it is now.
    pub(in crate::space::groups) fn end(&mut self, start: Logical) -> Ended {
        match self.groups.get_mut(&start) {
            Some(state) if *state == State::Redirtied => {
                *state = State::Dirty;
                Ended::Dirty
            }
            _ => {
                self.groups.remove(&start);
                Ended::Clean
            }
        }
    }

    /// The group could not be written.
    pub(in crate::space::groups) fn fail(&mut self, start: Logical) {
        if let Some(state) = self.groups.get_mut(&start) {
            *state = State::Dirty;
        }
    }

    /// The group is gone.
    pub(in crate::space::groups) fn forget(&mut self, start: Logical) {
        self.groups.remove(&start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that a group and its writer may do, in every order: what changed after its write-out began is written once more, and
    /// the group beside it is nobody's matter.
    #[test]
    fn what_changes_meanwhile_is_written_again() {
        const STEPS: u32 = 5;
        const LEN: u32 = 8;
        let (group, beside) = (Logical::new(1), Logical::new(2));
        for mut history in 0..STEPS.pow(LEN) {
            let mut groups = DirtyGroups::new();
            groups.dirty(beside).unwrap();
            let (mut is_behind, mut is_writing) = (false, false);
            for _ in 0..LEN {
                match history % STEPS {
                    0 => {
                        groups.dirty(group).unwrap();
                        is_behind = true;
                    }
                    1 => {
                        let is_due = is_behind && !is_writing;
                        let found = groups.groups.get(&group).copied();
                        assert_eq!(found == Some(State::Dirty), is_due);
                        if is_due {
                            assert_eq!(groups.begin(Logical::new(0)), Some(group));
                            (is_behind, is_writing) = (false, true);
                        }
                    }
                    2 if is_writing => {
                        let ended = [Ended::Clean, Ended::Dirty][usize::from(is_behind)];
                        assert_eq!(groups.end(group), ended);
                        is_writing = false;
                    }
                    3 if is_writing => {
                        groups.fail(group);
                        (is_behind, is_writing) = (true, false);
                    }
                    4 => {
                        groups.forget(group);
                        (is_behind, is_writing) = (false, false);
                    }
                    _ => {}
                }
                history /= STEPS;
            }
            assert_eq!(groups.groups.get(&group).is_some(), is_behind || is_writing);
            assert_eq!(groups.begin(beside), Some(beside));
        }
    }
}
