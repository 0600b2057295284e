// SPDX-License-Identifier: GPL-2.0
//! A model of a zoned device, and of who allocates on it.

use crate::btree::WriteMode;
use crate::disk::{Bytes, Logical};
use crate::space::reserve::Reserve;
use crate::space::write_order::{
    Admission, Closing, DataGroup, Ending, InFlight, NewGroup, OrderedGroup, Share, WriteOrder,
    Zones,
};
use crate::space::Class;
use crate::volume::Activation;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::vec;

pub(super) const NODE: u64 = 16384;
pub(super) const ZONE: u64 = 64 * NODE;

/// A zone as the device sees it.
#[derive(Default)]
pub(super) struct Zone {
    pointer: u64,
    active: bool,
    full: bool,
    /// Written, and reported or not yet.
    under_way: usize,
}

/// A device that refuses what a zoned device refuses, by failing the test.
pub(super) struct Device {
    zones: Mutex<BTreeMap<u64, Zone>>,
    budget: usize,
    /// How much of the budget is for commits alone.
    reserved: AtomicUsize,
    pub(super) share: Mutex<Share>,
    /// Whether zones are reset when they are told to.
    pub(super) resets: AtomicBool,
    /// The zone that cannot be finished.
    pub(super) worn: AtomicU64,
}

impl Device {
    pub(super) fn new(budget: usize) -> Arc<Self> {
        Arc::new(
            Self {
                zones: Mutex::default(),
                budget,
                reserved: AtomicUsize::new(0),
                share: Mutex::new(Share::Held),
                resets: AtomicBool::new(true),
                worn: AtomicU64::new(u64::MAX),
            },
            GFP_KERNEL,
        )
        .unwrap()
    }

    pub(super) fn reserve(&self, zones: usize) {
        self.reserved.store(zones, Ordering::Relaxed);
    }

    fn left(&self, zones: &BTreeMap<u64, Zone>) -> usize {
        let holds = |zone: &&Zone| zone.active || zone.full && zone.under_way > 0;
        self.budget - zones.values().filter(holds).count()
    }

    pub(super) fn write(&self, addr: u64) {
        let mut zones = self.zones.lock().unwrap();
        let start = addr / ZONE * ZONE;
        let zone = zones.get_mut(&start).expect("a write to no zone");
        assert!(
            zone.active && !zone.full,
            "a write to a zone that is not active"
        );
        assert_eq!(
            start + zone.pointer,
            addr,
            "a write that is not at the write pointer"
        );
        zone.pointer += NODE;
        zone.under_way += 1;
        if zone.pointer == ZONE {
            (zone.full, zone.active) = (true, false);
        }
        let active = zones.values().filter(|zone| zone.active).count();
        assert!(active <= self.budget, "too many active zones");
    }

    pub(super) fn complete(&self, addr: u64) {
        self.zones
            .lock()
            .unwrap()
            .get_mut(&(addr / ZONE * ZONE))
            .unwrap()
            .under_way -= 1;
    }
}

impl Zones for Device {
    fn activate(&self, group: Logical) -> Result<Activation> {
        let mut zones = self.zones.lock().unwrap();
        if self.left(&zones) == 0 {
            return Ok(Activation::NoBudget);
        }
        let zone = zones.entry(group.get()).or_default();
        assert_eq!(zone.pointer, 0);
        zone.active = true;
        Ok(Activation::Active)
    }

    fn share(&self, _: Logical) -> Share {
        *self.share.lock().unwrap()
    }

    fn has_spare(&self, _: Logical) -> bool {
        self.left(&self.zones.lock().unwrap()) > self.reserved.load(Ordering::Relaxed)
    }

    fn finish(&self, group: Logical) -> Result {
        if self.worn.load(Ordering::Relaxed) == group.get() {
            return Err(EIO);
        }
        let mut zones = self.zones.lock().unwrap();
        let zone = zones.get_mut(&group.get()).unwrap();
        assert_eq!(zone.under_way, 0, "a zone finished under a write");
        (zone.full, zone.active) = (true, false);
        Ok(())
    }

    fn filled(&self, group: Logical) {
        let zones = self.zones.lock().unwrap();
        assert!(zones[&group.get()].full && zones[&group.get()].under_way == 0);
    }

    fn reset(&self, group: Logical) -> Result {
        if !self.resets.load(Ordering::Relaxed) {
            return Err(EIO);
        }
        let mut zones = self.zones.lock().unwrap();
        let zone = zones.get_mut(&group.get()).unwrap();
        assert_eq!(zone.under_way, 0, "a zone reset under a write");
        *zone = Zone::default();
        Ok(())
    }
}

/// The allocator of one group.
pub(super) struct Allocator {
    pub(super) start: u64,
    pub(super) end: AtomicU64,
    lock: Mutex<()>,
    abandoned: Mutex<BTreeSet<u64>>,
    /// Whether what it has left is of what is kept back.
    pub(super) is_kept_back: AtomicBool,
}

impl Allocator {
    pub(super) fn new(start: u64) -> Arc<Self> {
        Arc::new(
            Self {
                start,
                end: AtomicU64::new(start),
                lock: Mutex::new(()),
                abandoned: Mutex::default(),
                is_kept_back: AtomicBool::new(false),
            },
            GFP_KERNEL,
        )
        .unwrap()
    }

    pub(super) fn allocate(&self) -> Option<u64> {
        let _lock = self.lock.lock().unwrap();
        let addr = self.end.load(Ordering::Relaxed);
        if addr >= self.start + ZONE {
            return None;
        }
        self.end.store(addr + NODE, Ordering::Relaxed);
        Some(addr)
    }

    /// Takes an address for nothing.
    pub(super) fn abandon(&self) {
        if let Some(addr) = self.allocate() {
            self.abandoned.lock().unwrap().insert(addr);
        }
    }
}

impl OrderedGroup for Allocator {
    fn blocks_end(&self) -> Logical {
        let abandoned = self.abandoned.lock().unwrap();
        let mut end = self.end.load(Ordering::Relaxed);
        while end > self.start && abandoned.contains(&(end - NODE)) {
            end -= NODE;
        }
        Logical::new(end)
    }

    fn is_abandoned(&self, addr: Logical) -> bool {
        self.abandoned.lock().unwrap().contains(&addr.get())
    }

    fn give_up_at(&self, pointer: Logical, reserve: Reserve) -> Result<Closing> {
        let _lock = self.lock.lock().unwrap();
        let is_kept = reserve == Reserve::Kept && self.is_kept_back.load(Ordering::Relaxed);
        if self.blocks_end() > pointer || is_kept {
            return Ok(Closing::Refused);
        }
        self.end.store(self.start + ZONE, Ordering::Relaxed);
        Ok(Closing::Closed)
    }
}

pub(super) fn add(order: &WriteOrder, group: &Arc<Allocator>, class: Class) {
    let start = Logical::new(group.start);
    order
        .add(NewGroup {
            class,
            start,
            len: Bytes::new(ZONE),
            capacity: Bytes::new(ZONE),
            ending: Ending::Full,
            written_to: start,
            active: false,
            group: group.clone(),
        })
        .unwrap();
}

/// A data group with an active zone of the device: what is left in it, how many writes are under way, and how much of
/// it was promised.
pub(super) struct Data {
    left: u64,
    pub(super) under_way: AtomicUsize,
    pub(super) is_promised: AtomicBool,
    is_active: AtomicBool,
}

impl Data {
    /// Takes one of the device's zones.
    pub(super) fn add(order: &WriteOrder, device: &Device, start: u64, left: u64) -> Arc<Self> {
        let this = Self {
            left,
            under_way: AtomicUsize::new(0),
            is_promised: AtomicBool::new(false),
            is_active: AtomicBool::new(true),
        };
        let this = Arc::new(this, GFP_KERNEL).unwrap();
        let start = Logical::new(start);
        assert_eq!(device.activate(start), Ok(Activation::Active));
        order.add_data(start, this.clone()).unwrap();
        this
    }

    pub(super) fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Relaxed)
    }
}

impl DataGroup for Data {
    fn spare(&self) -> Option<Bytes> {
        let is_idle = self.is_active() && self.under_way.load(Ordering::Relaxed) == 0;
        (is_idle && !self.is_promised.load(Ordering::Relaxed)).then_some(Bytes::new(self.left))
    }

    fn is_busy(&self) -> bool {
        self.is_active() && self.under_way.load(Ordering::Relaxed) > 0
    }

    fn give_up(&self, finish: &mut dyn FnMut()) -> Result<Closing> {
        if self.spare().is_none() {
            return Ok(Closing::Refused);
        }
        self.is_active.store(false, Ordering::Relaxed);
        finish();
        Ok(Closing::Closed)
    }
}

pub(super) fn setup(
    budget: usize,
    zones: u64,
) -> (Arc<Device>, WriteOrder, vec::Vec<Arc<Allocator>>) {
    let device = Device::new(budget);
    let order = WriteOrder::sequential(device.clone()).unwrap();
    let groups: vec::Vec<_> = (0..zones).map(|zone| Allocator::new(zone * ZONE)).collect();
    groups
        .iter()
        .for_each(|group| add(&order, group, Class::Metadata));
    (device, order, groups)
}

pub(super) fn admit(order: &WriteOrder, addr: u64, mode: WriteMode) -> Result<&'static str> {
    let mut guard = order.take_turn();
    let admission = guard.admit(Logical::new(addr), Bytes::new(NODE), mode)?;
    Ok(match admission {
        Admission::Write(_) => "write",
        Admission::Fill { .. } => "fill",
        Admission::Skip => "skip",
        Admission::Hole => "hole",
        Admission::Drain { .. } => "drain",
        Admission::AwaitData(_) => "data",
    })
}

/// Sends a block that must be admitted.
pub(super) fn send(order: &WriteOrder, device: &Device, addr: u64) -> InFlight {
    let mut guard = order.take_turn();
    match guard
        .admit(Logical::new(addr), Bytes::new(NODE), WriteMode::Commit)
        .unwrap()
    {
        Admission::Write(token) => {
            let in_flight = token.submitting();
            device.write(addr);
            in_flight
        }
        _ => panic!("{addr} was not admitted"),
    }
}
