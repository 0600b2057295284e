// SPDX-License-Identifier: GPL-2.0
//! A window of a group: as many sectors as a bitmap of one page has bits.

use super::runs::{mask, Runs, SectorState};
use crate::disk::WORD;
use latch::prelude::*;

/// Pieces in the piece above them, as a binary logarithm and as a number.
pub(super) const FAN_BITS: u32 = 3;
pub(super) const FAN: u64 = 1 << FAN_BITS;
/// The level of windows. Words are level 0.
pub(super) const WINDOW_LEVEL: u32 = 3;
/// Words of a bitmap: a page of them.
const WORDS: usize = 512;
/// Pieces of the first level above words, and of the second.
const FIRST: usize = 64;
const SECOND: usize = 8;
/// Sectors in a window.
pub(super) const WINDOW: u64 = WORDS as u64 * WORD;

/// Which sectors of a window are free.
pub(super) enum Window {
    /// No sector is free.
    Used,
    /// All sectors are free.
    Free,
    /// Some sectors are free.
    Mixed(Bitmap),
}

impl Window {
    /// What is to be known of the window.
    pub(super) fn runs(&self) -> Runs {
        match self {
            Self::Used => Runs::used(WINDOW),
            Self::Free => Runs::free(WINDOW),
            Self::Mixed(bitmap) => bitmap.runs(),
        }
    }

    /// What is to be known of the piece with this number on a level below the windows'.
    pub(super) fn piece(&self, level: u32, index: u64) -> Runs {
        let len = WORD.wrapping_shl(level.wrapping_mul(FAN_BITS));
        match self {
            Self::Used => Runs::used(len),
            Self::Free => Runs::free(len),
            Self::Mixed(bitmap) => bitmap.piece(level, index),
        }
    }

    /// The sectors of a word.
    pub(super) fn word(&self, index: u64) -> u64 {
        match self {
            Self::Used => 0,
            Self::Free => u64::MAX,
            Self::Mixed(bitmap) => bitmap.word(index),
        }
    }

    /// Whether all sectors from `from` on and before `to` are in a state.
    pub(super) fn all(&self, from: u64, to: u64, state: SectorState) -> bool {
        match self {
            Self::Used => state == SectorState::Used,
            Self::Free => state == SectorState::Free,
            Self::Mixed(bitmap) => bitmap.all(from, to, state),
        }
    }

    /// Changes the state of the sectors from `from` on and before `to`. Takes memory where part of a window becomes
    /// different from the rest, and gives it back where all is the same again.
    pub(super) fn set(&mut self, from: u64, to: u64, state: SectorState) -> Result {
        let whole = match state {
            SectorState::Free => Self::Free,
            SectorState::Used => Self::Used,
        };
        if from == 0 && to >= WINDOW {
            *self = whole;
            return Ok(());
        }
        match (&*self, state) {
            (Self::Used, SectorState::Free) => {
                *self = Self::Mixed(Bitmap::new(SectorState::Used)?);
            }
            (Self::Free, SectorState::Used) => {
                *self = Self::Mixed(Bitmap::new(SectorState::Free)?);
            }
            (Self::Used | Self::Free, _) => return Ok(()),
            (Self::Mixed(_), _) => {}
        }
        if let Self::Mixed(bitmap) = self {
            bitmap.set(from, to, state);
            let runs = bitmap.runs();
            if runs.longest == 0 || runs.is_free() {
                *self = whole;
            }
        }
        Ok(())
    }

    /// Whether it has a bitmap.
    pub(super) fn is_mixed(&self) -> bool {
        matches!(self, Self::Mixed(_))
    }

    /// Bytes of memory beside the window itself.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Used | Self::Free => 0,
            Self::Mixed(_) => Bitmap::MEMORY,
        }
    }
}

/// [`Runs`] without their length.
#[derive(Clone, Copy)]
struct Piece {
    front: u16,
    longest: u16,
    back: u16,
}

impl Piece {
    fn of(runs: Runs) -> Self {
        let short = |sectors: u64| u16::try_from(sectors).unwrap_or(u16::MAX);
        Self {
            front: short(runs.front),
            longest: short(runs.longest),
            back: short(runs.back),
        }
    }

    fn runs(self, sectors: u64) -> Runs {
        Runs {
            sectors,
            front: self.front.into(),
            longest: self.longest.into(),
            back: self.back.into(),
        }
    }
}

/// A bit for each sector, and what is to be known of eight words and of eight times as many.
pub(super) struct Bitmap {
    words: KVec<u64>,
    pieces: KVec<Piece>,
}

impl Bitmap {
    /// Bytes of memory that one takes.
    #[cfg(test)]
    const MEMORY: usize = WORDS * size_of::<u64>() + (FIRST + SECOND) * size_of::<Piece>();

    fn new(state: SectorState) -> Result<Self> {
        let (word, runs) = match state {
            SectorState::Free => (u64::MAX, Runs::free as fn(u64) -> Runs),
            SectorState::Used => (0, Runs::used as fn(u64) -> Runs),
        };
        let (first, second) = (runs(WORD * FAN), runs(WORD * FAN * FAN));
        let mut pieces = KVec::from_elem(Piece::of(first), FIRST + SECOND, GFP_NOFAIL)?;
        for piece in pieces.iter_mut().skip(FIRST) {
            *piece = Piece::of(second);
        }
        Ok(Self {
            words: KVec::from_elem(word, WORDS, GFP_NOFAIL)?,
            pieces,
        })
    }

    fn word(&self, index: u64) -> u64 {
        let word = usize::try_from(index)
            .ok()
            .and_then(|at| self.words.get(at));
        word.copied().unwrap_or(0)
    }

    fn piece(&self, level: u32, index: u64) -> Runs {
        let len = WORD.wrapping_shl(level.wrapping_mul(FAN_BITS));
        if level == 0 {
            return Runs::of_word(self.word(index));
        }
        let row = if level == 1 { 0 } else { FIRST };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let piece = self.pieces.get(row.saturating_add(index));
        piece.map_or(Runs::used(len), |piece| piece.runs(len))
    }

    fn runs(&self) -> Runs {
        (0..SECOND as u64).fold(Runs::NONE, |runs, index| runs.join(self.piece(2, index)))
    }

    fn all(&self, from: u64, to: u64, state: SectorState) -> bool {
        let expected = match state {
            SectorState::Free => u64::MAX,
            SectorState::Used => 0,
        };
        let mut at = from;
        while at < to {
            let word = at / WORD;
            let bits = mask(at % WORD, to.wrapping_sub(word.wrapping_mul(WORD)));
            if (self.word(word) ^ expected) & bits != 0 {
                return false;
            }
            at = word.wrapping_add(1).wrapping_mul(WORD);
        }
        true
    }

    fn set(&mut self, from: u64, to: u64, state: SectorState) {
        let mut at = from;
        while at < to {
            let index = at / WORD;
            let bits = mask(at % WORD, to.wrapping_sub(index.wrapping_mul(WORD)));
            let word = usize::try_from(index)
                .ok()
                .and_then(|at| self.words.get_mut(at));
            match (word, state) {
                (Some(word), SectorState::Free) => *word |= bits,
                (Some(word), SectorState::Used) => *word &= !bits,
                (None, _) => return,
            }
            at = index.wrapping_add(1).wrapping_mul(WORD);
        }
        let last = to.wrapping_sub(1) / WORD;
        let (first, last) = (from / WORD / FAN, last / FAN);
        self.renew(1, first, last);
        self.renew(2, first / FAN, last / FAN);
    }

    /// Renews the pieces of a level from the one below.
    fn renew(&mut self, level: u32, first: u64, last: u64) {
        let row = if level == 1 { 0 } else { FIRST };
        for index in first..=last {
            let below = index.wrapping_mul(FAN);
            let runs = (below..below.wrapping_add(FAN)).fold(Runs::NONE, |runs, child| {
                runs.join(self.piece(level.wrapping_sub(1), child))
            });
            let at = usize::try_from(index).map(|index| row.saturating_add(index));
            if let Some(piece) = at.ok().and_then(|at| self.pieces.get_mut(at)) {
                *piece = Piece::of(runs);
            }
        }
    }
}
