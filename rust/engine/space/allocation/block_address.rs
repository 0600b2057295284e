// SPDX-License-Identifier: GPL-2.0
//! An address on its way to a tree block.

use super::allocate::Allocator;
use crate::disk::Logical;

/// An address for a tree block of which nothing is recorded yet. Dropped, it is given back, and noted as one without a
/// block.
#[must_use = "dropped, the address is given back"]
pub struct BlockAddress<'a> {
    allocator: &'a Allocator,
    addr: Logical,
}

impl<'a> BlockAddress<'a> {
    pub(in crate::space) fn new(allocator: &'a Allocator, addr: Logical) -> Self {
        Self { allocator, addr }
    }

    /// The address that was allocated.
    pub fn get(&self) -> Logical {
        self.addr
    }

    /// It is recorded: from now on it is the caller who gives it back, and who tells if no block comes to stand there
    /// ([`crate::space::Space::abandon_block`]).
    pub fn keep(self) -> Logical {
        let addr = self.addr;
        core::mem::forget(self);
        addr
    }
}

impl Drop for BlockAddress<'_> {
    fn drop(&mut self) {
        self.allocator.abandon_block(self.addr);
        self.allocator.give_back_block(self.addr);
    }
}
