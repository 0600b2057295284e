// SPDX-License-Identifier: GPL-2.0
//! Values by key that are in memory as long as somebody uses them: open trees, subvolumes, what the VFS shows of these.
//!
//! The kernel's `Arc` has no weak pointer, so the users of an entry are counted here. Who uses it already makes and drops
//! further [`Registered`] without a lock, but for the last: that one goes under the registry's lock, and the entry with
//! it. A look-up, under the same lock, finds an entry that stays or none (C: `atomic_dec_and_lock`). Nothing is allocated
//! or dropped under the lock, so a value may go wherever its last user does, in memory reclaim too.
//!
//! Who makes a value of something that changes has to see to it that nobody else makes, changes and drops one meanwhile:
//! [`Registry::add`] prefers the one that is there, and knows nothing of one that was. [`Registry::get_or_make`] sees to
//! it.

use crate::map::{OrdMap, Spare};
use core::ops::Deref;
use core::sync::atomic::{AtomicUsize, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, NofsScope, Rank};

/// Values by key, each as long as somebody uses it.
pub struct Registry<K: Ord + Copy + Unpin, V: Unpin> {
    table: Arc<Table<K, V>>,
}

struct Table<K: Ord + Copy + Unpin, V: Unpin> {
    entries: Mutex<OrdMap<K, Arc<Entry<K, V>>>>,
    /// Whether a value that nobody uses may go.
    may_go: fn(&V) -> bool,
}

struct Entry<K, V> {
    key: K,
    /// It becomes 0, and more again, only with the table locked.
    users: AtomicUsize,
    value: V,
}

/// One use of a value of a [`Registry`].
pub struct Registered<K: Ord + Copy + Unpin, V: Unpin> {
    table: Arc<Table<K, V>>,
    entry: Arc<Entry<K, V>>,
}

impl<K: Ord + Copy + Unpin, V: Unpin> Registry<K, V> {
    /// A registry without values. `rank` is that of its lock. A value stays without users as long as `may_go` says no.
    pub fn new(rank: Rank, may_go: fn(&V) -> bool) -> Result<Self> {
        let table = Table {
            entries: Mutex::new(OrdMap::new(), rank)?,
            may_go,
        };
        Ok(Self {
            table: Arc::new(table, GFP_NOFAIL)?,
        })
    }

    /// The value of `key`, if there is one.
    pub fn get(&self, key: &K) -> Option<Registered<K, V>> {
        let entries = self.table.entries.lock();
        entries.get(key).map(|entry| self.used(entry))
    }

    /// The value with the lowest key that is `key` or higher.
    pub fn ceiling(&self, key: &K) -> Option<Registered<K, V>> {
        let entries = self.table.entries.lock();
        entries.ceiling(key).map(|(_, entry)| self.used(entry))
    }

    /// The value of `key`, which `make` makes if there is none. `making` is held from then on until the value is among the
    /// others: meanwhile nobody else can make it, change it, and let it go again. Memory reclaim does not come in either, which
    /// lets values go and, to delete a file, makes some. What it guards outlasts the values, and is for `make`.
    pub fn get_or_make<M: Unpin>(
        &self,
        key: K,
        making: &Mutex<M>,
        make: impl FnOnce(&mut M) -> Result<V>,
    ) -> Result<Registered<K, V>> {
        if let Some(value) = self.get(&key) {
            return Ok(value);
        }
        let _nofs = NofsScope::enter();
        let mut making = making.lock();
        match self.get(&key) {
            Some(value) => Ok(value),
            None => self.add(key, make(&mut making)?),
        }
    }

    /// Enters a value. Where there is one for this key it is that one, and `value` is dropped.
    pub fn add(&self, key: K, value: V) -> Result<Registered<K, V>> {
        let entry = Entry {
            key,
            users: AtomicUsize::new(0),
            value,
        };
        let entry = Arc::new(entry, GFP_NOFAIL)?;
        let spare = Spare::new(GFP_NOFAIL)?;
        let mut entries = self.table.entries.lock();
        if let Some(first) = entries.get(&key) {
            return Ok(self.used(first));
        }
        entries.insert_spare(spare, key, entry.clone());
        Ok(self.used(&entry))
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.table.entries.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts one use more of an entry. The caller has the table locked.
    fn used(&self, entry: &Arc<Entry<K, V>>) -> Registered<K, V> {
        entry.users.fetch_add(1, Ordering::Relaxed);
        Registered {
            table: self.table.clone(),
            entry: entry.clone(),
        }
    }
}

impl<K: Ord + Copy + Unpin, V: Unpin> Registered<K, V> {
    /// The value's key.
    pub fn key(&self) -> K {
        self.entry.key
    }

    /// Whether both are uses of one value.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entry, &other.entry)
    }
}

impl<K: Ord + Copy + Unpin, V: Unpin> Clone for Registered<K, V> {
    fn clone(&self) -> Self {
        // There is a user: this one.
        self.entry.users.fetch_add(1, Ordering::Relaxed);
        Self {
            table: self.table.clone(),
            entry: self.entry.clone(),
        }
    }
}

impl<K: Ord + Copy + Unpin, V: Unpin> Deref for Registered<K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.entry.value
    }
}

impl<K: Ord + Copy + Unpin, V: Unpin> Drop for Registered<K, V> {
    fn drop(&mut self) {
        let users = &self.entry.users;
        let one_of_many = |users: usize| users.checked_sub(1).filter(|left| *left > 0);
        let left = users.fetch_update(Ordering::Release, Ordering::Relaxed, one_of_many);
        if left.is_ok() {
            return;
        }
        let mut entries = self.table.entries.lock();
        // A look-up may have come between: only now nobody can any more.
        if users.fetch_sub(1, Ordering::AcqRel) == 1 && (self.table.may_go)(&self.entry.value) {
            let gone = entries.remove(&self.entry.key);
            drop(entries);
            drop(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::vec::Vec;

    const KEYS: usize = 3;

    /// Who has which value of each key now: no key has two that are used at once.
    #[derive(Default)]
    struct Witness {
        used: std::sync::Mutex<[(usize, usize); KEYS]>,
        made: AtomicUsize,
        alive: AtomicUsize,
    }

    struct Value {
        number: usize,
        witness: std::sync::Arc<Witness>,
        may_go: AtomicBool,
    }

    impl Value {
        fn new(witness: &std::sync::Arc<Witness>) -> Self {
            witness.alive.fetch_add(1, Ordering::Relaxed);
            Self {
                number: witness.made.fetch_add(1, Ordering::Relaxed),
                witness: witness.clone(),
                may_go: AtomicBool::new(true),
            }
        }
    }

    impl Drop for Value {
        fn drop(&mut self) {
            assert_eq!(latch::lockdep::held(), 0);
            self.witness.alive.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn registry() -> Registry<usize, Value> {
        Registry::new(Rank::OpenTrees, |value: &Value| {
            value.may_go.load(Ordering::Relaxed)
        })
        .unwrap()
    }

    #[test]
    fn the_last_user_takes_the_value_along() {
        let witness = std::sync::Arc::default();
        let registry = registry();
        let first = registry.add(1, Value::new(&witness)).unwrap();
        let again = registry.add(1, Value::new(&witness)).unwrap();
        assert!(first.is_same(&again) && first.is_same(&registry.get(&1).unwrap()));
        assert_eq!(witness.alive.load(Ordering::Relaxed), 1);
        let copy = again.clone();
        drop((first, again));
        assert_eq!((registry.len(), copy.number), (1, 0));
        drop(copy);
        assert!(registry.is_empty() && registry.get(&1).is_none());
        assert_eq!(witness.alive.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_value_that_may_not_go_stays_until_a_later_user_goes() {
        let witness = std::sync::Arc::default();
        let registry = registry();
        let user = registry.add(1, Value::new(&witness)).unwrap();
        user.may_go.store(false, Ordering::Relaxed);
        drop(user);
        let user = registry.get(&1).unwrap();
        user.may_go.store(true, Ordering::Relaxed);
        assert_eq!(registry.len(), 1);
        drop(user);
        assert!(registry.is_empty());
        assert_eq!(witness.alive.load(Ordering::Relaxed), 0);
    }

    fn come_and_go(registry: &Registry<usize, Value>, witness: &std::sync::Arc<Witness>) {
        for round in 0..4000 {
            let key = round % KEYS;
            let user = match registry.get(&key) {
                Some(user) => user,
                None => registry.add(key, Value::new(witness)).unwrap(),
            };
            {
                let mut used = witness.used.lock().unwrap();
                let (number, users) = &mut used[key];
                assert!(*users == 0 || *number == user.number);
                (*number, *users) = (user.number, *users + 1);
            }
            let copies: Vec<_> = (0..round % 4).map(|_| user.clone()).collect();
            witness.used.lock().unwrap()[key].1 -= 1;
            drop(user);
            drop(copies);
        }
    }

    #[test]
    fn one_value_of_a_key_is_used_at_a_time() {
        let witness = std::sync::Arc::default();
        let registry = registry();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| come_and_go(&registry, &witness));
            }
        });
        assert!(registry.is_empty());
        assert_eq!(witness.alive.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_several_miss_at_once_is_made_once() {
        const TASKS: usize = 4;
        let witness = std::sync::Arc::default();
        let registry = registry();
        let making = Mutex::new((), Rank::TreeOpening).unwrap();
        let start = std::sync::Barrier::new(TASKS);
        let make = |(): &mut ()| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            Ok(Value::new(&witness))
        };
        let get = || {
            start.wait();
            registry.get_or_make(1, &making, make).unwrap()
        };
        std::thread::scope(|scope| {
            let tasks: Vec<_> = (0..TASKS).map(|_| scope.spawn(get)).collect();
            let users: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
            assert!(users.iter().all(|user| user.is_same(&users[0])));
        });
        assert_eq!(witness.made.load(Ordering::Relaxed), 1);
    }
}
