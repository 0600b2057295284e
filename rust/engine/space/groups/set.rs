// SPDX-License-Identifier: GPL-2.0
//! The set of block groups, by address and by class.

use super::group::Group;
use crate::disk::{Bytes, Logical};
use crate::map::OrdMap;
use crate::space::reserve::PerClass;
use crate::space::Class;
use kernel::sync::Arc;
use latch::prelude::*;

/// The set of block groups. Lock order: `BlockGroups` > `BlockGroup`.
pub(in crate::space) struct GroupSet {
    all: OrdMap<Logical, Arc<Group>>,
    by_class: PerClass<OrdMap<Logical, Arc<Group>>>,
    /// How much can be in the groups of a class.
    capacity: PerClass<Bytes>,
    /// What all chunks take on their devices.
    device_bytes: Bytes,
}

impl GroupSet {
    pub(in crate::space) fn new() -> Result<Self> {
        Ok(Self {
            all: OrdMap::new(),
            by_class: PerClass::try_new(|_| Ok(OrdMap::new()))?,
            capacity: PerClass::try_new(|_| Ok(Bytes::ZERO))?,
            device_bytes: Bytes::ZERO,
        })
    }

    /// Adds a group. Nothing is changed after an error.
    pub(in crate::space) fn insert(&mut self, group: Arc<Group>) -> Result {
        let start = group.start();
        if self.all.contains_key(&start) {
            return Err(EEXIST);
        }
        self.all.insert(start, group.clone())?;
        let class = self.by_class.get_mut(group.class());
        if let Err(error) = class.insert(start, group.clone()) {
            self.all.remove(&start);
            return Err(error);
        }
        let capacity = self.capacity.get_mut(group.class());
        *capacity = capacity.saturating_add(group.capacity());
        self.device_bytes = self.device_bytes.saturating_add(group.device_bytes());
        Ok(())
    }

    /// Takes a group out.
    pub(in crate::space) fn remove(&mut self, start: Logical) -> Option<Arc<Group>> {
        let group = self.all.remove(&start)?;
        self.by_class.get_mut(group.class()).remove(&start);
        let capacity = self.capacity.get_mut(group.class());
        *capacity = capacity.saturating_sub(group.capacity());
        self.device_bytes = self.device_bytes.saturating_sub(group.device_bytes());
        Some(group)
    }

    /// The group that holds all of `[start, end)`.
    pub(in crate::space) fn holding(&self, start: Logical, end: Logical) -> Option<&Arc<Group>> {
        let (_, group) = self.all.floor(&start)?;
        group.contains(start, end).then_some(group)
    }

    /// The first group that ends behind an address.
    pub(in crate::space) fn reaching_beyond(&self, address: Logical) -> Option<&Arc<Group>> {
        match self.holding(address, address.saturating_add(Bytes::new(1))) {
            Some(group) => Some(group),
            None => self.all.ceiling(&address).map(|(_, group)| group),
        }
    }

    /// How many groups of a class there are.
    pub(in crate::space) fn count(&self, class: Class) -> usize {
        self.by_class.get(class).len()
    }

    /// How much can be in all groups of a class.
    pub(in crate::space) fn capacity(&self, class: Class) -> Bytes {
        *self.capacity.get(class)
    }

    /// Bytes that all chunks take on their devices.
    pub(in crate::space) fn device_bytes(&self) -> Bytes {
        self.device_bytes
    }

    /// The group of a class with the highest address: the newest.
    pub(in crate::space) fn newest(&self, class: Class) -> Option<&Arc<Group>> {
        self.by_class.get(class).last().map(|(_, group)| group)
    }

    /// All groups of a class, ascending.
    pub(in crate::space) fn of(&self, class: Class) -> impl Iterator<Item = &Arc<Group>> {
        self.by_class.get(class).values()
    }

    /// The first group of a class at or behind `from`.
    pub(in crate::space) fn next_of(&self, class: Class, from: Logical) -> Option<&Arc<Group>> {
        self.by_class
            .get(class)
            .ceiling(&from)
            .map(|(_, group)| group)
    }

    /// All groups, ascending.
    pub(in crate::space) fn iter(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.all.values()
    }
}
