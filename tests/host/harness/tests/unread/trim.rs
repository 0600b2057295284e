// SPDX-License-Identifier: GPL-2.0

//! Devices are told what is free where that has to be read first.

use super::{commit, with_extents, without_a_place, MIB};
use engine::disk::{Bytes, Logical};
use engine::space::{Class, Discard, Trim, Urgency};
use engine::txn::{Options, Units};
use harness::mount::{devices, Access, Mounted};
use kernel::prelude::{Result, EAGAIN, EUCLEAN};
use std::sync::atomic::{AtomicBool, Ordering};

/// All of fstrim: how many bytes it says.
fn trim(mounted: &Mounted, go_on: &dyn Fn() -> Result) -> Result<u64> {
    let mut trim = Trim {
        range: Logical::new(0)..Logical::new(u64::MAX),
        least: Bytes::ZERO,
        go_on,
        trimmed: Bytes::ZERO,
    };
    mounted.txns.trim(&mut trim)?;
    Ok(trim.trimmed.get())
}

/// Where fstrim is the first to read that the only group of tree blocks contradicts itself, the volume becomes read-only; but
/// who stops fstrim does no harm.
#[test]
fn fstrim_finds_that_tree_blocks_have_no_place() {
    let mounted = without_a_place();
    assert_eq!(trim(&mounted, &|| Err(EAGAIN)), Err(EAGAIN));
    assert_eq!(mounted.txns.is_aborted(), None);
    assert_eq!(trim(&mounted, &|| Ok(())), Err(EUCLEAN));
    assert_eq!(mounted.txns.is_aborted(), Some(EUCLEAN));
}

/// Whoever wants memory has nothing forgotten of which the device is just told.
#[test]
fn fstrim_passes_over_nothing_when_memory_is_short() {
    let images = with_extents().0.unmount().unwrap();
    let mount = || Mounted::mount(images.clone(), Access::ReadWrite).unwrap();
    let all = trim(&mount(), &|| Ok(())).unwrap();
    assert!(all > 200 * MIB);
    let mounted = mount();
    let wants_memory = || {
        mounted.txns.space().forget(1000);
        Ok(())
    };
    assert_eq!(trim(&mounted, &wants_memory), Ok(all));
    mounted.txns.space().audit().unwrap();
}

/// Nor while others want memory all the time.
#[test]
fn fstrim_passes_over_nothing_while_others_want_memory() {
    let images = with_extents().0.unmount().unwrap();
    let mount = || Mounted::mount(images.clone(), Access::ReadWrite).unwrap();
    let all = trim(&mount(), &|| Ok(())).unwrap();
    let (mounted, done) = (mount(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                mounted.txns.space().forget(16);
            }
        });
        let trims: Vec<_> = (0..3).map(|_| trim(&mounted, &|| Ok(()))).collect();
        done.store(true, Ordering::Relaxed);
        assert_eq!(trims, [Ok(all); 3]);
    });
    mounted.txns.space().audit().unwrap();
}

/// No group is read for the sake of telling the device what is free, but one at a time.
#[test]
fn freed_ranges_do_not_have_all_groups_read() {
    let (mounted, extents) = with_extents();
    let images = mounted.unmount().unwrap();
    let options = Options {
        discard: Discard::Later,
        ..Options::new(Access::ReadWrite)
    };
    let mounted = Mounted::mount_with(devices(images).unwrap(), options).unwrap();
    let space = mounted.txns.space().clone();
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    for &start in &extents[..4] {
        space
            .note_freed(&handle, start, Bytes::new(MIB / 2))
            .unwrap();
    }
    commit(&mounted, handle);
    let known = || {
        let promised = |mib: &u64| {
            space
                .reserve(Class::Data, Bytes::new(mib * MIB), Urgency::Ordinary)
                .is_ok()
        };
        (0..400).rev().find(promised).unwrap()
    };
    assert_eq!(known(), 0);
    let group = 52;
    // One is read ahead.
    let mut before = 0;
    for _ in 0..6 {
        mounted.txns.maintain().unwrap();
        let after = known();
        assert!(after - before <= 2 * group, "{before} {after}");
        before = after;
    }
    assert!(before > 3 * group);
    space.audit().unwrap();
}
