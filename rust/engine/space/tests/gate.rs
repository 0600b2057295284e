// SPDX-License-Identifier: GPL-2.0
//! The gate over a model of a zoned device, with many threads.

use super::Random;
use crate::btree::WriteMode;
use crate::disk::Logical;
use crate::space::gate::{Admission, Ending, GateGroup, InFlight, MetadataGate, NewGroup, Zones};
use crate::volume::Activation;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex};
use std::vec;

const NODE: u64 = 16384;
const ZONE: u64 = 64 * NODE;

/// A zone as the device sees it.
#[derive(Default)]
struct Zone {
    pointer: u64,
    active: bool,
    full: bool,
    /// Written, and reported or not yet.
    under_way: usize,
}

/// A device that refuses what a zoned device refuses, by failing the test.
struct Device {
    zones: Mutex<BTreeMap<u64, Zone>>,
    budget: usize,
}

impl Device {
    fn new(budget: usize) -> Arc<Self> {
        Arc::new(
            Self {
                zones: Mutex::default(),
                budget,
            },
            GFP_KERNEL,
        )
        .unwrap()
    }

    fn write(&self, addr: u64) {
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

    fn complete(&self, addr: u64) {
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
        let active = zones
            .values()
            .filter(|zone| zone.active || zone.full && zone.under_way > 0)
            .count();
        if active >= self.budget {
            return Ok(Activation::NoBudget);
        }
        let zone = zones.entry(group.get()).or_default();
        assert_eq!(zone.pointer, 0);
        zone.active = true;
        Ok(Activation::Active)
    }

    fn finish(&self, group: Logical) -> Result {
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
        let mut zones = self.zones.lock().unwrap();
        let zone = zones.get_mut(&group.get()).unwrap();
        assert_eq!(zone.under_way, 0, "a zone reset under a write");
        *zone = Zone::default();
        Ok(())
    }
}

/// The allocator of one group.
struct Allocator {
    start: u64,
    end: AtomicU64,
    lock: Mutex<()>,
    abandoned: Mutex<BTreeSet<u64>>,
}

impl Allocator {
    fn new(start: u64) -> Arc<Self> {
        Arc::new(
            Self {
                start,
                end: AtomicU64::new(start),
                lock: Mutex::new(()),
                abandoned: Mutex::default(),
            },
            GFP_KERNEL,
        )
        .unwrap()
    }

    fn allocate(&self) -> Option<u64> {
        let _lock = self.lock.lock().unwrap();
        let addr = self.end.load(Ordering::Relaxed);
        if addr >= self.start + ZONE {
            return None;
        }
        self.end.store(addr + NODE, Ordering::Relaxed);
        Some(addr)
    }

    /// Takes an address for nothing.
    fn abandon(&self) {
        if let Some(addr) = self.allocate() {
            self.abandoned.lock().unwrap().insert(addr);
        }
    }
}

impl GateGroup for Allocator {
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

    fn close_at(&self, pointer: Logical) -> Result<bool> {
        let _lock = self.lock.lock().unwrap();
        if self.blocks_end() > pointer {
            return Ok(false);
        }
        self.end.store(self.start + ZONE, Ordering::Relaxed);
        Ok(true)
    }
}

fn add(gate: &MetadataGate, group: &Arc<Allocator>) {
    let start = Logical::new(group.start);
    gate.add(NewGroup {
        start,
        len: ZONE,
        capacity: ZONE,
        ending: Ending::Full,
        written_to: start,
        active: false,
        group: group.clone(),
    })
    .unwrap();
}

fn setup(budget: usize, zones: u64) -> (Arc<Device>, MetadataGate, vec::Vec<Arc<Allocator>>) {
    let device = Device::new(budget);
    let gate = MetadataGate::serial(device.clone()).unwrap();
    let groups: vec::Vec<_> = (0..zones).map(|zone| Allocator::new(zone * ZONE)).collect();
    groups.iter().for_each(|group| add(&gate, group));
    (device, gate, groups)
}

fn admit(gate: &MetadataGate, addr: u64, mode: WriteMode) -> Result<&'static str> {
    let mut guard = gate.enter();
    let admission = guard.admit(Logical::new(addr), NODE, mode)?;
    Ok(match admission {
        Admission::Write(_) => "write",
        Admission::Fill { .. } => "fill",
        Admission::Skip => "skip",
        Admission::Hole => "hole",
        Admission::Drain { .. } => "drain",
    })
}

/// Sends a block that must be admitted.
fn send(gate: &MetadataGate, device: &Device, addr: u64) -> InFlight {
    let mut guard = gate.enter();
    match guard
        .admit(Logical::new(addr), NODE, WriteMode::Background)
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

#[test]
fn without_zones_everything_passes() {
    let gate = MetadataGate::open();
    for addr in [NODE * 7, 0, NODE * 3] {
        assert_eq!(admit(&gate, addr, WriteMode::Integrity), Ok("write"));
    }
    let (_, gate, _) = setup(2, 1);
    assert_eq!(
        admit(&gate, 100 * ZONE, WriteMode::Background),
        Ok("write"),
        "a conventional zone"
    );
}

#[test]
fn a_hole_is_answered_by_mode() {
    let (device, gate, groups) = setup(2, 1);
    let addrs: vec::Vec<_> = (0..3).map(|_| groups[0].allocate().unwrap()).collect();
    assert_eq!(admit(&gate, addrs[1], WriteMode::Background), Ok("skip"));
    assert_eq!(admit(&gate, addrs[1], WriteMode::Integrity), Ok("hole"));
    let first = send(&gate, &device, addrs[0]);
    assert_eq!(
        admit(&gate, addrs[0], WriteMode::Background),
        Ok("skip"),
        "it was sent"
    );
    drop(send(&gate, &device, addrs[1]));
    drop(first);
    let statistics = gate.statistics();
    assert_eq!(
        (statistics.holes, statistics.again, statistics.activations),
        (2, 1, 1)
    );
}

/// C1 d: a block that was admitted and not submitted leaves the pointer where it is.
#[test]
fn the_pointer_moves_at_submission_only() {
    let (device, gate, groups) = setup(2, 1);
    let addr = groups[0].allocate().unwrap();
    assert_eq!(admit(&gate, addr, WriteMode::Background), Ok("write"));
    assert_eq!(admit(&gate, addr, WriteMode::Background), Ok("write"));
    drop(send(&gate, &device, addr));
    assert_eq!(admit(&gate, addr, WriteMode::Background), Ok("skip"));
}

/// An address that got no block is filled before what lies behind it goes out, and keeps nobody waiting at the end.
#[test]
fn an_address_without_a_block_is_no_hole() {
    let (device, gate, groups) = setup(1, 2);
    let fill = |addr: u64| {
        let mut guard = gate.enter();
        match guard
            .admit(Logical::new(addr), NODE, WriteMode::Commit)
            .unwrap()
        {
            Admission::Fill { at, token } => {
                let in_flight = token.submitting();
                device.write(at.get());
                device.complete(at.get());
                drop(in_flight);
            }
            _ => panic!("{addr} asks for no zeros"),
        }
    };
    groups[0].abandon();
    groups[0].abandon();
    let missing = groups[0].allocate().unwrap();
    let behind = groups[0].allocate().unwrap();
    assert_eq!(admit(&gate, missing, WriteMode::Background), Ok("fill"));
    fill(behind);
    fill(behind);
    assert_eq!(
        admit(&gate, behind, WriteMode::Commit),
        Ok("hole"),
        "a block that is only late"
    );
    for addr in [missing, behind] {
        drop(send(&gate, &device, addr));
        device.complete(addr);
    }
    groups[0].abandon();
    assert!(gate.is_quiet(Logical::new(0)));
    let next = groups[1].allocate().unwrap();
    drop(send(&gate, &device, next));
    let statistics = gate.statistics();
    assert_eq!((statistics.fills, statistics.forced), (3, 1));
}

/// C1 b: a zone is finished after the last of its writes, never before.
#[test]
fn a_zone_gives_way_after_its_writes() {
    let (device, gate, groups) = setup(1, 2);
    let in_flight = send(&gate, &device, groups[0].allocate().unwrap());
    let next = groups[1].allocate().unwrap();
    assert_eq!(admit(&gate, next, WriteMode::Background), Ok("skip"));
    assert_eq!(admit(&gate, next, WriteMode::Commit), Ok("drain"));
    device.complete(0);
    drop(in_flight);
    drop(send(&gate, &device, next));
    assert_eq!(gate.statistics().forced, 1);
    assert_eq!(groups[0].allocate(), None, "what is finished takes nothing");
}

/// C1: the old zone cannot give way while a block allocated there was not sent.
#[test]
fn an_unsent_block_keeps_its_zone() {
    let (device, gate, groups) = setup(1, 2);
    drop(send(&gate, &device, groups[0].allocate().unwrap()));
    device.complete(0);
    let unsent = groups[0].allocate().unwrap();
    let next = groups[1].allocate().unwrap();
    assert_eq!(admit(&gate, next, WriteMode::Integrity), Ok("hole"));
    assert_eq!(
        gate.enter().active_after(None),
        Some((Logical::new(0), ZONE))
    );
    drop(send(&gate, &device, unsent));
    device.complete(unsent);
    assert_eq!(admit(&gate, next, WriteMode::Integrity), Ok("write"));
}

/// C1 h, l, p: removal and reset wait for all blocks; after a reset the group starts anew.
#[test]
fn removal_and_reset_wait_for_all_blocks() {
    let (device, gate, groups) = setup(1, 1);
    let start = Logical::new(0);
    let first = send(&gate, &device, groups[0].allocate().unwrap());
    assert_eq!(
        (gate.reset(start), gate.remove(start)),
        (Err(EBUSY), Err(EBUSY))
    );
    device.complete(0);
    drop(first);
    let unsent = groups[0].allocate().unwrap();
    assert_eq!(
        (gate.reset(start), gate.remove(start)),
        (Err(EBUSY), Err(EBUSY))
    );
    drop(send(&gate, &device, unsent));
    device.complete(unsent);
    gate.reset(start).unwrap();
    groups[0].end.store(0, Ordering::Relaxed);
    drop(send(&gate, &device, groups[0].allocate().unwrap()));
    device.complete(0);
    gate.remove(start).unwrap();
}

#[test]
fn writes_of_one_group_join() {
    let (device, gate, groups) = setup(2, 2);
    let mut first = send(&gate, &device, groups[0].allocate().unwrap());
    let second = send(&gate, &device, groups[0].allocate().unwrap());
    let other = send(&gate, &device, groups[1].allocate().unwrap());
    assert!(first.join(second).is_ok());
    let other = first.join(other).err().unwrap();
    assert_eq!(gate.remove(Logical::new(0)), Err(EBUSY));
    drop(first);
    gate.remove(Logical::new(0)).unwrap();
    drop(other);
    gate.remove(Logical::new(ZONE)).unwrap();
}

/// What threads that write metadata share.
struct Load {
    device: Arc<Device>,
    gate: MetadataGate,
    groups: vec::Vec<Arc<Allocator>>,
    /// Dirty blocks.
    dirty: Mutex<BTreeSet<u64>>,
    /// Blocks under way, until the completer drops them.
    under_way: Mutex<vec::Vec<(u64, InFlight)>>,
    completed: Condvar,
    stop: AtomicUsize,
}

impl Load {
    /// Allocates a block and makes it dirty, not at the same moment.
    fn dirty_one(&self, random: &mut Random) {
        if random.one_in(16) {
            let group = random.below(self.groups.len() as u64);
            self.groups[group as usize].abandon();
        }
        let Some(addr) = self.groups.iter().find_map(|group| group.allocate()) else {
            return;
        };
        if random.one_in(4) {
            std::thread::yield_now();
        }
        self.dirty.lock().unwrap().insert(addr);
    }

    /// As a store writes: the active zones first, then all, ascending.
    fn write(&self, mode: WriteMode) -> Result {
        let mut guard = self.gate.enter();
        let mut from = None;
        while let Some((start, len)) = guard.active_after(from) {
            guard = self.write_range(guard, start.get(), len, mode)?;
            from = Some(start);
        }
        drop(self.write_range(guard, 0, u64::MAX, mode)?);
        Ok(())
    }

    fn write_range<'g>(
        &'g self,
        mut guard: crate::space::GateGuard<'g>,
        start: u64,
        len: u64,
        mode: WriteMode,
    ) -> Result<crate::space::GateGuard<'g>> {
        let mut at = start;
        loop {
            let next = self
                .dirty
                .lock()
                .unwrap()
                .range(at..start.saturating_add(len))
                .next()
                .copied();
            let Some(addr) = next else { return Ok(guard) };
            match guard.admit(Logical::new(addr), NODE, mode)? {
                Admission::Write(token) => {
                    self.dirty.lock().unwrap().remove(&addr);
                    let in_flight = token.submitting();
                    self.device.write(addr);
                    self.under_way.lock().unwrap().push((addr, in_flight));
                }
                Admission::Fill { at, token } => {
                    let in_flight = token.submitting();
                    self.device.write(at.get());
                    self.under_way.lock().unwrap().push((at.get(), in_flight));
                }
                Admission::Skip => at = addr + 1,
                Admission::Hole => return Err(EAGAIN),
                Admission::Drain { start, len } => {
                    drop(guard);
                    self.wait(start.get(), len);
                    guard = self.gate.enter();
                }
            }
        }
    }

    fn wait(&self, start: u64, len: u64) {
        let mut under_way = self.under_way.lock().unwrap();
        while under_way
            .iter()
            .any(|(addr, _)| (start..start + len).contains(addr))
        {
            under_way = self.completed.wait(under_way).unwrap();
        }
    }

    fn complete(&self, random: &mut Random) {
        let mut under_way = self.under_way.lock().unwrap();
        if !under_way.is_empty() {
            let which = random.below(under_way.len() as u64) as usize;
            let (addr, in_flight) = under_way.swap_remove(which);
            self.device.complete(addr);
            drop(in_flight);
            self.completed.notify_all();
        }
    }
}

/// Many threads dirty, write in all modes and complete in any order. The device fails the test at the first write that
/// is not sequential; a deadlock would hang it. In the end a commit gets everything out.
#[test]
fn threads_keep_the_order() {
    for (seed, budget) in [(1, 1), (2, 2), (3, 3), (4, 8)] {
        let (device, gate, groups) = setup(budget, 24);
        let load = Load {
            device,
            gate,
            groups,
            dirty: Mutex::default(),
            under_way: Mutex::default(),
            completed: Condvar::new(),
            stop: AtomicUsize::new(0),
        };
        std::thread::scope(|scope| {
            let load = &load;
            let workers: vec::Vec<_> = (0..6u64)
                .map(|worker| {
                    scope.spawn(move || {
                        let mut random = Random(seed * 100 + worker);
                        for _ in 0..220 {
                            match random.below(4) {
                                0 => drop(load.write(WriteMode::Background)),
                                1 => drop(load.write(WriteMode::Integrity)),
                                _ => load.dirty_one(&mut random),
                            }
                        }
                    })
                })
                .collect();
            let completer = scope.spawn(move || {
                let mut random = Random(seed);
                while load.stop.load(Ordering::Relaxed) == 0 {
                    load.complete(&mut random);
                    std::thread::yield_now();
                }
                while !load.under_way.lock().unwrap().is_empty() {
                    load.complete(&mut random);
                }
            });
            workers
                .into_iter()
                .for_each(|worker| worker.join().unwrap());
            load.write(WriteMode::Commit).unwrap();
            assert!(
                load.dirty.lock().unwrap().is_empty(),
                "a commit leaves nothing"
            );
            load.stop.store(1, Ordering::Relaxed);
            completer.join().unwrap();
        });
        for group in &load.groups {
            assert!(load.gate.is_quiet(Logical::new(group.start)));
        }
        let statistics = load.gate.statistics();
        assert!(
            statistics.holes > 0 && statistics.fills > 0 && statistics.activations > 0,
            "{statistics:?}"
        );
    }
}
