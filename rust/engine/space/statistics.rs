// SPDX-License-Identifier: GPL-2.0
//! Space in numbers.

use super::free::policy::FreeSpace;
use super::groups::group::Allocation;
use super::groups::loading::unread::NextGroup;
use super::reserve::{Tally, Totals};
use super::{Class, Space};
use crate::disk::{Bug, Bytes, Flaw, Logical};
use crate::volume::copies_of;
use latch::prelude::*;

/// A class's bytes, in the logical space (C: `struct btrfs_space_info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassStatistics {
    /// Bytes in all block groups.
    pub total: Bytes,
    /// Bytes in extents that have an item.
    pub used: Bytes,
    /// Bytes in extents that have no item yet.
    pub reserved: Bytes,
    /// Bytes freed by a transaction that is not durable.
    pub pinned: Bytes,
    /// Bytes promised and not allocated, with the global reserve.
    pub promised: Bytes,
    /// Bytes in superblock copies and in groups that are closed.
    pub read_only: Bytes,
    /// Bytes on zones that have to be reset first.
    pub unusable: Bytes,
}

/// What statfs and the space ioctls tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The bytes for file data.
    pub data: ClassStatistics,
    /// The bytes for tree blocks.
    pub metadata: ClassStatistics,
    /// The chunk tree.
    pub system: ClassStatistics,
    /// What the global reserve, which is kept back for commits, should hold.
    pub global_size: Bytes,
    /// What the global reserve holds: a part of the metadata's `promised`.
    pub global_held: Bytes,
    /// Bytes in extents of all classes: the superblock's `bytes_used`.
    pub bytes_used: Bytes,
    /// Bytes of all devices.
    pub device_total: Bytes,
    /// Bytes of the devices that hold nothing, every copy counted.
    pub device_free: Bytes,
    /// Bytes of file data that can still be written (`f_bavail`).
    pub available: Bytes,
}

impl From<&Totals> for ClassStatistics {
    fn from(totals: &Totals) -> Self {
        let tally = totals.tally;
        Self {
            total: tally.total,
            used: tally.used,
            reserved: tally.reserved,
            pinned: tally.pinned,
            promised: totals.promised,
            read_only: tally.read_only,
            unusable: tally.unusable,
        }
    }
}

impl Space {
    /// The numbers now, each class at one moment.
    pub fn statistics(&self) -> Statistics {
        let data = *self.groups.info(Class::Data).lock();
        let metadata = *self.groups.info(Class::Metadata).lock();
        let system = *self.groups.info(Class::System).lock();
        let used = [
            (Class::Data, &data),
            (Class::Metadata, &metadata),
            (Class::System, &system),
        ];
        let device_used = used.iter().fold(Bytes::ZERO, |sum, &(class, totals)| {
            let tally = totals.tally;
            let held = tally.total.saturating_sub(tally.free_in_all());
            sum.saturating_add(held.saturating_mul(copies_of(self.groups.growth().profile(class))))
        });
        let device_total = self.groups.volume.superblocks().total_bytes();
        let writable = data
            .tally
            .free_in_all()
            .saturating_add(data.growth.bytes)
            .saturating_sub(data.promised)
            .saturating_sub(data.global.size.saturating_sub(data.global.held));
        Statistics {
            data: (&data).into(),
            metadata: (&metadata).into(),
            system: (&system).into(),
            global_size: metadata.global.size,
            global_held: metadata.global.held,
            bytes_used: used.iter().fold(Bytes::ZERO, |sum, (_, totals)| {
                sum.saturating_add(totals.tally.used)
            }),
            device_total,
            device_free: device_total.saturating_sub(device_used),
            available: writable,
        }
    }

    /// Bytes in extents of all classes: the superblock's `bytes_used`.
    pub fn used(&self) -> Bytes {
        Class::ALL.iter().fold(Bytes::ZERO, |sum, &class| {
            sum.saturating_add(self.groups.info(class).lock().tally.used)
        })
    }

    /// Gives every free range to `each`, ascending within a group, with the group's lock held: it must not come back
    /// here. Reads where all groups are free. For tests.
    pub fn each_free(&self, mut each: impl FnMut(Logical, Bytes)) {
        for class in Class::ALL {
            // What cannot be read is not free.
            while self.read_next(class) == Ok(NextGroup::Read) {}
        }
        let groups = self.groups.read();
        for group in groups.iter() {
            let body = group.lock();
            match &body.free_space {
                _ if body.allocation == Allocation::Closed => {}
                FreeSpace::Anywhere(ranges) => {
                    for (start, end) in ranges.iter() {
                        each(start, end.saturating_since(start));
                    }
                }
                FreeSpace::Append(appending) if appending.free() > Bytes::ZERO => {
                    each(appending.end_of_allocated(), appending.free())
                }
                FreeSpace::Append(_) | FreeSpace::Unread(_) | FreeSpace::GivenUp => {}
            }
        }
    }

    /// Checks, for tests, that the books agree: each class's totals with its groups, each group's tally with its free space.
    pub fn audit(&self) -> Result {
        let groups = self.groups.read();
        for class in Class::ALL {
            let mut sum = Tally::default();
            for group in groups.of(class) {
                let body = group.lock();
                let free = if body.allocation == Allocation::Open {
                    body.free_space.free()
                } else {
                    Bytes::ZERO
                };
                if body.tally.free() != free {
                    let found = body.tally.free();
                    let flaw = Flaw::new(
                        "tally differs from the free ranges",
                        found.get(),
                        free.get(),
                    );
                    return Err(group.broken(flaw));
                }
                sum.add(&body.tally);
            }
            let totals = *self.groups.info(class).lock();
            if sum != totals.tally {
                let bug = Bug::new("totals of a class are not the sum of its groups");
                return Err(bug.of(totals.tally.total.get()).report());
            }
        }
        Ok(())
    }

    /// Bytes promised to reservations that are alive, without the global reserve. Zero when all were dropped.
    pub fn promised(&self, class: Class) -> Bytes {
        let totals = *self.groups.info(class).lock();
        totals.promised.saturating_sub(totals.global.held)
    }
}
