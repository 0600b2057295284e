// SPDX-License-Identifier: GPL-2.0
//! The stand-in's lock order checker finds what it is there for.

use kernel::sync::Arc;
use latch::{lockdep, Condvar, Latched, Mutex, Nesting, Place, Rank, RwLock, Side, TreeKind};
use std::panic::{catch_unwind, AssertUnwindSafe};

fn panics(call: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(call)).expect_err("must panic");
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| text.to_string()))
        .unwrap()
}

const FILES: TreeKind = TreeKind::Files;

fn at(tree: TreeKind, level: u8, side: Side) -> Nesting {
    Nesting { tree, level, side }
}

#[test]
fn an_earlier_rank_is_refused_the_first_time() {
    let outer = Mutex::new(1, Rank::InodeState).unwrap();
    let inner = RwLock::new(2, Rank::BlockGroups).unwrap();
    // Nobody has taken them in the right order yet, and nobody else takes them at all.
    let text = panics(|| {
        let _inner = inner.read();
        let _outer = outer.lock();
    });
    assert!(
        text.contains("InodeState taken under BlockGroups"),
        "{text}"
    );
    assert_eq!(lockdep::held(), 0);
    {
        let _outer = outer.lock();
        let _inner = inner.write();
    }
    // Without waiting it is allowed.
    let _inner = inner.read();
    assert!(outer.try_lock().is_some());
}

#[test]
fn what_was_only_tried_has_its_rank_as_well() {
    let outer = Mutex::new(1, Rank::InodeState).unwrap();
    let inner = Mutex::new(2, Rank::BlockGroup).unwrap();
    let text = panics(|| {
        let _inner = inner.try_lock();
        let _outer = outer.lock();
    });
    assert!(text.contains("InodeState taken under BlockGroup"), "{text}");
}

#[test]
fn the_order_of_ranks_does_not_hang_on_what_was_between() {
    let outer = Mutex::new(1, Rank::InodeState).unwrap();
    let between = Mutex::new(2, Rank::DelayedRefs).unwrap();
    let inner = Mutex::new(3, Rank::SpaceTotals).unwrap();
    let text = panics(|| {
        let _inner = inner.lock();
        let _between = between.try_lock();
        let _outer = outer.lock();
    });
    assert!(text.contains("InodeState taken under"), "{text}");
}

#[test]
fn recursion_panics() {
    let lock = RwLock::new(1, Rank::BlockGroups).unwrap();
    let text = panics(|| {
        let _first = lock.read();
        let _second = lock.read();
    });
    assert!(text.contains("taken twice"), "{text}");
}

#[test]
fn two_of_a_rank_panic() {
    let make = || Mutex::new(1, Rank::BlockGroup).unwrap();
    let (first, second) = (make(), make());
    let text = panics(|| {
        let _first = first.lock();
        let _second = second.lock();
    });
    assert!(text.contains("BlockGroup taken under BlockGroup"), "{text}");
}

#[test]
fn the_extents_of_two_inodes_are_never_held_at_once() {
    let make = || RwLock::new(1, Rank::InodeExtents).unwrap();
    let (one, other) = (make(), make());
    // Whichever is first: nobody knows who else does it the other way round.
    for (first, second) in [(&one, &other), (&other, &one)] {
        let text = panics(|| {
            let _first = first.write();
            let _second = second.write();
        });
        assert!(
            text.contains("InodeExtents taken under InodeExtents"),
            "{text}"
        );
    }
    assert_eq!(lockdep::held(), 0);
}

#[test]
fn a_place_is_taken_once_and_in_its_order() {
    let text = panics(|| {
        let _first = Place::take(Rank::Transaction);
        let _second = Place::take(Rank::Transaction);
    });
    assert!(text.contains("taken twice"), "{text}");
    let state = Mutex::new(1, Rank::InodeState).unwrap();
    let text = panics(|| {
        let _state = state.lock();
        let _handle = Place::take(Rank::Transaction);
    });
    assert!(
        text.contains("Transaction taken under InodeState"),
        "{text}"
    );
}

#[test]
fn blocks_of_extents_come_after_those_of_files() {
    let block = |n| Latched::shared((), n).unwrap();
    let (file, extent, sums) = (block(1), block(2), block(3));
    let runner = Mutex::new((), Rank::RefsRunner).unwrap();
    {
        let _file = Latched::write(&file, at(FILES, 0, Side::Path));
        let _runner = runner.lock();
        let _extent = Latched::read(&extent, at(TreeKind::Extent, 3, Side::Path));
    }
    let text = panics(|| {
        let _extent = Latched::read(&extent, at(TreeKind::Extent, 3, Side::Path));
        let _file = Latched::write(&file, at(FILES, 0, Side::Path));
    });
    assert!(text.contains("FileTree"), "{text}");
    // Those of one tree at a time.
    let text = panics(|| {
        let _extent = Latched::read(&extent, at(TreeKind::Extent, 3, Side::Path));
        let _sums = Latched::read(&sums, at(TreeKind::Checksums, 0, Side::Path));
    });
    assert!(text.contains("MetadataTree"), "{text}");
}

#[test]
fn the_right_to_write_comes_before_tree_blocks() {
    let order = Mutex::new((), Rank::WriteOrder).unwrap();
    let block = Latched::shared((), ()).unwrap();
    for tree in [FILES, TreeKind::Root, TreeKind::Chunk, TreeKind::Other] {
        let text = panics(|| {
            let _block = Latched::read(&block, at(tree, 0, Side::Path));
            let _order = order.lock();
        });
        assert!(text.contains("WriteOrder taken under"), "{text}");
        let _order = order.lock();
        let _block = Latched::write(&block, at(tree, 0, Side::Path));
    }
    // Nor where the block was only tried.
    let text = panics(|| {
        let _block = Latched::try_write(&block);
        let _order = order.lock();
    });
    assert!(text.contains("WriteOrder taken under"), "{text}");
}

#[test]
fn a_writer_of_blocks_takes_nothing_that_comes_before_them() {
    let block = Latched::shared((), ()).unwrap();
    let state = Mutex::new((), Rank::InodeState).unwrap();
    let text = panics(|| {
        let _block = Latched::write(&block, at(TreeKind::Other, 0, Side::Path));
        let _state = state.lock();
    });
    assert!(text.contains("InodeState taken under FileTree"), "{text}");
}

#[test]
fn tree_blocks_nest_by_level_and_side() {
    let block = |n| Latched::shared((), n).unwrap();
    let at = |level, side| at(TreeKind::Quota, level, side);
    let (parent, child, right, new) = (block(1), block(2), block(3), block(4));
    {
        let p = Latched::read(&parent, at(1, Side::Path));
        let mut c = Latched::write(&child, at(0, Side::Path));
        let _r = Latched::write(&right, at(0, Side::Right));
        let _n = Latched::write(&new, at(1, Side::New));
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
    let text = panics(|| {
        let _c = Latched::read(&child, at(0, Side::Path));
        let _l = Latched::read(&right, at(0, Side::Left));
    });
    assert!(text.contains("lock order"), "{text}");
}

#[test]
fn a_guard_outlives_other_references() {
    let block = Latched::shared("meta", std::vec![1, 2, 3]).unwrap();
    let guard = Latched::read(&block, at(TreeKind::Uuid, 0, Side::Path));
    drop(block);
    assert_eq!((guard.latched().meta(), guard.len()), (&"meta", 3));
}

#[test]
fn condvar_wakes() {
    let state = std::sync::Arc::new((
        Mutex::new(false, Rank::Joining).unwrap(),
        Condvar::new(Rank::Joining).unwrap(),
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
