// SPDX-License-Identifier: GPL-2.0
//! The moment of a change: it is asked with the attributes locked, where nothing can be refused any more.

use crate::files::{Files, SECTOR};
use engine::disk::{Bytes, FileOffset, InodeFlags};
use engine::fs::{
    Inode, New, Now, PropertyChange, Rename, RenameMode, Side, Time, Times, XattrMode,
};
use harness::mount::{DIRECTORY, FILE};
use harness::punch::PunchHole;
use harness::tools;
use kernel::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;

const MIB: u64 = 1 << 20;

/// A clock that goes on by a second each time that it is asked.
#[derive(Default)]
struct Clock(AtomicI64);

impl Clock {
    fn tick(&self) -> Time {
        let sec = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Time { sec, nsec: 0 }
    }

    fn seconds(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Now for Clock {
    fn of(&self, inode: &Inode) -> Time {
        let others = inode.try_note_times_by(|| Ok(Times::default()));
        assert_eq!(
            others,
            Err(EAGAIN),
            "somebody else can get at the attributes"
        );
        self.tick()
    }

    fn of_new(&self) -> Time {
        self.tick()
    }
}

/// Does `change` and gives what it says; `inode` then shows the last moment that the clock gave.
fn shown<T>(clock: &Clock, inode: &Inode, change: impl FnOnce() -> Result<T>) -> T {
    let before = clock.seconds();
    let done = change().unwrap();
    assert!(clock.seconds() > before, "nobody asked for the time");
    assert_eq!(inode.attributes().ctime.sec, clock.seconds());
    done
}

#[test]
fn the_moment_is_asked_at_the_change() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let (clock, dir) = (Clock::default(), &files.root);
    let (names, inodes) = (files.fs.names(), files.fs.inodes());
    let space = files.fs.file_space();
    let new = New {
        now: &clock,
        ..FILE
    };
    let f = shown(&clock, dir, || names.create(dir, b"f", &new));
    let g = shown(&clock, dir, || names.create(dir, b"g", &new));
    let rename = |mode| Rename {
        from: Side { dir, name: b"f" },
        to: Side { dir, name: b"g" },
        moved: &f,
        mode,
        now: &clock,
    };
    shown(&clock, &g, || {
        names.rename(&rename(RenameMode::Exchange(&g)))
    });
    shown(&clock, &f, || names.link(dir, b"h", &f, &clock));
    shown(&clock, &f, || names.unlink(dir, b"h", &f, &clock));
    shown(&clock, &f, || {
        inodes.set_xattr(&f, b"user.a", b"b", XattrMode::Any, &clock)
    });
    shown(&clock, &f, || inodes.remove_xattr(&f, b"user.a", &clock));
    shown(&clock, &f, || {
        let (clear, set) = (InodeFlags::NONE, InodeFlags::NODUMP);
        inodes.set_flags(&f, clear, set, PropertyChange::Kept, &clock)
    });
    shown(&clock, &f, || {
        space.truncate(&f, Bytes::new(9 * SECTOR), &clock)
    });
    shown(&clock, &f, || {
        space.truncate(&f, Bytes::new(8 * SECTOR), &clock)
    });
    let at = FileOffset::new(SECTOR);
    shown(&clock, &f, || {
        space.preallocate(&f, at, Bytes::new(SECTOR), None, &clock)
    });
    shown(&clock, &f, || {
        space.punch_hole(&f, at, Bytes::new(SECTOR), &clock)
    });
    drop((f, g));
    tools::check(&files.unmount()).unwrap();
}

/// What is refused has no moment: nobody is shown one.
#[test]
fn what_is_refused_asks_for_no_time() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let (clock, dir) = (Clock::default(), &files.root);
    let (names, inodes) = (files.fs.names(), files.fs.inodes());
    let space = files.fs.file_space();
    let f = files.file(b"f");
    let sub = names.create(dir, b"d", &DIRECTORY).unwrap();
    let new = New {
        now: &clock,
        ..FILE
    };
    let (far, beyond) = (FileOffset::new(u64::MAX - SECTOR), i64::MAX as u64 + 1);
    let refused = [
        names.create(dir, b"f", &new).map(drop),
        names.link(dir, b"f", &f, &clock),
        names.link(dir, b"e", &sub, &clock),
        names.unlink(dir, b"nothing", &f, &clock),
        names.rmdir(dir, b"nothing", &sub, &clock),
        inodes.remove_xattr(&f, b"user.a", &clock),
        inodes.set_xattr(&f, b"user.a", b"b", XattrMode::Replace, &clock),
        space.truncate(&f, Bytes::new(beyond), &clock),
        space.punch_hole(&f, far, Bytes::new(SECTOR), &clock),
        space.preallocate(&f, far, Bytes::new(SECTOR), None, &clock),
    ];
    for (number, result) in refused.iter().enumerate() {
        assert!(result.is_err(), "{number}");
    }
    assert_eq!(clock.seconds(), 0);
}

/// Of one inode that many change at once, no time goes back.
#[test]
fn times_do_not_go_back() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let (clock, f) = (Clock::default(), files.file(b"f"));
    let is_done = AtomicBool::new(false);
    let (fs, f, clock) = (&files.fs, &*f, &clock);
    f.note_times(&Times {
        ctime: Some(Time::default()),
        ..Times::default()
    });
    thread::scope(|scope| {
        let look = scope.spawn(|| {
            let mut last = Time::default().sec;
            while !is_done.load(Ordering::Relaxed) {
                let now = f.attributes().ctime.sec;
                assert!(now >= last, "{now} after {last}");
                last = now;
            }
        });
        let changes = [0, 1, 2].map(|kind| {
            scope.spawn(move || {
                for round in 1..200 {
                    let changed = match kind {
                        0 => fs
                            .inodes()
                            .set_xattr(f, b"user.a", b"b", XattrMode::Any, clock),
                        1 => fs
                            .file_space()
                            .truncate(f, Bytes::new(round % 5 * SECTOR), clock),
                        _ => f.note_times_by(|| {
                            let ctime = Some(clock.tick());
                            Ok(Times {
                                ctime,
                                ..Times::default()
                            })
                        }),
                    };
                    changed.unwrap();
                }
            })
        });
        for change in changes {
            change.join().unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
        look.join().unwrap();
    });
}
