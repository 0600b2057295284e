// SPDX-License-Identifier: GPL-2.0
//! The free sectors of a window, a bit for each (C: a bitmap of `unsigned long`, on machines that are little-endian).

use super::{Page, WINDOW_SECTORS};
use crate::disk::corrupt::{ensure_eq, Flaw};
use crate::disk::numbers::WORD;

/// The word that has the bits from `index * 64` on.
fn word(page: &Page, index: u64) -> u64 {
    let at = usize::try_from(index).ok().and_then(|i| i.checked_mul(8));
    let bytes = at.and_then(|at| page.get(at..)?.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// How many bits are set, all of which must be among the first `sectors`.
pub(super) fn count(page: &Page, sectors: u64) -> Result<u64, Flaw> {
    let (mut within, mut behind) = (0u64, 0u64);
    for index in 0..WINDOW_SECTORS / WORD {
        let word = word(page, index);
        let left = sectors.saturating_sub(index.saturating_mul(WORD));
        let valid = match u32::try_from(left) {
            Ok(left) if left < 64 => 1u64.wrapping_shl(left).wrapping_sub(1),
            _ => u64::MAX,
        };
        within = within.saturating_add((word & valid).count_ones().into());
        behind = behind.saturating_add((word & !valid).count_ones().into());
    }
    ensure_eq("cache's bitmap goes beyond its group", behind, 0)?;
    Ok(within)
}

/// The first run of set bits at `from` or behind, `[start, end)`.
pub(super) fn run(page: &Page, from: u64) -> Option<(u64, u64)> {
    let start = next(page, from, u64::MAX)?;
    let end = next(page, start, 0).unwrap_or(WINDOW_SECTORS);
    Some((start, end))
}

/// The first bit at `from` or behind that is set in the bitmap if `ones` is all ones, or that is not set if it is 0.
fn next(page: &Page, from: u64, ones: u64) -> Option<u64> {
    let mut at = from;
    while at < WINDOW_SECTORS {
        let shift = u32::try_from(at % WORD).unwrap_or(0);
        let wanted = !(word(page, at / WORD) ^ ones);
        let rest = wanted & u64::MAX.wrapping_shl(shift);
        let first = (at / WORD).saturating_mul(WORD);
        if rest != 0 {
            return Some(first.saturating_add(rest.trailing_zeros().into()));
        }
        at = first.saturating_add(WORD);
    }
    None
}

/// Sets the bits from `from` on and before `to`.
pub(super) fn set(page: &mut Page, from: u64, to: u64) {
    let mut at = from;
    while at < to.min(WINDOW_SECTORS) {
        let end = (at / 8).saturating_add(1).saturating_mul(8).min(to);
        let byte = usize::try_from(at / 8).ok().and_then(|i| page.get_mut(i));
        if let Some(byte) = byte {
            for bit in at..end {
                *byte |= 1u8.wrapping_shl(u32::try_from(bit % 8).unwrap_or(0));
            }
        }
        at = end;
    }
}
