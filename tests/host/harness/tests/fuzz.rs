// SPDX-License-Identifier: GPL-2.0
//! Damaged images: the engine refuses them or reads them, writes them or gives up, and never panics, hangs, or asks
//! for more memory than there is.

use core::ops::ControlFlow;
use engine::disk::ObjectId;
use engine::fs::{Changes, New, NewKind, Target, Time};
use harness::device::Image;
use harness::history::{survey, Generator, Model, Op, Profile};
use harness::mount::{Access, Mounted};
use harness::mutate::Subject;
use harness::random::{self, Random};
use harness::tools;
use kernel::alloc::inject;
use kernel::prelude::Result;
use kernel::print::Capture;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Bytes that one look at an image may allocate, all in all.
const MEMORY: u64 = 512 << 20;
/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(90);

fn subject(options: &[&str]) -> Subject {
    let mut model = Model::default();
    let profile = Profile {
        files: 120,
        ..Profile::MIXED
    };
    let mut generator = Generator::new(7, profile);
    for _ in 0..500 {
        let _ = model.apply(&generator.next(&model));
    }
    let _ = model.apply(&Op::Remount);
    Subject::new(tools::mkfs_with(
        &model.snapshot(),
        256 << 20,
        &[&["-m", "single"], options].concat(),
    ))
}

/// Ends the process when one look takes too long, and keeps the image: a loop cannot be caught, and the seed alone does
/// not bring the image back, for mkfs draws UUIDs.
struct Watchdog(Arc<Mutex<Option<(u64, Image, Instant)>>>);

impl Watchdog {
    fn start() -> Self {
        let current: Arc<Mutex<Option<(u64, Image, Instant)>>> = Arc::default();
        let watched = current.clone();
        std::thread::spawn(move || {
            while Arc::strong_count(&watched) > 1 {
                std::thread::sleep(Duration::from_millis(200));
                let current = watched.lock().unwrap();
                let Some((seed, image, since)) = &*current else {
                    continue;
                };
                if since.elapsed() > PATIENCE {
                    let path = std::env::temp_dir().join("rbtrfs-endless.img");
                    let saved = image.pages.save(&path);
                    eprintln!(
                        "seed {seed} does not come to an end: {} {saved:?}",
                        path.display()
                    );
                    std::process::abort();
                }
            }
        });
        Self(current)
    }

    fn begin(&self, seed: u64, image: &Image) {
        *self.0.lock().unwrap() = Some((seed, image.clone(), Instant::now()));
    }
}

/// Mounts, reads all there is, and unmounts.
fn read_all(image: Image) -> Result {
    let mounted = Mounted::mount(vec![image], Access::ReadOnly)?;
    survey(&mounted)?;
    mounted.fs.statistics()?;
    mounted.unmount().map(|_| ())
}

/// Mounts and changes whatever is found, as long as it goes.
fn change_all(image: Image, random: &mut Random) -> Result {
    let mounted = Mounted::mount(vec![image], Access::ReadWrite)?;
    let done = change(&mounted, random);
    // An abort must still let go of everything.
    let closed = mounted.unmount();
    done.and(closed.map(|_| ()))
}

fn change(mounted: &Mounted, random: &mut Random) -> Result {
    let (fs, now) = (&mounted.fs, Time { sec: 1, nsec: 0 });
    let mut dirs = vec![mounted.subvolume.root_directory()];
    let mut entries: Vec<(ObjectId, Vec<u8>, ObjectId)> = Vec::new();
    let mut next = 0;
    while next < dirs.len().min(20) {
        let number = dirs[next];
        next += 1;
        let Ok(dir) = fs.inode(&mounted.subvolume, number) else {
            continue;
        };
        let _ = fs.read_dir(&dir, 0, &mut |entry| {
            if let Target::Inode(child, _) = entry.target {
                entries.push((number, entry.name.to_vec(), child));
                dirs.push(child);
            }
            Ok(if entries.len() < 500 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        });
    }
    for step in 0..40 {
        if entries.is_empty() {
            break;
        }
        let (dir, name, child) = random.choose(&entries).clone();
        let Ok(dir) = fs.inode(&mounted.subvolume, dir) else {
            continue;
        };
        let new = New {
            kind: NewKind::File,
            mode: 0o100644,
            uid: 0,
            gid: 0,
            now,
            xattrs: &[],
        };
        let _ = fs.create(&dir, format!("new {step}").as_bytes(), &new);
        let Ok(child) = fs.inode(&mounted.subvolume, child) else {
            continue;
        };
        let _ = match random.below(6) {
            0 if child.attributes().is_directory() => fs.rmdir(&dir, &name, &child, now),
            0 | 1 => fs.unlink(&dir, &name, &child, now),
            2 => fs.truncate(&child, random.below(10_000), now),
            3 => fs.set_xattr(
                &child,
                b"user.fuzz",
                &[1; 500],
                engine::fs::XattrMode::Any,
                now,
            ),
            4 => fs.set_attributes(
                &child,
                &Changes {
                    mtime: Some(now),
                    ..Changes::default()
                },
            ),
            _ => mounted.txns.commit(),
        };
        if child.attributes().nlink == 0 {
            let _ = fs.evict(&child);
        }
    }
    Ok(())
}

/// Looks at this many mutations; a few must pass and a few must not.
fn run(
    subject: &Subject,
    seeds: std::ops::Range<u64>,
    look: impl Fn(Image, &mut Random) -> Result,
) {
    let watchdog = Watchdog::start();
    let (mut passed, mut refused, mut silent) = (0, 0, Vec::new());
    for seed in random::seeds(seeds) {
        let mut random = Random::new(seed);
        let image = subject.mutate(&mut random);
        watchdog.begin(seed, &image);
        let log = Capture::new();
        let look = std::panic::AssertUnwindSafe(|| inject::counted(|| look(image, &mut random)));
        let Ok((result, spent)) = std::panic::catch_unwind(look) else {
            panic!("seed {seed} panicked\n{}", log.lines().join("\n"));
        };
        assert!(spent.bytes < MEMORY, "seed {seed} allocated {spent:?}");
        assert_eq!(latch::lockdep::held(), 0, "seed {seed}");
        match result {
            Ok(()) => passed += 1,
            Err(_) => {
                refused += 1;
                if log.lines().is_empty() {
                    silent.push(seed);
                }
            }
        }
    }
    println!(
        "{passed} passed, {refused} refused, {} of those without a word: {silent:?}",
        silent.len()
    );
    assert!(passed > 0 && refused > 0);
}

#[test]
fn reading_large_nodes() {
    run(&subject(&[]), 0..4000, |image, _| read_all(image));
}

#[test]
fn reading_small_nodes() {
    run(&subject(&["-n", "4096"]), 10_000..14_000, |image, _| {
        read_all(image)
    });
}

#[test]
fn changing_large_nodes() {
    run(&subject(&[]), 20_000..21_500, change_all);
}

#[test]
fn changing_small_nodes() {
    run(&subject(&["-n", "4096"]), 30_000..31_500, change_all);
}

#[test]
fn the_undamaged_image_passes() {
    for options in [&[][..], &["-n", "4096"]] {
        let subject = subject(options);
        let log = Capture::new();
        let result = read_all(subject.image().clone());
        assert_eq!(result, Ok(()), "{}", log.lines().join("\n"));
        let result = change_all(subject.image().clone(), &mut Random::new(1));
        assert_eq!(result, Ok(()), "{}", log.lines().join("\n"));
    }
}
