// SPDX-License-Identifier: GPL-2.0
//! An ordered map, over the kernel's red-black tree; short ordered lists.

use kernel::alloc::{Allocator, Flags};
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use latch::prelude::*;

/// A map ordered by its keys. Insertion waits for memory; nothing else allocates.
///
/// Each call is one or two descents. A tree's cursor lends what it shows for as long as the cursor lives, which is
/// less than callers need; so the key is found by a cursor and the entry by the key, and the entry holds a copy of it.
pub struct OrdMap<K, V> {
    tree: RBTree<K, (K, V)>,
    len: usize,
}

/// Memory for one entry, to insert later without failing.
pub struct Spare<K, V>(RBTreeNodeReservation<K, (K, V)>);

impl<K, V> Spare<K, V> {
    /// Allocates room for an entry; `ENOMEM`, where `flags` let it.
    pub fn new(flags: Flags) -> Result<Self> {
        Ok(Self(RBTreeNodeReservation::new(flags)?))
    }
}

impl<K: Ord + Copy, V> Default for OrdMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord + Copy, V> OrdMap<K, V> {
    /// An empty map, without an allocation.
    pub fn new() -> Self {
        Self {
            tree: RBTree::new(),
            len: 0,
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets the key's value; returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Result<Option<V>> {
        if let Some(slot) = self.get_mut(&key) {
            return Ok(Some(core::mem::replace(slot, value)));
        }
        self.insert_spare(Spare::new(GFP_NOFAIL)?, key, value);
        Ok(None)
    }

    /// Sets the key's value in memory allocated before; returns the one it had.
    pub fn insert_spare(&mut self, spare: Spare<K, V>, key: K, value: V) -> Option<V> {
        match self.tree.insert(spare.0.into_node(key, (key, value))) {
            Some(old) => Some(old.to_key_value().1 .1),
            None => {
                self.len = self.len.saturating_add(1);
                None
            }
        }
    }

    /// The key's value.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The key's value, to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.tree.get_mut(key).map(|(_, value)| value)
    }

    /// Whether the key has a value.
    pub fn contains_key(&self, key: &K) -> bool {
        self.tree.get(key).is_some()
    }

    /// Takes the key's value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (_, value) = self.tree.remove(key)?;
        self.len = self.len.saturating_sub(1);
        Some(value)
    }

    /// Drops the key's value and keeps the entry's memory for another insertion.
    pub fn remove_into_spare(&mut self, key: &K) -> Option<Spare<K, V>> {
        let node = self.tree.remove_node(key)?;
        self.len = self.len.saturating_sub(1);
        Some(Spare(node.into_reservation()))
    }

    /// The lowest entry.
    pub fn first(&self) -> Option<(&K, &V)> {
        self.entry(&self.first_key()?)
    }

    /// The highest entry.
    pub fn last(&self) -> Option<(&K, &V)> {
        self.entry(&self.last_key()?)
    }

    /// The highest entry whose key is `key` or lower.
    pub fn floor(&self, key: &K) -> Option<(&K, &V)> {
        self.entry(&self.floor_key(key)?)
    }

    /// The lowest entry whose key is `key` or higher.
    pub fn ceiling(&self, key: &K) -> Option<(&K, &V)> {
        self.entry(&self.ceiling_key(key)?)
    }

    /// Finds what [`Self::floor`] finds, for who changes it.
    pub fn floor_mut(&mut self, key: &K) -> Option<(&K, &mut V)> {
        let key = self.floor_key(key)?;
        self.entry_mut(&key)
    }

    /// Finds what [`Self::ceiling`] finds, for who changes it.
    pub fn ceiling_mut(&mut self, key: &K) -> Option<(&K, &mut V)> {
        let key = self.ceiling_key(key)?;
        self.entry_mut(&key)
    }

    /// Takes the lowest entry out.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        let key = self.first_key()?;
        Some((key, self.remove(&key)?))
    }

    /// Takes the highest entry out.
    pub fn pop_last(&mut self) -> Option<(K, V)> {
        let key = self.last_key()?;
        Some((key, self.remove(&key)?))
    }

    /// Drops all entries.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// All entries, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.tree.iter().map(|(key, (_, value))| (key, value))
    }

    /// All entries, ascending, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.tree.iter_mut().map(|(key, (_, value))| (key, value))
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.tree.iter().map(|(_, (_, value))| value)
    }

    /// The entries whose keys are `key` or higher, ascending. Each step is two descents.
    pub fn range_from(&self, key: &K) -> RangeFrom<'_, K, V> {
        RangeFrom {
            map: self,
            next: self.ceiling_key(key),
        }
    }

    fn entry(&self, key: &K) -> Option<(&K, &V)> {
        self.tree.get(key).map(|(key, value)| (key, value))
    }

    fn entry_mut(&mut self, key: &K) -> Option<(&K, &mut V)> {
        self.tree.get_mut(key).map(|(key, value)| (&*key, value))
    }

    fn first_key(&self) -> Option<K> {
        self.tree.cursor_front().map(|at| *at.current().0)
    }

    fn last_key(&self) -> Option<K> {
        self.tree.cursor_back().map(|at| *at.current().0)
    }

    fn floor_key(&self, key: &K) -> Option<K> {
        let Some(at) = self.tree.cursor_lower_bound(key) else {
            return self.last_key();
        };
        let found = at.current().0;
        if found == key {
            return Some(*found);
        }
        at.peek_prev().map(|(key, _)| *key)
    }

    fn ceiling_key(&self, key: &K) -> Option<K> {
        self.tree.cursor_lower_bound(key).map(|at| *at.current().0)
    }

    fn key_after(&self, key: &K) -> Option<K> {
        self.tree
            .cursor_lower_bound(key)?
            .peek_next()
            .map(|(key, _)| *key)
    }
}

/// Iterates from a key upwards; made by [`OrdMap::range_from`].
pub struct RangeFrom<'a, K, V> {
    map: &'a OrdMap<K, V>,
    next: Option<K>,
}

impl<'a, K: Ord + Copy, V> Iterator for RangeFrom<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.next?;
        self.next = self.map.key_after(&key);
        self.map.entry(&key)
    }
}

/// Adds to an ascending list; equals stay. Costs as many swaps as there are greater ones.
pub fn insert_in_order<T: Ord, A: Allocator>(list: &mut Vec<T, A>, value: T) -> Result {
    list.push(value, GFP_NOFAIL)?;
    let mut rest = list.as_mut_slice();
    while let [front @ .., before, last] = rest {
        if *before <= *last {
            break;
        }
        core::mem::swap(before, last);
        let len = front.len().saturating_add(1);
        rest = rest.get_mut(..len).unwrap_or_default();
    }
    Ok(())
}
