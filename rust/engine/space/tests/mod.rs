// SPDX-License-Identifier: GPL-2.0
//! Tests of what is not visible from outside: each part against a simple model of it.

mod cache;
mod changes;
mod free_space_tree;
mod index;
mod ranges;
mod reservations;
mod trees;
mod write_order;

use crate::disk::Logical;

/// An address of a model, which computes with numbers.
pub(super) const fn at(address: u64) -> Logical {
    Logical::new(address)
}

/// A range as a model has it.
pub(super) fn numbers((start, end): (Logical, Logical)) -> (u64, u64) {
    (start.get(), end.get())
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
