// SPDX-License-Identifier: GPL-2.0
//! The set of block groups, by address and by class.

use super::group::Group;
use crate::map::OrdMap;
use crate::space::reserve::PerClass;
use crate::space::Class;
use kernel::sync::Arc;
use latch::prelude::*;

/// The set of block groups. Under a lock that is taken before any group's.
pub(in crate::space) struct GroupSet {
    all: OrdMap<u64, Arc<Group>>,
    by_class: PerClass<OrdMap<u64, Arc<Group>>>,
}

impl GroupSet {
    pub(in crate::space) fn new() -> Result<Self> {
        Ok(Self {
            all: OrdMap::new(),
            by_class: PerClass::try_new(|_| Ok(OrdMap::new()))?,
        })
    }

    /// Adds a group. Nothing is changed after an error.
    pub(in crate::space) fn insert(&mut self, group: Arc<Group>) -> Result {
        let start = group.start().get();
        if self.all.contains_key(&start) {
            return Err(EEXIST);
        }
        self.all.insert(start, group.clone())?;
        let class = self.by_class.get_mut(group.class());
        if let Err(error) = class.insert(start, group) {
            self.all.remove(&start);
            return Err(error);
        }
        Ok(())
    }

    /// Takes a group out.
    pub(in crate::space) fn remove(&mut self, start: u64) -> Option<Arc<Group>> {
        let group = self.all.remove(&start)?;
        self.by_class.get_mut(group.class()).remove(&start);
        Some(group)
    }

    /// The group that holds all of `[start, end)`.
    pub(in crate::space) fn holding(&self, start: u64, end: u64) -> Option<&Arc<Group>> {
        let (_, group) = self.all.floor(&start)?;
        group.contains(start, end).then_some(group)
    }

    /// How many groups of a class there are.
    pub(in crate::space) fn count(&self, class: Class) -> usize {
        self.by_class.get(class).len()
    }

    /// All groups of a class, ascending.
    pub(in crate::space) fn of(&self, class: Class) -> impl Iterator<Item = &Arc<Group>> {
        self.by_class.get(class).values()
    }

    /// All groups of a class: first the one that starts at `from` if there is one, then those behind it, then the rest.
    pub(in crate::space) fn around(
        &self,
        class: Class,
        from: u64,
    ) -> impl Iterator<Item = &Arc<Group>> {
        let groups = self.by_class.get(class);
        let behind = groups.range_from(&from).map(|(_, group)| group);
        let before = groups
            .iter()
            .take_while(move |(&start, _)| start < from)
            .map(|(_, group)| group);
        Iterator::chain(behind, before)
    }

    /// The first group of a class at or behind `from` whose zones are worth a reset.
    pub(in crate::space) fn empty_appending(&self, class: Class, from: u64) -> Option<Arc<Group>> {
        let mut groups = self
            .by_class
            .get(class)
            .range_from(&from)
            .map(|(_, group)| group);
        groups
            .find(|group| group.lock().is_worth_reset(group.space_info().is_pressed()))
            .cloned()
    }

    /// All groups, ascending.
    pub(in crate::space) fn iter(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.all.values()
    }
}
