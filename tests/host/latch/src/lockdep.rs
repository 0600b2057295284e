// SPDX-License-Identifier: GPL-2.0
//! The order in which classes of locks are taken, for the whole process. Taking two locks against an order seen before,
//! a lock twice, or two of one class panics: what could deadlock, deadlocks in the test that does it.

use crate::Nesting;
use core::sync::atomic::{AtomicU32, Ordering};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, OnceLock};

/// A class of locks that are taken in the same places.
pub struct Class {
    name: &'static str,
    // 0 until first used.
    id: AtomicU32,
}

impl Class {
    /// A class; use [`crate::class`].
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            id: AtomicU32::new(0),
        }
    }

    /// The class's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn id(&self) -> ClassId {
        let id = self.id.load(Ordering::Acquire);
        if id != 0 {
            return ClassId(id);
        }
        let mut graph = graph();
        // Another thread may have been first.
        let id = self.id.load(Ordering::Acquire);
        if id != 0 {
            return ClassId(id);
        }
        let id = graph.add(self.name.to_string());
        self.id.store(id.0, Ordering::Release);
        id
    }
}

/// A class, as the graph knows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ClassId(u32);

#[derive(Default)]
struct Graph {
    names: Vec<String>,
    nestings: HashMap<Nesting, ClassId>,
    after: HashMap<ClassId, HashSet<ClassId>>,
}

impl Graph {
    fn add(&mut self, name: String) -> ClassId {
        self.names.push(name);
        ClassId(self.names.len() as u32)
    }

    fn name(&self, id: ClassId) -> &str {
        &self.names[id.0 as usize - 1]
    }

    /// A path of classes from `from` to `to`, each taken under the one before.
    fn path(&self, from: ClassId, to: ClassId) -> Option<Vec<ClassId>> {
        let mut came_from = HashMap::new();
        let mut open = vec![from];
        while let Some(here) = open.pop() {
            if here == to {
                let mut path = vec![to];
                let mut at = to;
                while at != from {
                    at = came_from[&at];
                    path.push(at);
                }
                path.reverse();
                return Some(path);
            }
            for &next in self.after.get(&here).into_iter().flatten() {
                if next != from && !came_from.contains_key(&next) {
                    came_from.insert(next, here);
                    open.push(next);
                }
            }
        }
        None
    }
}

fn graph() -> std::sync::MutexGuard<'static, Graph> {
    static GRAPH: OnceLock<Mutex<Graph>> = OnceLock::new();
    GRAPH
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// How a lock is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attempt {
    /// Waits: must fit the order.
    Wait,
    /// Does not wait: cannot deadlock, but what is taken under it can.
    Try,
}

#[derive(Clone, Copy)]
struct Held {
    class: ClassId,
    lock: usize,
}

thread_local! {
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
    // Pairs known to fit, to spare the global lock.
    static KNOWN: RefCell<HashSet<(ClassId, ClassId)>> = RefCell::new(HashSet::new());
}

pub(crate) fn of_class(class: &Class) -> ClassId {
    class.id()
}

pub(crate) fn of_nesting(nesting: Nesting) -> ClassId {
    thread_local! {
        static CACHE: RefCell<HashMap<Nesting, ClassId>> = RefCell::new(HashMap::new());
    }
    CACHE.with_borrow_mut(|cache| {
        *cache.entry(nesting).or_insert_with(|| {
            let mut graph = graph();
            if let Some(&id) = graph.nestings.get(&nesting) {
                return id;
            }
            let id = graph.add(format!("{nesting:?}"));
            graph.nestings.insert(nesting, id);
            id
        })
    })
}

/// Called before the lock at address `lock` is taken.
pub(crate) fn check(class: ClassId, lock: usize, attempt: Attempt) {
    if attempt == Attempt::Try {
        return;
    }
    HELD.with_borrow(|held| {
        for held in held {
            check_pair(*held, class, lock);
        }
    });
}

fn check_pair(held: Held, class: ClassId, lock: usize) {
    if held.lock == lock {
        panic!(
            "lock order: {} taken twice by one task",
            graph().name(class).to_string()
        );
    }
    if held.class == class {
        panic!(
            "lock order: two locks of class {} without nesting",
            graph().name(class).to_string()
        );
    }
    let pair = (held.class, class);
    if KNOWN.with_borrow(|known| known.contains(&pair)) {
        return;
    }
    let mut graph = graph();
    if let Some(path) = graph.path(class, held.class) {
        let names: Vec<&str> = path.iter().map(|&id| graph.name(id)).collect();
        let text = format!(
            "lock order: {} taken under {}, but before: {}",
            graph.name(class),
            graph.name(held.class),
            names.join(" -> "),
        );
        drop(graph);
        panic!("{text}");
    }
    graph.after.entry(held.class).or_default().insert(class);
    drop(graph);
    KNOWN.with_borrow_mut(|known| known.insert(pair));
}

/// A lock that this thread has, until dropped.
pub(crate) struct Token {
    class: ClassId,
    lock: usize,
    // Locks are released by the thread that took them.
    _thread: core::marker::PhantomData<*const ()>,
}

/// Called when the lock was taken.
pub(crate) fn taken(class: ClassId, lock: usize) -> Token {
    HELD.with_borrow_mut(|held| held.push(Held { class, lock }));
    Token {
        class,
        lock,
        _thread: core::marker::PhantomData,
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            let ours = |held: &Held| held.lock == self.lock && held.class == self.class;
            if let Some(at) = held.iter().rposition(ours) {
                held.remove(at);
            }
        });
    }
}

/// How many locks this thread holds. For tests: nothing may be held where the engine was left.
pub fn held() -> usize {
    HELD.with_borrow(Vec::len)
}
