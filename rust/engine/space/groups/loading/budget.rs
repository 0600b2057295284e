// SPDX-License-Identifier: GPL-2.0
//! How much memory may tell where groups are free.
//!
//! What a free space tree tells can be forgotten and read again. What the extent tree alone tells is in memory from the mount on:
//! there it is bounded by what the mount may take.

use crate::disk::{Bytes, Logical};
use crate::space::free::ranges::FreeRanges;
use crate::space::Class;
use latch::prelude::*;

/// What is free in a group that claims to be longer is not read: it takes memory by its length. No chunk is made that is nearly as
/// long (C: 10 GiB).
pub(super) const LONGEST: Bytes = Bytes::new(64 << 30);
/// Windows of groups of file data of which not all is free or used: 4 TiB in small pieces, at worst 160 MiB.
const DATA: usize = 32 << 10;
/// Windows of groups of tree blocks of which not all is free or used: 1 TiB of them, as much as is read of a free space tree.
const TREE_BLOCKS: usize = 8 << 10;

/// How many bitmaps a mount may still make for what it reads in the extent tree.
pub(super) struct Budget {
    data: usize,
    tree_blocks: usize,
}

impl Budget {
    pub(in crate::space::groups) const fn new() -> Self {
        Self {
            data: DATA,
            tree_blocks: TREE_BLOCKS,
        }
    }

    fn of(&mut self, class: Class) -> &mut usize {
        match class {
            Class::Data => &mut self.data,
            Class::Metadata | Class::System => &mut self.tree_blocks,
        }
    }

    /// Takes what the ranges of a group have. `EFBIG` where it is more than there is.
    pub(in crate::space::groups) fn take(&mut self, class: Class, ranges: &FreeRanges) -> Result {
        let left = self.of(class);
        *left = left.checked_sub(ranges.bitmaps()).ok_or(EFBIG)?;
        Ok(())
    }

    /// Changes the ranges of a group, and takes what they have more then. `EFBIG` where there is no more: what they have is given
    /// back, and they are not to be used.
    pub(in crate::space::groups) fn change(
        &mut self,
        class: Class,
        ranges: &mut FreeRanges,
        change: impl FnOnce(&mut FreeRanges) -> Result,
    ) -> Result {
        let before = ranges.bitmaps();
        change(ranges)?;
        let left = self.of(class);
        let all = left.saturating_add(before);
        match all.checked_sub(ranges.bitmaps()) {
            Some(rest) => {
                *left = rest;
                Ok(())
            }
            None => {
                *left = all;
                Err(EFBIG)
            }
        }
    }
}

/// Says why what is free in the group at `start` is not used.
#[cold]
pub(super) fn tell_unused(start: Logical, why: Error) {
    match why == EFBIG {
        true => pr_warn!(
            "block group {start}: what is free there stays unused: to know it would take too much memory\n"
        ),
        false => pr_warn!("block group {start}: what is free there stays unused: {why:?}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 128 << 20;

    fn ranges(windows: u64) -> FreeRanges {
        let len = Bytes::new(windows * WINDOW);
        FreeRanges::new(Logical::new(0), len, Bytes::new(4096), GFP_KERNEL).unwrap()
    }

    fn free(ranges: &mut FreeRanges, window: u64, sectors: u64) -> Result {
        let start = window * WINDOW;
        ranges.insert(Logical::new(start), Logical::new(start + sectors * 4096))
    }

    #[test]
    fn only_windows_in_pieces_are_counted_and_only_once() {
        let mut budget = Budget {
            data: 2,
            tree_blocks: 1,
        };
        let mut all = ranges(8);
        let whole = |ranges: &mut FreeRanges| free(ranges, 4, WINDOW / 4096);
        budget.change(Class::Data, &mut all, whole).unwrap();
        assert_eq!((budget.data, all.bitmaps()), (2, 0));
        for window in [0, 1] {
            let piece = |ranges: &mut FreeRanges| free(ranges, window, 3);
            budget.change(Class::Data, &mut all, piece).unwrap();
        }
        let more =
            |ranges: &mut FreeRanges| ranges.insert(Logical::new(5 * 4096), Logical::new(6 * 4096));
        budget.change(Class::Data, &mut all, more).unwrap();
        assert_eq!((budget.data, all.bitmaps()), (0, 2));
        // What a group has that is given up is others' again; and tree blocks have a budget of their own.
        let third = |ranges: &mut FreeRanges| free(ranges, 2, 1);
        let refused = budget.change(Class::Data, &mut all, third);
        assert_eq!((refused, budget.data), (Err(EFBIG), 2));
        assert_eq!(budget.take(Class::Metadata, &ranges(3)), Ok(()));
        assert_eq!(budget.take(Class::Metadata, &all), Err(EFBIG));
        assert_eq!(budget.tree_blocks, 1);
    }

    #[test]
    fn a_window_that_is_whole_again_is_given_back() {
        let mut budget = Budget {
            data: 1,
            tree_blocks: 0,
        };
        let mut all = ranges(2);
        let piece = |ranges: &mut FreeRanges| free(ranges, 1, 1);
        budget.change(Class::Data, &mut all, piece).unwrap();
        assert_eq!(budget.data, 0);
        let rest = |ranges: &mut FreeRanges| {
            ranges.insert(Logical::new(WINDOW + 4096), Logical::new(2 * WINDOW))
        };
        budget.change(Class::Data, &mut all, rest).unwrap();
        assert_eq!((budget.data, all.bitmaps()), (1, 0));
    }
}
