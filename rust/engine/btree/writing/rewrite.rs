// SPDX-License-Identifier: GPL-2.0
//! Moving blocks to new addresses, as copy on write does without being asked.

use super::descend::Aim;
use super::path::Path;
use crate::btree::blocks::block::first_key;
use crate::btree::blocks::lock::nesting;
use crate::btree::bugs::NO_CHILD;
use crate::btree::copying::share::NO_HEADER;
use crate::btree::{Allocate, Expected, Reach, Tree};
use crate::disk::{Generation, Header, Key, Logical, Node};
use latch::prelude::*;
use latch::{Latched, Side};

/// Where a block stands towards a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The block is in this tree, and nowhere else.
    Alone,
    /// The block is in this tree, and another has it or a block above it as well.
    Shared,
    /// The block is not in this tree.
    Elsewhere,
}

impl Tree {
    /// Copies all blocks on the way to `key` that the transaction has not: they leave their addresses.
    pub fn rewrite(&self, txn: &dyn Allocate, key: &Key) -> Result {
        Path::new(self, txn).seek(key, &Aim::Change)
    }

    /// A key on whose way the tree's block at `addr` is. Reads the block. No latch of a tree block is held.
    pub fn way_to(&self, addr: Logical, level: u8, generation: Generation) -> Result<Key> {
        let expected = Expected {
            owner: Some(self.owner()),
            level,
            generation,
            first_key: None,
        };
        let block = self.store().read(addr, &expected)?;
        let guard = Latched::read(&block, nesting(self.kind(), level, Side::Path));
        Ok(first_key(guard.bytes(), level).unwrap_or(Key::MIN))
    }

    /// Whether the block at `addr` is on the way to `key`, and whose it is.
    pub fn standing(&self, txn: &dyn Allocate, key: &Key, addr: Logical) -> Result<Standing> {
        let (mut held, mut level) = self.read_root(Reach::Device)?;
        let mut standing = Standing::Alone;
        loop {
            let header = Header::new(held.bytes()).ok_or(NO_HEADER)?;
            let own = held.latched().meta().addr;
            if self.may_be_shared(held.latched(), &header) && txn.block_refs(own, level)?.count > 1
            {
                standing = Standing::Shared;
            }
            if own == addr {
                return Ok(standing);
            }
            let Some(below) = level.checked_sub(1) else {
                return Ok(Standing::Elsewhere);
            };
            let node = Node::new(held.bytes());
            let child = node.child(node.descend(key)).ok_or(NO_CHILD)?;
            held = self.read_child(&child, below, Reach::Device)?;
            level = below;
        }
    }
}
