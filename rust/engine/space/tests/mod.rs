// SPDX-License-Identifier: GPL-2.0
//! Tests of what is not visible from outside: each part against a simple model of it.

mod changes;
mod free_space_tree;
mod ranges;
mod reservations;
mod trees;
mod write_order;

/// Random numbers that a seed repeats (SplitMix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The runs of `true` in a bitmap, in units of `unit` from `base`.
pub(super) fn runs(bits: &[bool], base: u64, unit: u64) -> std::vec::Vec<(u64, u64)> {
    let mut found = std::vec::Vec::new();
    let mut start = None;
    for (index, &bit) in bits.iter().chain([&false]).enumerate() {
        let at = base + index as u64 * unit;
        match (bit, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    found
}
