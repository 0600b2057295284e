// SPDX-License-Identifier: GPL-2.0
//! Damaged images: the engine refuses them or reads them, writes them or gives up, and never panics, hangs, or asks
//! for more memory than there is.

use harness::device::Image;
use harness::hostile::{self, change_all, maintain_all, read_all, Seen};
use harness::mutate::Subject;
use harness::random::{self, Random};
use harness::{subjects, worn};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(90);

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

/// How far the looks at mutations came.
#[derive(Debug, Default)]
struct Tally {
    refused: u64,
    mounted: u64,
    all: u64,
    silent: Vec<u64>,
    /// Groups that were not emptied for what was found there.
    kept: u64,
}

impl Tally {
    fn add(&mut self, seed: u64, report: &hostile::Report) {
        match report.seen {
            Seen::Refused(_) => self.refused += 1,
            Seen::Mounted(_) => self.mounted += 1,
            Seen::All => self.all += 1,
        }
        let kept = |line: &&String| line.contains("cannot be emptied");
        self.kept += report.log.iter().filter(kept).count() as u64;
        if report.seen != Seen::All && report.log.is_empty() {
            self.silent.push(seed);
        }
    }

    /// The mutations reached something: many were mounted, and some were not.
    fn assert_telling(&self) {
        println!("{self:?}");
        let mounted = self.mounted + self.all;
        let total = self.refused + mounted;
        assert!(mounted > total / 5 && self.refused > total / 20, "{self:?}");
    }
}

/// Looks at this many mutations.
fn run(subject: &Subject, seeds: std::ops::Range<u64>, look: impl Fn(Image, &mut Random) -> Seen) {
    run_on(|random| subject.mutate(random), seeds, look).assert_telling();
}

fn run_on(
    mutate: impl Fn(&mut Random) -> Image,
    seeds: std::ops::Range<u64>,
    look: impl Fn(Image, &mut Random) -> Seen,
) -> Tally {
    let watchdog = Watchdog::start();
    let mut tally = Tally::default();
    for seed in random::seeds(seeds) {
        let mut random = Random::new(seed);
        let image = mutate(&mut random);
        watchdog.begin(seed, &image);
        let report = hostile::look(|| look(image, &mut random));
        let report = report.unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        tally.add(seed, &report);
    }
    tally
}

#[test]
fn reading_large_nodes() {
    run(&subjects::regular(&[]), 0..4000, |image, _| read_all(image));
}

#[test]
fn reading_small_nodes() {
    run(
        &subjects::regular(&["-n", "4096"]),
        10_000..14_000,
        |image, _| read_all(image),
    );
}

#[test]
fn reading_zones() {
    run(&subjects::zoned(), 40_000..41_000, |image, _| {
        read_all(image)
    });
}

#[test]
fn changing_large_nodes() {
    run(&subjects::regular(&[]), 20_000..21_500, change_all);
}

#[test]
fn changing_small_nodes() {
    run(
        &subjects::regular(&["-n", "4096"]),
        30_000..31_500,
        change_all,
    );
}

#[test]
fn changing_zones() {
    run(&subjects::zoned(), 50_000..51_000, change_all);
}

/// What the extent tree says of blocks tells how to empty zones.
#[test]
fn emptying_zones() {
    let options = [&["-m", "single"][..], &["-m", "single", "-n", "4096"]];
    for (options, seeds) in options.into_iter().zip([60_000..60_250, 61_000..61_250]) {
        let subject = Subject::new(worn::image(options));
        let report = hostile::look(|| maintain_all(subject.image().clone())).unwrap();
        assert_eq!(report.seen, Seen::All, "{}", report.log.join("\n"));
        let tally = run_on(
            |random| match random.one_in(4) {
                true => subject.mutate(random),
                false => subject.mutate_extents(random),
            },
            seeds,
            |image, _| maintain_all(image),
        );
        println!("{tally:?}");
        assert!(
            tally.refused > 0 && tally.mounted > 0 && tally.kept > 0,
            "{tally:?}"
        );
    }
}

#[test]
fn the_undamaged_image_passes() {
    for subject in subjects::all() {
        let look = |look: &dyn Fn(Image) -> Seen| {
            let report = hostile::look(|| look(subject.image().clone())).unwrap();
            assert_eq!(report.seen, Seen::All, "{}", report.log.join("\n"));
        };
        look(&read_all);
        look(&|image| change_all(image, &mut Random::new(1)));
    }
}
