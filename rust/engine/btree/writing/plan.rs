// SPDX-License-Identifier: GPL-2.0
//! Where a leaf is parted so that an item finds room.

use crate::disk::edit::{self, leaf};
use crate::disk::{Key, ITEM_HEAD};
use core::ops::Range;
use latch::prelude::*;

/// What a leaf must take more.
#[derive(Clone, Copy)]
pub(super) enum Demand {
    /// A new item at the way's slot, with `len` bytes of data.
    Item { key: Key, len: usize },
    /// More data in the item at the way's slot.
    Growth { by: usize },
}

/// A leaf as it will be when the demand is met: its items, and their weights summed up from the left.
pub(super) struct Plan<'a> {
    bytes: &'a [u8],
    slot: usize,
    demand: Demand,
    pub(in crate::btree) count: usize,
    pub(super) capacity: usize,
}

impl<'a> Plan<'a> {
    pub(in crate::btree) fn new(bytes: &'a [u8], slot: usize, demand: Demand) -> Self {
        let count = edit::count(bytes).saturating_add(usize::from(demand.is_item()));
        Self {
            bytes,
            slot,
            demand,
            count,
            capacity: leaf::capacity(bytes),
        }
    }

    /// How many of the leaf's present items stand before the boundary `at`.
    pub(super) fn present(&self, at: usize) -> usize {
        if self.demand.is_item() && at > self.slot {
            at.saturating_sub(1)
        } else {
            at
        }
    }

    /// What the first `at` items weigh.
    fn before(&self, at: usize) -> Result<usize> {
        let weight = leaf::weight(self.bytes, 0..self.present(at))?;
        Ok(if at > self.slot {
            weight.saturating_add(self.demand.weight())
        } else {
            weight
        })
    }

    fn total(&self) -> Result<usize> {
        self.before(self.count)
    }

    /// Among the boundaries in `range` the one that parts the items most evenly between what two leaves have room
    /// for, the left one `left` and the right one `right` bytes; `None` if none fits.
    pub(super) fn boundary(
        &self,
        range: Range<usize>,
        left: usize,
        right: usize,
    ) -> Result<Option<usize>> {
        let total = self.total()?;
        let mut best = None;
        for at in range {
            let before = self.before(at)?;
            let after = total.saturating_sub(before);
            let (Some(spare_left), Some(spare_right)) =
                (left.checked_sub(before), right.checked_sub(after))
            else {
                continue;
            };
            let uneven = spare_left.abs_diff(spare_right);
            if best.is_none_or(|(least, _)| uneven < least) {
                best = Some((uneven, at));
            }
        }
        Ok(best.map(|(_, at)| at))
    }
}

impl Demand {
    pub(super) fn is_item(&self) -> bool {
        matches!(self, Self::Item { .. })
    }

    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Item { len, .. } => len.saturating_add(ITEM_HEAD),
            Self::Growth { by } => *by,
        }
    }
}
