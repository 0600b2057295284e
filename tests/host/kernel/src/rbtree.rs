// SPDX-License-Identifier: GPL-2.0
//! An ordered map (kernel: `rust/kernel/rbtree.rs`), over std's.

use crate::alloc::{inject, Flags};
use crate::error::Result;
use core::marker::PhantomData;
use core::ops::Bound;
use std::collections::{btree_map, BTreeMap};

/// A map ordered by its keys.
pub struct RBTree<K, V>(BTreeMap<K, V>);

/// Memory for a node.
pub struct RBTreeNodeReservation<K, V>(PhantomData<(K, V)>);

/// A node outside of a tree.
pub struct RBTreeNode<K, V>(K, V);

impl<K, V> RBTreeNodeReservation<K, V> {
    /// Allocates a node.
    pub fn new(flags: Flags) -> Result<Self> {
        // Three pointers for the links.
        inject::allocate(size_of::<(K, V)>() + 24, flags)?;
        Ok(Self(PhantomData))
    }

    /// Fills the node.
    pub fn into_node(self, key: K, value: V) -> RBTreeNode<K, V> {
        RBTreeNode(key, value)
    }
}

impl<K, V> RBTreeNode<K, V> {
    /// Allocates and fills a node.
    pub fn new(key: K, value: V, flags: Flags) -> Result<Self> {
        Ok(RBTreeNodeReservation::new(flags)?.into_node(key, value))
    }

    /// Takes the contents out.
    pub fn to_key_value(self) -> (K, V) {
        (self.0, self.1)
    }

    /// Drops the contents and keeps the memory.
    pub fn into_reservation(self) -> RBTreeNodeReservation<K, V> {
        RBTreeNodeReservation(PhantomData)
    }
}

impl<K, V> RBTree<K, V> {
    /// An empty tree.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All nodes in order.
    pub fn iter(&self) -> btree_map::Iter<'_, K, V> {
        self.0.iter()
    }

    /// All nodes in order, to change.
    pub fn iter_mut(&mut self) -> btree_map::IterMut<'_, K, V> {
        self.0.iter_mut()
    }
}

impl<K: Ord, V> RBTree<K, V> {
    /// Inserts a node; returns the one it replaced.
    pub fn insert(&mut self, node: RBTreeNode<K, V>) -> Option<RBTreeNode<K, V>> {
        let old = self.0.remove_entry(&node.0);
        self.0.insert(node.0, node.1);
        old.map(|(key, value)| RBTreeNode(key, value))
    }

    /// The key's value.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// The key's value, to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// Takes a node out.
    pub fn remove_node(&mut self, key: &K) -> Option<RBTreeNode<K, V>> {
        self.0
            .remove_entry(key)
            .map(|(key, value)| RBTreeNode(key, value))
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    /// At the first node whose key is `key` or larger.
    pub fn cursor_lower_bound(&self, key: &K) -> Option<Cursor<'_, K, V>> {
        Cursor::at(self.0.lower_bound(Bound::Included(key)))
    }

    /// At the first node.
    pub fn cursor_front(&self) -> Option<Cursor<'_, K, V>> {
        Cursor::at(self.0.lower_bound(Bound::Unbounded))
    }

    /// At the last node.
    pub fn cursor_back(&self) -> Option<Cursor<'_, K, V>> {
        let mut cursor = self.0.upper_bound(Bound::Unbounded);
        cursor.prev();
        Cursor::at(cursor)
    }
}

/// A place in a tree; always at a node. What it shows lives as long as the borrow of the cursor, and it
/// cannot move, as in the kernel.
pub struct Cursor<'a, K, V>(btree_map::Cursor<'a, K, V>);

impl<'a, K, V> Cursor<'a, K, V> {
    // std's stands in the gap before our node.
    fn at(cursor: btree_map::Cursor<'a, K, V>) -> Option<Self> {
        cursor.peek_next().is_some().then_some(Self(cursor))
    }

    /// The node here.
    pub fn current(&self) -> (&K, &V) {
        self.0.peek_next().expect("a cursor stands at a node")
    }

    /// The previous node.
    pub fn peek_prev(&self) -> Option<(&K, &V)> {
        self.0.peek_prev()
    }

    /// The next node.
    pub fn peek_next(&self) -> Option<(&K, &V)> {
        let mut next = self.0.clone();
        next.next();
        next.peek_next()
    }
}
