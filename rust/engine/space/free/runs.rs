// SPDX-License-Identifier: GPL-2.0
//! What has to be known of a piece of the address space to find free sectors that lie together.

use crate::disk::WORD;

/// What a sector is to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SectorState {
    /// The run can be allocated.
    Free,
    /// The run is in use, or beyond the group.
    Used,
}

/// The free runs of a piece of a group: as long as they are at its ends, and the longest. In sectors.
///
/// Those of two neighbours make those of both together, so that a tree of them finds a run of any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Runs {
    /// The sectors of the piece.
    pub(super) sectors: u64,
    /// How long the run is that begins where the piece does.
    pub(super) front: u64,
    /// How long the longest run is.
    pub(super) longest: u64,
    /// How long the run is that ends where the piece does.
    pub(super) back: u64,
}

impl Runs {
    /// Nothing, to join others to.
    pub(super) const NONE: Self = Self::used(0);

    /// A piece in which nothing is free.
    pub(super) const fn used(sectors: u64) -> Self {
        Self {
            sectors,
            front: 0,
            longest: 0,
            back: 0,
        }
    }

    /// A piece that is free.
    pub(super) const fn free(sectors: u64) -> Self {
        Self {
            sectors,
            front: sectors,
            longest: sectors,
            back: sectors,
        }
    }

    /// A word with a bit for each free sector, the lowest first.
    pub(super) fn of_word(word: u64) -> Self {
        Self {
            sectors: WORD,
            front: word.trailing_ones().into(),
            longest: longest_in(word),
            back: word.leading_ones().into(),
        }
    }

    /// Whether all of the piece is free.
    pub(super) const fn is_free(&self) -> bool {
        self.longest == self.sectors
    }

    /// The piece with the one that follows it.
    pub(super) fn join(self, next: Self) -> Self {
        let across = self.back.wrapping_add(next.front);
        let front = match self.is_free() {
            true => self.sectors.wrapping_add(next.front),
            false => self.front,
        };
        let back = match next.is_free() {
            true => next.sectors.wrapping_add(self.back),
            false => next.back,
        };
        Self {
            sectors: self.sectors.wrapping_add(next.sectors),
            front,
            longest: self.longest.max(next.longest).max(across),
            back,
        }
    }
}

fn longest_in(word: u64) -> u64 {
    if word == u64::MAX {
        return WORD;
    }
    let (mut left, mut longest) = (word, 0u64);
    while left != 0 {
        // Each run loses its lowest sector.
        left &= left.wrapping_shl(1);
        longest = longest.wrapping_add(1);
    }
    longest
}

/// The bits of a word from `from` on and before `to`, which are at most 64.
pub(super) fn mask(from: u64, to: u64) -> u64 {
    let low = |bits: u64| match u32::try_from(bits) {
        Ok(bits) if bits < u64::BITS => 1u64.wrapping_shl(bits).wrapping_sub(1),
        _ => u64::MAX,
    };
    low(to) & !low(from)
}
