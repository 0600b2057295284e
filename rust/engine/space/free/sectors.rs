// SPDX-License-Identifier: GPL-2.0
//! Which sectors of a group are free, as a tree over windows that finds a run of any length.
//!
//! The kernel crate's bitmaps set one bit and find the next, where runs of bits are set, searched for and counted by words here.

use super::runs::{Runs, SectorState};
use super::window::{Window, FAN, FAN_BITS, WINDOW, WINDOW_LEVEL};
use crate::disk::{Bug, WORD};
use kernel::alloc::Flags;
use latch::prelude::*;

/// Levels of windows and above: enough for all addresses.
const ROWS: usize = 14;

/// A range is cut to its group before its sectors are counted.
const OUTSIDE: Bug = Bug::new("sectors lie outside of their group");

/// The free sectors of a group, counted from its start.
///
/// Eight pieces make one of the next level: words of 64 sectors, then those that a window keeps beside its bitmap, then
/// windows and those above them. Of each piece its [`Runs`] are known, so a search goes down one way, or two where it does
/// not begin at a piece's start.
pub(super) struct Sectors {
    windows: KVVec<Window>,
    /// The runs of windows, then of eight windows each, and so on to one piece of all.
    runs: KVVec<Runs>,
    /// Where the runs of each level begin.
    rows: [usize; ROWS],
    /// The level of the one piece.
    top: u32,
    /// How many windows have a bitmap.
    bitmaps: usize,
}

/// A search for the first run that is long enough.
struct Search {
    from: u64,
    need: u64,
    /// Where the run begins that reaches to where the search is, and how long it is.
    first: u64,
    run: u64,
}

impl Search {
    /// Goes over a piece at `first` from which no run begins that is long enough. The run's start if it becomes so.
    fn pass(&mut self, first: u64, runs: Runs) -> Option<u64> {
        if self.run == 0 {
            self.first = first;
        }
        if self.run.saturating_add(runs.front) >= self.need {
            return Some(self.first);
        }
        if runs.is_free() {
            self.run = self.run.saturating_add(runs.sectors);
        } else {
            self.run = runs.back;
            self.first = first.saturating_add(runs.sectors.saturating_sub(runs.back));
        }
        None
    }

    /// Goes through a word, of which the sectors before the search begins do not count.
    fn through(&mut self, first: u64, word: u64) -> Option<u64> {
        let mut at = first.max(self.from);
        let end = first.saturating_add(WORD);
        while at < end {
            let left = end.saturating_sub(at);
            let bits = word.wrapping_shr(u32::try_from(at.saturating_sub(first)).unwrap_or(0));
            let free = u64::from(bits.trailing_ones()).min(left);
            let runs = match free {
                0 => Runs::used(u64::from(bits.trailing_zeros()).min(left)),
                free => Runs::free(free),
            };
            if let Some(start) = self.pass(at, runs) {
                return Some(start);
            }
            at = at.saturating_add(runs.sectors.max(1));
        }
        None
    }
}

impl Sectors {
    /// Makes the tree over this many sectors, none of them free.
    pub(super) fn new(count: u64, flags: Flags) -> Result<Self> {
        let windows = usize::try_from(count.div_ceil(WINDOW).max(1))?;
        let (mut rows, mut top) = ([0; ROWS], WINDOW_LEVEL);
        let (mut len, mut total) = (windows, 0usize);
        for (level, row) in (WINDOW_LEVEL..).zip(&mut rows) {
            (*row, top) = (total, level);
            total = total.saturating_add(len);
            if len == 1 {
                break;
            }
            len = len.div_ceil(FAN as usize);
        }
        let mut all = KVVec::with_capacity(windows, flags)?;
        for _ in 0..windows {
            all.push_within_capacity(Window::Used).map_err(|_| ENOMEM)?;
        }
        let mut sectors = Self {
            windows: all,
            runs: KVVec::from_elem(Runs::NONE, total, flags)?,
            rows,
            top,
            bitmaps: 0,
        };
        sectors.renew(0, count.saturating_sub(1) / WINDOW);
        Ok(sectors)
    }

    /// How long the longest run is.
    pub(super) fn longest(&self) -> u64 {
        self.piece(self.top, 0).longest
    }

    /// How many pages of memory are in use, about: those of bitmaps.
    pub(super) fn bitmaps(&self) -> usize {
        self.bitmaps
    }

    /// Bytes of memory that are in use.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let windows = self.windows.iter();
        let bitmaps = windows.fold(0usize, |sum, window| sum.saturating_add(window.memory()));
        let windows = self.windows.len().saturating_mul(size_of::<Window>());
        let runs = self.runs.len().saturating_mul(size_of::<Runs>());
        bitmaps.saturating_add(windows).saturating_add(runs)
    }

    /// Whether all sectors from `from` on and before `to` are in a state.
    pub(super) fn all(&self, from: u64, to: u64, state: SectorState) -> bool {
        let mut at = from;
        while at < to {
            let (index, base, end) = within(at, to);
            let all = self
                .window(index)
                .is_some_and(|window| window.all(at.saturating_sub(base), end, state));
            if !all {
                return false;
            }
            at = base.saturating_add(end);
        }
        true
    }

    /// Changes the state of the sectors from `from` on and before `to`.
    pub(super) fn set(&mut self, from: u64, to: u64, state: SectorState) -> Result {
        let mut at = from;
        while at < to {
            let (index, base, end) = within(at, to);
            let window = usize::try_from(index).ok();
            let window = window.and_then(|index| self.windows.get_mut(index));
            let window = window.ok_or(OUTSIDE)?;
            let before = usize::from(window.is_mixed());
            window.set(at.saturating_sub(base), end, state)?;
            let others = self.bitmaps.saturating_sub(before);
            self.bitmaps = others.saturating_add(usize::from(window.is_mixed()));
            at = base.saturating_add(end);
        }
        self.renew(from / WINDOW, to.saturating_sub(1) / WINDOW);
        Ok(())
    }

    /// Where the first run begins that has `need` sectors from `from` on.
    pub(super) fn first_run(&self, from: u64, need: u64) -> Option<u64> {
        let mut search = Search {
            from,
            need,
            first: from,
            run: 0,
        };
        self.search(self.top, 0, &mut search)
    }

    /// Where the run ends that `sector` is in.
    pub(super) fn run_end(&self, sector: u64) -> u64 {
        let mut at = sector;
        loop {
            let window = self.window(at / WINDOW);
            let (Some(window), in_window) = (window, at % WINDOW) else {
                return at;
            };
            if let Window::Free = window {
                at = at.saturating_add(WINDOW.wrapping_sub(in_window));
                continue;
            }
            let bit = at % WORD;
            let bits = window
                .word(in_window / WORD)
                .wrapping_shr(u32::try_from(bit).unwrap_or(0));
            let free = u64::from(bits.trailing_ones());
            at = at.saturating_add(free);
            if free < WORD.wrapping_sub(bit) {
                return at;
            }
        }
    }

    fn search(&self, level: u32, index: u64, search: &mut Search) -> Option<u64> {
        let bits = level.wrapping_mul(FAN_BITS);
        let first = index.saturating_mul(WORD.wrapping_shl(bits));
        if first.saturating_add(WORD.wrapping_shl(bits)) <= search.from {
            return None;
        }
        if level == 0 {
            let window = self.window(first / WINDOW)?;
            return search.through(first, window.word(first % WINDOW / WORD));
        }
        if search.from <= first {
            let runs = self.piece(level, index);
            let fits = search.run.saturating_add(runs.front) >= search.need;
            if fits || runs.longest < search.need {
                return search.pass(first, runs);
            }
        }
        let below = index.saturating_mul(FAN);
        (below..below.saturating_add(FAN))
            .find_map(|child| self.search(level.wrapping_sub(1), child, search))
    }

    fn window(&self, index: u64) -> Option<&Window> {
        self.windows.get(usize::try_from(index).ok()?)
    }

    /// What is known of a piece; none of one behind the end is free.
    fn piece(&self, level: u32, index: u64) -> Runs {
        let len = WORD.wrapping_shl(level.wrapping_mul(FAN_BITS));
        let runs = match level.checked_sub(WINDOW_LEVEL) {
            Some(row) => self
                .place(row, index)
                .and_then(|at| self.runs.get(at))
                .copied(),
            None => {
                let bits = WINDOW_LEVEL.wrapping_sub(level).wrapping_mul(FAN_BITS);
                let window = self.window(index.wrapping_shr(bits));
                let within = index & 1u64.wrapping_shl(bits).wrapping_sub(1);
                window.map(|window| window.piece(level, within))
            }
        };
        runs.unwrap_or(Runs::used(len))
    }

    /// Where the runs of a piece are.
    fn place(&self, row: u32, index: u64) -> Option<usize> {
        let row = usize::try_from(row).ok()?;
        let start = *self.rows.get(row)?;
        let end = match self.rows.get(row.checked_add(1)?) {
            Some(&next) if next > 0 => next,
            _ => self.runs.len(),
        };
        let at = start.checked_add(usize::try_from(index).ok()?)?;
        (at < end).then_some(at)
    }

    /// Renews what is known of these windows and of all above them.
    fn renew(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first, last);
        for level in WINDOW_LEVEL..=self.top {
            for index in first..=last {
                let runs = match level {
                    WINDOW_LEVEL => self.window(index).map_or(Runs::NONE, Window::runs),
                    _ => {
                        let below = index.saturating_mul(FAN);
                        (below..below.saturating_add(FAN)).fold(Runs::NONE, |runs, child| {
                            runs.join(self.piece(level.wrapping_sub(1), child))
                        })
                    }
                };
                let at = self.place(level.wrapping_sub(WINDOW_LEVEL), index);
                if let Some(place) = at.and_then(|at| self.runs.get_mut(at)) {
                    *place = runs;
                }
            }
            (first, last) = (first / FAN, last / FAN);
        }
    }
}

/// The number of the window that `sector` is in, where it starts, and where `to` or the window ends, from its start.
fn within(sector: u64, to: u64) -> (u64, u64, u64) {
    let index = sector / WINDOW;
    let base = index.saturating_mul(WINDOW);
    (index, base, to.saturating_sub(base).min(WINDOW))
}
