// SPDX-License-Identifier: GPL-2.0
//! The zones of a simulated device and what they refuse.

use engine::disk::{Bytes, Physical};
use engine::volume::device::{Zone, ZoneAction, ZoneCondition, ZoneGeometry, ZoneKind};

/// What the zones of a device are like.
#[derive(Clone, Copy, Debug)]
pub struct ZoneLayout {
    /// Bytes from one zone to the next.
    pub zone_size: u64,
    /// Bytes that a zone can hold.
    pub capacity: u64,
    /// How many zones at the start are conventional.
    pub conventional: u64,
    /// How many zones may be active.
    pub max_active: Option<u32>,
    /// Bytes of a logical block: what a sequential zone takes as a whole or not at all.
    pub block: u64,
}

/// Why a zone refused.
pub type Refusal = &'static str;

/// The state of all zones.
#[derive(Clone)]
pub struct Zones {
    layout: ZoneLayout,
    zones: Vec<Zone>,
}

impl Zones {
    /// Empty zones.
    pub fn new(layout: ZoneLayout, size: u64) -> Self {
        assert!(layout.zone_size.is_power_of_two() && size % layout.zone_size == 0);
        assert!(layout.capacity <= layout.zone_size && layout.capacity % layout.block == 0);
        let zones = (0..size / layout.zone_size)
            .map(|number| Self::empty(&layout, number))
            .collect();
        Self { layout, zones }
    }

    fn empty(layout: &ZoneLayout, number: u64) -> Zone {
        let start = Physical::new(number * layout.zone_size);
        let sequential = number >= layout.conventional;
        Zone {
            start,
            len: Bytes::new(layout.zone_size),
            capacity: if sequential {
                Bytes::new(layout.capacity)
            } else {
                Bytes::new(layout.zone_size)
            },
            write_pointer: start,
            kind: if sequential {
                ZoneKind::Sequential
            } else {
                ZoneKind::Conventional
            },
            condition: ZoneCondition::Empty,
        }
    }

    /// What the device says of its zones.
    pub fn geometry(&self) -> ZoneGeometry {
        ZoneGeometry {
            zone_size: Bytes::new(self.layout.zone_size),
            zones: self.zones.len() as u64,
            max_active: self.layout.max_active,
            max_append: Bytes::new(1 << 20),
        }
    }

    /// Bytes of a logical block.
    pub fn block(&self) -> u64 {
        self.layout.block
    }

    /// All zones in order.
    pub fn all(&self) -> &[Zone] {
        &self.zones
    }

    /// How many zones hold an active resource.
    pub fn active(&self) -> u32 {
        self.zones
            .iter()
            .filter(|zone| zone.condition == ZoneCondition::Active)
            .count() as u32
    }

    /// The zone that holds an address.
    pub fn at(&self, at: u64) -> &Zone {
        &self.zones[(at / self.layout.zone_size) as usize]
    }

    fn at_mut(&mut self, at: u64) -> &mut Zone {
        &mut self.zones[(at / self.layout.zone_size) as usize]
    }

    /// Sets a zone as if `written` bytes had been written in order.
    pub fn preset(&mut self, start: u64, written: u64) {
        let zone = self.at_mut(start);
        zone.write_pointer = Physical::new(zone.start.get() + written);
        zone.condition = match written {
            0 => ZoneCondition::Empty,
            _ if written >= zone.capacity.get() => ZoneCondition::Full,
            _ => ZoneCondition::Active,
        };
    }

    /// Makes a zone that is not full smaller than the others.
    pub fn shrink(&mut self, start: u64, capacity: u64) {
        assert!(capacity % self.layout.block == 0);
        self.at_mut(start).capacity = Bytes::new(capacity);
    }

    /// From now on as many zones may be active as are.
    pub fn limit_to_active(&mut self) -> u32 {
        let active = self.active();
        self.layout.max_active = Some(active);
        active
    }

    /// Breaks a zone: it takes no writes any more.
    pub fn break_zone(&mut self, start: u64) {
        self.at_mut(start).condition = ZoneCondition::Unusable;
    }

    fn activate(&mut self, at: u64) -> Result<(), Refusal> {
        if self.at(at).condition == ZoneCondition::Empty {
            if self
                .layout
                .max_active
                .is_some_and(|max| self.active() >= max)
            {
                return Err("too many active zones");
            }
            self.at_mut(at).condition = ZoneCondition::Active;
        }
        Ok(())
    }

    /// Accounts for a write, or refuses it.
    pub fn write(&mut self, at: u64, len: u64) -> Result<(), Refusal> {
        let zone = *self.at(at);
        if at + len > zone.start.get() + zone.len.get() {
            return Err("write across zones");
        }
        match (zone.kind, zone.condition) {
            (_, ZoneCondition::Unusable) => return Err("write to a broken zone"),
            (ZoneKind::Conventional, _) => return Ok(()),
            (_, ZoneCondition::Full) => return Err("write to a full zone"),
            _ => {}
        }
        if len % self.layout.block != 0 {
            return Err("write of a part of a block");
        }
        if at != zone.write_pointer.get() {
            return Err("write not at the write pointer");
        }
        if at + len > zone.start.get() + zone.capacity.get() {
            return Err("write beyond the zone's capacity");
        }
        self.activate(at)?;
        let zone = self.at_mut(at);
        zone.write_pointer = Physical::new(at + len);
        if at + len == zone.start.get() + zone.capacity.get() {
            zone.condition = ZoneCondition::Full;
        }
        Ok(())
    }

    /// Changes a zone's state, or refuses.
    pub fn manage(&mut self, start: u64, action: ZoneAction) -> Result<(), Refusal> {
        let zone = *self.at(start);
        if zone.start.get() != start {
            return Err("zone management away from a zone's start");
        }
        if zone.kind == ZoneKind::Conventional {
            return Err("zone management of a conventional zone");
        }
        if zone.condition == ZoneCondition::Unusable {
            return Err("zone management of a broken zone");
        }
        match action {
            ZoneAction::Open if zone.condition == ZoneCondition::Full => Err("opening a full zone"),
            ZoneAction::Open => self.activate(start),
            ZoneAction::Finish => {
                // A device activates an empty zone in passing.
                self.activate(start)?;
                self.at_mut(start).condition = ZoneCondition::Full;
                Ok(())
            }
            ZoneAction::Reset => {
                let zone = self.at_mut(start);
                zone.condition = ZoneCondition::Empty;
                zone.write_pointer = zone.start;
                Ok(())
            }
        }
    }
}
