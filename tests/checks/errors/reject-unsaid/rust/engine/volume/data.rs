// SPDX-License-Identifier: GPL-2.0

use latch::prelude::{Result, EINVAL};

/// Gives the first copy.
pub fn first(copies: &[u64]) -> Result<u64> {
    pr_err!("this is said\n");
    copies.first().copied().ok_or(EINVAL)
}

/// Gives the last copy.
pub fn last(copies: &[u64]) -> Result<u64> {
    copies.last().copied().ok_or(EINVAL)
}
