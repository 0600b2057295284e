// SPDX-License-Identifier: GPL-2.0
//! A block group's state, from those of its zones.

use crate::disk::{Bytes, Flaw, Site, ZoneOffset};
use crate::volume::device::{Zone, ZoneCondition, ZoneKind};
use crate::volume::{Chunk, GroupZones};
use latch::prelude::*;

/// How far the zones of a group are written, from their starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Uneven {
    /// The stripe that is written the least.
    pub(super) shorter: usize,
    /// How far it is written.
    pub(super) least: Bytes,
    /// The stripe that is written the most.
    pub(super) longer: usize,
    /// How far it is written.
    pub(super) most: Bytes,
}

/// What the zones of a group say together.
pub(super) struct GroupLoad {
    sequential: bool,
    conventional: bool,
    pub(super) active: bool,
    unusable: bool,
    /// The least that a zone can hold.
    capacity: Bytes,
    /// The sequential zone that is written the least, and the one that is the most.
    written: Option<Uneven>,
    stripes: usize,
}

impl Default for GroupLoad {
    fn default() -> Self {
        Self {
            sequential: false,
            conventional: false,
            active: false,
            unusable: false,
            capacity: Bytes::MAX,
            written: None,
            stripes: 0,
        }
    }
}

impl GroupLoad {
    /// Adds the zone of the next stripe.
    pub(super) fn add(&mut self, zone: &Zone) {
        let stripe = self.stripes;
        self.stripes = stripe.saturating_add(1);
        self.capacity = self.capacity.min(zone.capacity);
        self.unusable |= zone.condition == ZoneCondition::Unusable;
        if zone.kind == ZoneKind::Conventional {
            self.conventional = true;
            return;
        }
        self.sequential = true;
        let written = match zone.condition {
            ZoneCondition::Empty => Bytes::ZERO,
            ZoneCondition::Full => zone.capacity,
            ZoneCondition::Unusable => return,
            ZoneCondition::Active => {
                self.active = true;
                zone.write_pointer
                    .checked_since(zone.start)
                    .unwrap_or(Bytes::MAX)
            }
        };
        let known = self.written.get_or_insert(Uneven {
            shorter: stripe,
            least: written,
            longer: stripe,
            most: written,
        });
        if written < known.least {
            (known.shorter, known.least) = (stripe, written);
        }
        if written > known.most {
            (known.longer, known.most) = (stripe, written);
        }
    }

    /// Sequential zones that are written to different points, or not to a multiple of `unit`, and the point to which
    /// they must be written so that they can go on together.
    pub(super) fn uneven(&self, unit: Bytes) -> Option<(Uneven, Bytes)> {
        let written = self
            .written
            .filter(|_| !self.unusable && !self.conventional)?;
        let goal = written.most.checked_round_up(unit)?;
        let goal = goal.min(self.capacity);
        (written.least < goal && written.most <= goal).then_some((written, goal))
    }

    /// What it will be when its zones were evened out to `goal`.
    pub(super) fn expect(&mut self, goal: Bytes) {
        if let Some(written) = &mut self.written {
            (written.least, written.most) = (goal, goal);
        }
        self.active = goal < self.capacity;
    }

    /// The group's state. A group whose zones cannot go on together takes no more allocations: it can be read,
    /// and moving its contents away mends it. One with a zone that takes no writes can be read as long as it is there.
    pub(super) fn state(
        &self,
        chunk: &Chunk,
        last_allocated: &mut dyn FnMut() -> Result<ZoneOffset>,
    ) -> Result<GroupZones> {
        let start = chunk.logical.get();
        let full = GroupZones {
            sequential: self.sequential,
            capacity: self.capacity,
            alloc_offset: ZoneOffset::after(self.capacity),
            active: false,
            unusable: self.unusable,
        };
        if self.unusable {
            pr_warn!(
                "block group {} has a zone that is read-only or offline\n",
                start
            );
            return Ok(full);
        }
        let last = if self.conventional {
            Some(last_allocated()?)
        } else {
            None
        };
        let Some(Uneven { least, most, .. }) = self.written else {
            let alloc_offset = last.unwrap_or_default();
            return Ok(GroupZones {
                alloc_offset,
                active: true,
                ..full
            });
        };
        // On a conventional zone the trees tell how far it is written; the other's pointer may be further, when the
        // last extents were freed.
        let behind = last.is_some_and(|last| last.before() > least);
        if least != most || behind {
            pr_warn!(
                "block group {}: its zones are written to {} and {}\n",
                start,
                least,
                most
            );
            return Ok(full);
        }
        if most > self.capacity {
            let flaw = Flaw::new(
                "zones are written beyond what they hold",
                most.get(),
                self.capacity.get(),
            );
            return Err(flaw.at(Site::BlockGroup(chunk.logical)).report());
        }
        Ok(GroupZones {
            alloc_offset: ZoneOffset::after(most),
            active: self.active,
            ..full
        })
    }
}
