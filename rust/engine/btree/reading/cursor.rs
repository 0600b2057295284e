// SPDX-License-Identifier: GPL-2.0
//! Walking a tree for reading.

use super::search::{Found, Sought};
use crate::btree::blocks::lock::Reading;
use crate::btree::{Reach, Tree};
use crate::disk::{Key, Leaf, Node};
use latch::prelude::*;

/// How many leaves are read ahead of the one that a cursor goes to.
const READ_AHEAD: usize = 4;

/// A place in a tree, for reading. Keeps the leaf it stands in and that leaf's parent locked for reading, so that
/// the next leaf costs one latch: it is short-lived, and its owner touches no tree while it stands somewhere.
pub struct Cursor<'a> {
    tree: &'a Tree,
    reach: Reach,
    /// It goes to no leaf that begins behind this key.
    last: Key,
    position: Option<Position>,
}

struct Position {
    found: Found,
    slot: usize,
}

/// A way out of a leaf.
enum Way {
    /// The other leaf, within the same parent.
    Neighbour(Position),
    /// A search for this key leads to it.
    Search(Key),
    /// The tree ends here.
    End,
}

impl<'a> Cursor<'a> {
    /// A cursor that stands nowhere yet.
    pub fn new(tree: &'a Tree) -> Self {
        Self::reaching(tree, Reach::Device)
    }

    /// A cursor that goes so far for the blocks it needs.
    pub fn reaching(tree: &'a Tree, reach: Reach) -> Self {
        Self {
            tree,
            reach,
            last: Key::MAX,
            position: None,
        }
    }

    /// Lets the cursor end at `last`: a leaf that begins behind that key is not read, and the cursor stands past the right end.
    /// What nobody asks for may be damaged.
    pub fn up_to(self, last: Key) -> Self {
        Self { last, ..self }
    }

    /// The tree it walks.
    pub fn tree(&self) -> &'a Tree {
        self.tree
    }

    /// Moves to the first item at or after `key`; `Found` if that has this very key.
    pub fn seek(&mut self, key: &Key) -> Result<Sought> {
        // Two searches at once could deadlock with a writer that waits between them.
        self.release();
        let found = self.tree.find_leaf(key, self.reach)?;
        let result = Leaf::new(found.leaf.bytes()).search(key);
        let slot = result.unwrap_or_else(|slot| slot);
        self.position = Some(Position { found, slot });
        self.skip_forward()?;
        Ok(result.map_or(Sought::Missing, |_| Sought::Found))
    }

    /// Moves to the last item at or before `key`; `Missing` if there is none.
    pub fn seek_floor(&mut self, key: &Key) -> Result<Sought> {
        self.release();
        let mut key = *key;
        loop {
            let found = self.tree.find_leaf(&key, self.reach)?;
            let behind = match Leaf::new(found.leaf.bytes()).search(&key) {
                Ok(slot) => slot.saturating_add(1),
                Err(slot) => slot,
            };
            if let Some(slot) = behind.checked_sub(1) {
                self.position = Some(Position { found, slot });
                return Ok(Sought::Found);
            }
            // Only at the left edge, unless a parent's key is lower than its child's.
            match found.lower.and_then(Key::predecessor) {
                Some(before) => key = before,
                None => return Ok(Sought::Missing),
            }
        }
    }

    /// The item it stands at; `None` past either end.
    pub fn item(&self) -> Option<(Key, &[u8])> {
        let position = self.position.as_ref()?;
        Leaf::new(position.found.leaf.bytes()).item(position.slot)
    }

    /// Moves to the next item, or past the right end.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result {
        if let Some(position) = self.position.as_mut() {
            position.slot = position.slot.saturating_add(1);
        }
        self.skip_forward()
    }

    /// Lets go of all latches. The cursor stands nowhere afterwards.
    pub fn release(&mut self) {
        self.position = None;
    }

    /// Moves on while the slot is behind its leaf's last.
    fn skip_forward(&mut self) -> Result {
        while let Some(position) = self.position.take() {
            if position.slot < Leaf::new(position.found.leaf.bytes()).nritems() {
                self.position = Some(position);
                return Ok(());
            }
            match self.next_leaf(position.found)? {
                Way::Neighbour(position) => self.position = Some(position),
                Way::Search(key) => {
                    let found = self.tree.find_leaf(&key, self.reach)?;
                    let slot = Leaf::new(found.leaf.bytes())
                        .search(&key)
                        .unwrap_or_else(|slot| slot);
                    self.position = Some(Position { found, slot });
                }
                Way::End => {}
            }
        }
        Ok(())
    }

    /// The way to the leaf after `found`, which is let go before any other is locked.
    fn next_leaf(&self, found: Found) -> Result<Way> {
        let Found {
            leaf,
            parent,
            beyond,
            nofs,
            ..
        } = found;
        drop(leaf);
        let Some((parent, slot)) = parent else {
            return Ok(Way::End);
        };
        let slot = slot.saturating_add(1);
        let Some(child) = Node::new(parent.bytes()).child(slot) else {
            let wanted = beyond.filter(|first| *first <= self.last);
            return Ok(wanted.map_or(Way::End, Way::Search));
        };
        if child.key > self.last {
            return Ok(Way::End);
        }
        if self.reach == Reach::Device {
            self.read_ahead(&parent, slot);
        }
        let leaf = self.tree.read_child(&child, 0, self.reach)?;
        let found = Found {
            leaf,
            parent: Some((parent, slot)),
            lower: Some(child.key),
            beyond,
            nofs,
        };
        Ok(Way::Neighbour(Position { found, slot: 0 }))
    }

    /// Starts reading the leaves behind `slot`: who goes from one leaf to the next will want more.
    fn read_ahead(&self, parent: &Reading, slot: usize) {
        let node = Node::new(parent.bytes());
        for ahead in 1..=READ_AHEAD {
            let Some(child) = node.child(slot.saturating_add(ahead)) else {
                break;
            };
            self.tree
                .store()
                .read_ahead(child.addr, &self.tree.expected(&child, 0));
        }
    }
}
