// SPDX-License-Identifier: GPL-2.0
//! The stand-in's lock order checker finds what it is there for.

use kernel::sync::Arc;
use latch::{class, lockdep, Condvar, Latched, Mutex, Nesting, RwLock, Side, TreeKind};
use std::panic::{catch_unwind, AssertUnwindSafe};

fn panics(call: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(call)).expect_err("must panic");
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| text.to_string()))
        .unwrap()
}

#[test]
fn inverted_order_panics() {
    let a = Mutex::new(1, class!("a")).unwrap();
    let b = RwLock::new(2, class!("b")).unwrap();
    let c = Mutex::new(3, class!("c")).unwrap();
    {
        let _a = a.lock();
        let _b = b.read();
    }
    {
        let _b = b.write();
        let _c = c.lock();
    }
    let text = panics(|| {
        let _c = c.lock();
        let _a = a.lock();
    });
    assert!(
        text.contains("a taken under c, but before: a -> b -> c"),
        "{text}"
    );
    assert_eq!(lockdep::held(), 0);
    // Without waiting it is allowed.
    let _c = c.lock();
    assert!(a.try_lock().is_some());
}

#[test]
fn recursion_panics() {
    let lock = RwLock::new(1, class!("recursive")).unwrap();
    let text = panics(|| {
        let _first = lock.read();
        let _second = lock.read();
    });
    assert!(text.contains("taken twice"), "{text}");
}

#[test]
fn two_of_a_class_panic() {
    let make = || Mutex::new(1, class!("siblings")).unwrap();
    let (first, second) = (make(), make());
    let text = panics(|| {
        let _first = first.lock();
        let _second = second.lock();
    });
    assert!(text.contains("without nesting"), "{text}");
}

#[test]
fn tree_blocks_nest_by_level_and_side() {
    let block = |n| Latched::new((), n).unwrap();
    let at = |level, side| Nesting {
        tree: TreeKind::Quota,
        level,
        side,
    };
    let (parent, child, right) = (block(1), block(2), block(3));
    {
        let p = Latched::read(&parent, at(1, Side::Path));
        let mut c = Latched::write(&child, at(0, Side::Path));
        let _r = Latched::write(&right, at(0, Side::Right));
        *c += *p;
        assert!(Arc::ptr_eq(c.latched(), &child));
        assert!(Latched::try_write(&child).is_none());
    }
    assert_eq!(*Latched::read(&child, at(0, Side::Path)), 3);
    let text = panics(|| {
        let _c = Latched::read(&child, at(0, Side::Path));
        let _p = Latched::read(&parent, at(1, Side::Path));
    });
    assert!(text.contains("lock order"), "{text}");
}

#[test]
fn a_guard_outlives_other_references() {
    let block = Latched::new("meta", std::vec![1, 2, 3]).unwrap();
    let guard = Latched::read(
        &block,
        Nesting {
            tree: TreeKind::Uuid,
            level: 0,
            side: Side::Path,
        },
    );
    drop(block);
    assert_eq!((guard.latched().meta(), guard.len()), (&"meta", 3));
}

#[test]
fn condvar_wakes() {
    let state = std::sync::Arc::new((
        Mutex::new(false, class!("m")).unwrap(),
        Condvar::new(class!("v")).unwrap(),
    ));
    let other = state.clone();
    let waiter = std::thread::spawn(move || {
        let mut done = other.0.lock();
        while !*done {
            other.1.wait(&mut done);
        }
    });
    *state.0.lock() = true;
    state.1.notify_all();
    waiter.join().unwrap();
}
