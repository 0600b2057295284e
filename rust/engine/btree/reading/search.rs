// SPDX-License-Identifier: GPL-2.0
//! The way down, for readers: each block is locked before its parent is let go.

use crate::btree::blocks::block::first_key;
use crate::btree::blocks::lock::{nesting, try_reading, Held, Mode, Reading};
use crate::btree::bugs::NO_CHILD;
use crate::btree::copying::share::NO_HEADER;
use crate::btree::tree::Tree;
use crate::btree::{BlockRef, Expected, Reach};
use crate::disk::{Child, Flaw, Header, Key, Logical, Node, MAX_LEVELS};
use latch::prelude::*;
use latch::{Latched, NofsScope, Side};

/// What a move to a place in a tree came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// The cursor stands at what was asked for.
    Found,
    /// There is no such thing.
    Missing,
}

/// A leaf locked for reading, and between which keys the tree keeps what belongs into it.
pub(in crate::btree) struct Found {
    /// The leaf that was found.
    pub(in crate::btree) leaf: Reading,
    /// The leaf's parent and the leaf's slot in it; `None` if the leaf is the root.
    pub(in crate::btree) parent: Option<(Reading, usize)>,
    /// The leaf's first key as its ancestors have it; `None` at the tree's left edge.
    pub(in crate::btree) lower: Option<Key>,
    /// The key that the parent's right neighbour starts with; `None` at the tree's right edge.
    pub(super) beyond: Option<Key>,
    /// Reclaim that enters the file system could want to write to a leaf that is locked here.
    pub(super) nofs: NofsScope,
}

impl Tree {
    /// Locks the leaf that `key` is in or would be in, and its parent.
    pub(super) fn find_leaf(&self, key: &Key, reach: Reach) -> Result<Found> {
        let nofs = NofsScope::enter();
        let (mut held, mut level) = self.read_root(reach)?;
        let mut parent = None;
        let (mut lower, mut beyond) = (None, None);
        while let Some(below) = level.checked_sub(1) {
            let node = Node::new(held.bytes());
            let slot = node.descend(key);
            let child = node.child(slot).ok_or(NO_CHILD)?;
            if below > 0 {
                beyond = node.key(slot.saturating_add(1)).or(beyond);
            }
            if slot > 0 {
                lower = Some(child.key);
            }
            let next = self.read_child(&child, below, reach)?;
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

    /// The blocks on the way to `key` that other trees may reference as well, with their levels: all younger ones are this
    /// tree's alone, and so is the root.
    pub fn shareable_way(&self, key: &Key) -> Result<KVec<(Logical, u8)>> {
        let _nofs = NofsScope::enter();
        let mut way = KVec::with_capacity(MAX_LEVELS.into(), GFP_NOFAIL)?;
        let (mut held, mut level) = self.read_root(Reach::Device)?;
        while let Some(below) = level.checked_sub(1) {
            let node = Node::new(held.bytes());
            let child = node.child(node.descend(key)).ok_or(NO_CHILD)?;
            held = self.read_child(&child, below, Reach::Device)?;
            level = below;
            let header = Header::new(held.bytes()).ok_or(NO_HEADER)?;
            if self.may_be_shared(held.latched(), &header) {
                way.push((child.addr, below), GFP_NOFAIL)?;
            }
        }
        Ok(way)
    }

    /// Locks the root for reading; with it comes its level.
    pub(in crate::btree) fn read_root(&self, reach: Reach) -> Result<(Reading, u8)> {
        loop {
            let (block, level) = self.root();
            let guard = self.lock_reading(&block, level, reach)?;
            if self.is_root(&block) {
                return Ok((guard, level));
            }
        }
    }

    /// Gets the block a pointer names and locks it for reading. The caller has the parent locked.
    pub(in crate::btree) fn read_child(
        &self,
        child: &Child,
        level: u8,
        reach: Reach,
    ) -> Result<Reading> {
        let block = match reach {
            Reach::Device => self.child_block(child, level)?,
            Reach::Cache => {
                let expected = self.expected(child, level);
                let block = self.store().try_read(child.addr, &expected).ok_or(EAGAIN)?;
                block.meta().expect(child.addr, level, child.generation)?;
                block
            }
        };
        let guard = self.lock_reading(&block, level, reach)?;
        self.check_child(guard.bytes(), child, level)?;
        Ok(guard)
    }

    fn lock_reading(&self, block: &BlockRef, level: u8, reach: Reach) -> Result<Reading> {
        match reach {
            Reach::Device => Ok(Latched::read(
                block,
                nesting(self.kind(), level, Side::Path),
            )),
            Reach::Cache => try_reading(block).ok_or(EAGAIN),
        }
    }

    /// Locks the root; for writing if it stands at `write_from` or below.
    pub(in crate::btree) fn lock_root(&self, write_from: u8) -> Held {
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
    pub(in crate::btree) fn child_block(&self, child: &Child, level: u8) -> Result<BlockRef> {
        let expected = self.expected(child, level);
        let block = self.store().read(child.addr, &expected)?;
        block.meta().expect(child.addr, level, child.generation)?;
        Ok(block)
    }

    /// Compares a locked block's first key with its parent's: it may have come from the cache, where another pointer
    /// vouched for it.
    pub(in crate::btree) fn check_child(&self, bytes: &[u8], child: &Child, level: u8) -> Result {
        let first = first_key(bytes, level);
        if first == Some(child.key) {
            return Ok(());
        }
        Err(wrong_first_key(first, child))
    }

    /// What a pointer says of the block at `level`.
    pub(in crate::btree) fn expected(&self, child: &Child, level: u8) -> Expected {
        Expected {
            owner: Some(self.owner()),
            level,
            generation: child.generation,
            first_key: Some(child.key),
        }
    }
}

#[cold]
fn wrong_first_key(first: Option<Key>, child: &Child) -> Error {
    let first = first.unwrap_or(Key::MIN);
    let (what, found, expected) = if first.objectid != child.key.objectid {
        let what = "block starts with another objectid than its parent says";
        (what, first.objectid.get(), child.key.objectid.get())
    } else if first.kind != child.key.kind {
        let what = "block starts with an item of another kind than its parent says";
        (what, first.kind.get().into(), child.key.kind.get().into())
    } else {
        let what = "block starts with another key's offset than its parent says";
        (what, first.offset, child.key.offset)
    };
    Flaw::new(what, found, expected)
        .in_block(child.addr)
        .report()
}
