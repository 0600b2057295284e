// SPDX-License-Identifier: GPL-2.0

//! What a mount keeps in memory and can read again, for when the kernel wants memory.
//!
//! That is where block groups of file data are free. Tree blocks, file data and inodes are in the kernel's own caches, which it
//! empties itself.

use crate::linux::shrinker::{Shrinkable, Shrinker};
use crate::linux::SuperBlock;
use engine::txn::Transactions;
use kernel::str::CString;
use kernel::sync::Arc;
use latch::prelude::*;

/// Pages that a block group takes at worst: one of a GiB, as most are.
const PAGES_OF_GROUP: usize = 8;

/// What the kernel asks for memory; it does no more when this is dropped.
pub(super) struct Memory {
    _shrinker: Shrinker<FreeSpaceShrinker>,
}

/// Gives back what is known of where groups are free.
struct FreeSpaceShrinker(Arc<Transactions>);

impl Memory {
    /// Gives memory of a mount back when it is wanted.
    pub(super) fn new(sb: &SuperBlock, transactions: Arc<Transactions>) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("{}", sb.name()))?;
        let free_space = FreeSpaceShrinker(transactions);
        let shrinker = Shrinker::new(c"rbtrfs-free-space", &name, free_space)?;
        Ok(Self {
            _shrinker: shrinker,
        })
    }
}

impl Shrinkable for FreeSpaceShrinker {
    fn count(&self) -> usize {
        self.0.space().forgettable()
    }

    fn shrink(&self, wanted: usize) -> usize {
        self.0.space().forget(wanted.div_ceil(PAGES_OF_GROUP))
    }
}
