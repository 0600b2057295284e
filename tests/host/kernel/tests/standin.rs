// SPDX-License-Identifier: GPL-2.0
//! The stand-in behaves as the kernel's crate where the engine relies on it.

use kernel::alloc::inject;
use kernel::prelude::*;
use kernel::print::Capture;
use kernel::sync::Arc;

trait Speak {
    fn speak(self: &Arc<Self>) -> usize
    where
        Self: Sized;
    fn name(&self) -> usize;
}

struct Dog;

impl Speak for Dog {
    fn speak(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }
    fn name(&self) -> usize {
        7
    }
}

struct Shown(u64);

impl kernel::fmt::Display for Shown {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        f.write_fmt(fmt!("<{}>", self.0))
    }
}

#[test]
fn pointers_coerce() {
    let dog = Arc::new(Dog, GFP_KERNEL).unwrap();
    dog.speak();
    let dynamic: Arc<dyn Speak> = dog;
    let boxed: KBox<dyn Speak> = KBox::new(Dog, GFP_KERNEL).unwrap();
    assert_eq!(dynamic.name() + boxed.name(), 14);
}

#[test]
fn the_log_is_captured() {
    let log = Capture::new();
    let value = Shown(3);
    pr_err!("value {} {value} {x:#x} {:?}\n", value, EUCLEAN, x = 255);
    assert_eq!(log.lines(), ["err: value <3> <3> 0xff EUCLEAN"]);
}

#[test]
fn allocations_fail_on_demand() {
    let mut vec = KVec::new();
    {
        let _failing = inject::fail_nth(1);
        assert!(vec.push(1u8, GFP_KERNEL).is_ok());
        assert!(Arc::new(1, GFP_KERNEL).is_err());
        assert!(Arc::new(1, GFP_KERNEL).is_ok());
    }
    let _failing = inject::fail_randomly(1, 2);
    let failed = (0..1000)
        .filter(|_| KBox::new(1, GFP_KERNEL).is_err())
        .count();
    assert!((400..600).contains(&failed), "{failed}");
}

#[test]
fn some_allocations_do_not_fail() {
    let _failing = inject::fail_randomly(1, 1);
    assert!(KBox::new(1, GFP_KERNEL).is_err());
    assert!(KBox::new(1, GFP_NOFAIL).is_ok());
    assert!(KVVec::from_elem(0u8, 16384, GFP_NOFAIL).is_ok());
    let large = std::panic::catch_unwind(|| KVec::from_elem(0u8, 16384, GFP_NOFAIL));
    assert!(large.is_err(), "kmalloc is not asked for that much");
}

#[test]
fn kmalloc_has_a_limit() {
    assert!(KVec::from_elem(0u8, (4 << 20) + 1, GFP_KERNEL).is_err());
    assert!(KVVec::from_elem(0u8, (4 << 20) + 1, GFP_KERNEL).is_ok());
    assert_eq!(
        (EUCLEAN.to_errno(), EOPNOTSUPP.to_errno(), ENOSPC.to_errno()),
        (-117, -95, -28)
    );
}
