// SPDX-License-Identifier: GPL-2.0
//! Many threads write through the write order.

use super::model::*;
use crate::btree::WriteMode;
use crate::disk::{Bytes, Logical};
use crate::space::write_order::{Admission, InFlight, WriteOrder};
use core::sync::atomic::{AtomicUsize, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use random::Random;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex};
use std::vec;

/// What threads that write metadata share.
struct Load {
    device: Arc<Device>,
    order: WriteOrder,
    groups: vec::Vec<Arc<Allocator>>,
    /// The blocks that are dirty.
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

    /// Writes as a store does: the active zones first, then all, ascending.
    fn write(&self, mode: WriteMode) -> Result {
        let mut guard = self.order.take_turn();
        let mut from = None;
        while let Some((start, len)) = guard.active_after(from) {
            guard = self.write_range(guard, start.get(), len.get(), mode)?;
            from = Some(start);
        }
        drop(self.write_range(guard, 0, u64::MAX, mode)?);
        Ok(())
    }

    fn write_range<'g>(
        &'g self,
        mut guard: crate::space::WriteTurn<'g>,
        start: u64,
        len: u64,
        mode: WriteMode,
    ) -> Result<crate::space::WriteTurn<'g>> {
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
            match guard.admit(Logical::new(addr), Bytes::new(NODE), mode)? {
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
                Admission::AwaitData(_) => panic!("there is no data"),
                Admission::Drain { start, len } => {
                    drop(guard);
                    self.wait(start.get(), len.get());
                    guard = self.order.take_turn();
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

impl Load {
    /// Dirties blocks and writes some.
    fn work(&self, mut random: Random) {
        for _ in 0..220 {
            match random.below(12) {
                0..=2 => drop(self.write(WriteMode::Background)),
                3 | 4 => drop(self.write(WriteMode::Integrity)),
                // With others at work it meets holes.
                5 => drop(self.write(WriteMode::Commit)),
                _ => self.dirty_one(&mut random),
            }
        }
    }

    /// Completes writes until nobody writes any more.
    fn complete_all(&self, mut random: Random) {
        while self.stop.load(Ordering::Relaxed) == 0 {
            self.complete(&mut random);
            std::thread::yield_now();
        }
        while !self.under_way.lock().unwrap().is_empty() {
            self.complete(&mut random);
        }
    }
}

/// Many threads dirty, write in all modes and complete in any order. The device fails the test at the first write that
/// is not sequential; a deadlock would hang it. In the end a commit gets everything out.
#[test]
fn threads_keep_the_order() {
    for (seed, budget) in [(1, 1), (2, 2), (3, 3), (4, 8)] {
        let (device, order, groups) = setup(budget, 24);
        let load = Load {
            device,
            order,
            groups,
            dirty: Mutex::default(),
            under_way: Mutex::default(),
            completed: Condvar::new(),
            stop: AtomicUsize::new(0),
        };
        std::thread::scope(|scope| {
            let load = &load;
            let workers: vec::Vec<_> = (0..6u64)
                .map(|worker| scope.spawn(move || load.work(Random::new(seed * 100 + worker))))
                .collect();
            let completer = scope.spawn(move || load.complete_all(Random::new(seed)));
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
            assert!(load.order.is_quiet(Logical::new(group.start)));
        }
        let statistics = load.order.statistics();
        assert!(
            statistics.holes > 0 && statistics.fills > 0 && statistics.activations > 0,
            "{statistics:?}"
        );
    }
}
