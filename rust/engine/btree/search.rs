// SPDX-License-Identifier: GPL-2.0
//! The way down, for readers: each block is locked before its parent is let go.

use super::lock::{nesting, Held, Mode, Reading};
use super::tree::Tree;
use super::{Block, Expected};
use crate::disk::{Child, Key, Leaf, Node};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Latched, NofsScope, Side};

/// A leaf locked for reading, and between which keys the tree keeps what belongs into it.
pub(super) struct Found {
    /// The leaf.
    pub(super) leaf: Reading,
    /// The leaf's parent and the leaf's slot in it; `None` if the leaf is the root.
    pub(super) parent: Option<(Reading, usize)>,
    /// The leaf's first key as its ancestors have it; `None` at the tree's left edge.
    pub(super) lower: Option<Key>,
    /// The key that the parent's right neighbour starts with; `None` at the tree's right edge.
    pub(super) beyond: Option<Key>,
    /// Reclaim that enters the file system could want to write to a leaf that is locked here.
    pub(super) nofs: NofsScope,
}

impl Tree {
    /// Locks the leaf that `key` is in or would be in, and its parent.
    pub(super) fn find_leaf(&self, key: &Key) -> Result<Found> {
        let nofs = NofsScope::enter();
        let (mut held, mut level) = self.read_root();
        let mut parent = None;
        let (mut lower, mut beyond) = (None, None);
        while let Some(below) = level.checked_sub(1) {
            let node = Node::new(held.bytes());
            let slot = node.descend(key);
            let child = node.child(slot).ok_or(EUCLEAN)?;
            if below > 0 {
                beyond = node.key(slot.saturating_add(1)).or(beyond);
            }
            if slot > 0 {
                lower = Some(child.key);
            }
            let block = self.child_block(&child, below)?;
            let next = Latched::read(&block, nesting(self.kind(), below, Side::Path));
            self.check_child(next.bytes(), &child, below)?;
            parent = Some((held, slot));
            held = next;
            level = below;
        }
        Ok(Found {
            leaf: held,
            parent,
            lower,
            beyond,
            nofs,
        })
    }

    /// Locks the root for reading; with it comes its level.
    pub(super) fn read_root(&self) -> (Reading, u8) {
        loop {
            let (block, level) = self.root();
            let guard = Latched::read(&block, nesting(self.kind(), level, Side::Path));
            if self.is_root(&block) {
                return (guard, level);
            }
        }
    }

    /// Locks the root; for writing if it stands at `write_from` or below.
    pub(super) fn lock_root(&self, write_from: u8) -> Held {
        loop {
            let (block, level) = self.root();
            let mode = if level <= write_from {
                Mode::Write
            } else {
                Mode::Read
            };
            let held = Held::lock(&block, mode, nesting(self.kind(), level, Side::Path));
            if self.is_root(&block) {
                return held;
            }
        }
    }

    /// Gets the block a pointer names, to be locked at `level`. The caller has the parent locked.
    pub(super) fn child_block(&self, child: &Child, level: u8) -> Result<Arc<Block>> {
        let expected = self.expected(child, level);
        let block = self.store().read(child.addr, &expected)?;
        let info = block.meta();
        if info.addr != child.addr || info.level != level || info.generation != child.generation {
            pr_err!(
                "tree {}: block {} has level {} generation {}, its parent says level {} generation {}\n",
                self.id(),
                child.addr,
                info.level,
                info.generation,
                level,
                child.generation
            );
            return Err(EUCLEAN);
        }
        Ok(block)
    }

    /// Compares a locked block's first key with its parent's: it may have come from the cache, where another pointer
    /// vouched for it.
    pub(super) fn check_child(&self, bytes: &[u8], child: &Child, level: u8) -> Result {
        let first = if level == 0 {
            Leaf::new(bytes).key(0)
        } else {
            Node::new(bytes).key(0)
        };
        if first == Some(child.key) {
            return Ok(());
        }
        pr_err!(
            "tree {}: block {} does not start with {}, its parent's key\n",
            self.id(),
            child.addr,
            child.key
        );
        Err(EUCLEAN)
    }

    /// What a pointer says of the block at `level`.
    pub(super) fn expected(&self, child: &Child, level: u8) -> Expected {
        Expected {
            owner: Some(self.id()),
            level,
            generation: child.generation,
            first_key: Some(child.key),
        }
    }
}
