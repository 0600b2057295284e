// SPDX-License-Identifier: GPL-2.0
//! The superblock log when a write is cut off inside of a superblock, and when the newest superblock is damaged.

use crate::fixture::*;
use engine::disk::{Generation, SUPERBLOCK_LOG_PLACES, SUPERBLOCK_PLACES};
use engine::volume::device::{Zone, ZoneCondition};
use harness::device::{Change, Image, Recorder, SimDevice, PAGE};
use harness::tools;
use kernel::prelude::*;
use kernel::print::Capture;
use kernel::sync::Arc;
use std::string::String;
use std::vec::Vec;

/// The smallest logical block that devices have.
const BLOCK: usize = 512;
/// Superblocks in a zone of the log.
const SLOTS: u64 = 6;
/// A step for every slot of two rounds, and more.
const TWO_ROUNDS: u64 = 4 * SLOTS + 3;

/// An empty volume on a device with such blocks. Its log is short, and what is behind the last slot of a zone is
/// `rest` long.
fn short_log(block: usize, rest: u64) -> Image {
    let (mut image, _) = zoned_image_of(block as u64);
    let zones = image.zones.as_mut().unwrap();
    zones.shrink(0, SLOTS * PAGE as u64 + rest);
    zones.shrink(tools::ZONE_SIZE, SLOTS * PAGE as u64 + rest);
    image
}

/// The generation that a mount begins with.
fn mounted_at(image: &Image) -> Result<u64> {
    let volume = open(&device(image.clone()), READ_WRITE)?;
    let generation = volume.superblock().generation.get();
    Ok(generation)
}

/// Mounts, and commits the next generation.
fn commit(device: &Arc<SimDevice>) -> u64 {
    let volume = open(device, READ_WRITE).unwrap();
    let next = volume.superblock().generation.next();
    volume
        .superblocks()
        .update(|superblock| superblock.generation = next);
    write_superblocks(&volume).unwrap();
    assert_eq!(device.violations(), Vec::<String>::new());
    next.get()
}

/// A commit that was recorded: what the device held before each change, and the change.
struct Recorded {
    changes: Vec<(Image, Change)>,
    /// Which of the changes writes the superblock.
    superblock: usize,
    generation: u64,
    image: Image,
}

fn recorded_commit(image: &Image) -> Recorded {
    let device = device(image.clone());
    let recorder = Recorder::default();
    device.record(&recorder, 0);
    let generation = commit(&device);
    let mut replay = recorder.replay(vec![image.clone()]);
    let mut changes = Vec::new();
    loop {
        if let Some(change) = replay.next_change() {
            changes.push((replay.live().remove(0), change.clone()));
        }
        if !replay.step() {
            break;
        }
    }
    let is_write = |change: &Change| matches!(change, Change::Write { .. });
    Recorded {
        superblock: changes
            .iter()
            .rposition(|(_, change)| is_write(change))
            .unwrap(),
        changes,
        generation,
        image: device.image(),
    }
}

impl Recorded {
    /// What the device holds when the power goes in one of the changes, and the generation of which that is.
    fn cuts(&self) -> Vec<(Image, u64)> {
        let cut = |(number, (before, change)): (usize, &(Image, Change))| {
            let generation = self.generation - u64::from(number <= self.superblock);
            cuts(before, change)
                .into_iter()
                .map(move |image| (image, generation))
        };
        self.changes.iter().enumerate().flat_map(cut).collect()
    }

    /// What the device holds when the power goes after so many bytes of the superblock.
    fn torn(&self, kept: usize) -> Image {
        let (before, change) = &self.changes[self.superblock];
        cuts(before, change).remove(kept / BLOCK)
    }
}

/// What the device holds when the power goes in the middle of a change: after none of it, and after each block.
fn cuts(before: &Image, change: &Change) -> Vec<Image> {
    let mut images = vec![before.clone()];
    for len in (BLOCK..).step_by(BLOCK) {
        let Some(part) = change.cut_off(len) else {
            break;
        };
        let mut image = before.clone();
        image.apply(&part).unwrap();
        images.push(image);
    }
    images
}

/// The generation that C finds (`sb_log_location`, `sb_write_pointer`), whose pointer is not rounded.
fn mounted_at_by_c(image: &Image) -> Option<u64> {
    let zones = image.zones.as_ref().unwrap();
    let both = [*zones.at(0), *zones.at(tools::ZONE_SIZE)];
    let page = PAGE as u64;
    let end = |zone: &Zone| zone.start.get() + zone.capacity.get();
    let last = |zone: &Zone| end(zone) / page * page - page;
    let is_full = |zone: &Zone| {
        zone.condition == ZoneCondition::Full
            || zone.condition != ZoneCondition::Empty && zone.write_pointer.get() + page > end(zone)
    };
    let empty = both.map(|zone| zone.condition == ZoneCondition::Empty);
    let generation =
        |at| superblock_at(image, at, SUPERBLOCK_PLACES[0].get()).map(|s| s.generation);
    let at = match both.each_ref().map(is_full) {
        [true, true] => match generation(last(&both[0])) > generation(last(&both[1])) {
            true => both[1].start.get(),
            false => both[0].start.get(),
        },
        [false, full] if full || empty[1] => both[0].write_pointer.get(),
        [true, _] => both[1].write_pointer.get(),
        _ => return None,
    };
    let at = match both.iter().position(|zone| zone.start.get() == at) {
        Some(zone) => last(&both[1 - zone]),
        None => at - page,
    };
    (at % page == 0)
        .then(|| generation(at))?
        .map(Generation::get)
}

/// Cuts the commit after this one off everywhere, and each time the commit that follows on that. Whoever mounts finds the
/// last promised generation, commits, and finds that; C as well.
fn cut_everywhere(image: &Image) {
    for (torn, promised) in recorded_commit(image).cuts() {
        assert_eq!(mounted_at(&torn), Ok(promised));
        for (torn, promised) in recorded_commit(&torn).cuts() {
            assert_eq!(mounted_at(&torn), Ok(promised));
            let device = device(torn);
            assert_eq!(commit(&device), promised + 1);
            let image = device.image();
            assert_eq!(mounted_at(&image), Ok(promised + 1));
            assert_eq!(mounted_at_by_c(&image), Some(promised + 1));
        }
    }
}

/// The log goes two rounds, and each of its superblocks is written in the second attempt: of the first, `kept` bytes
/// have arrived.
fn two_rounds(rest: usize, kept: usize) {
    let mut image = short_log(BLOCK, rest as u64);
    let mut newest = mounted_at(&image).unwrap();
    for _ in 0..TWO_ROUNDS {
        cut_everywhere(&image);
        let device = device(recorded_commit(&image).torn(kept));
        newest += 1;
        assert_eq!(commit(&device), newest);
        image = device.image();
        let log = Capture::new();
        assert_eq!(mounted_at(&image), Ok(newest));
        assert_eq!(log.lines(), Vec::<String>::new());
        assert_eq!(mounted_at_by_c(&image), Some(newest));
    }
}

#[test]
fn a_superblock_that_was_cut_off_leaves_the_one_before() {
    two_rounds(0, 0);
    two_rounds(3 * BLOCK, 0);
}

#[test]
fn the_log_goes_on_behind_superblocks_that_were_cut_off() {
    // The longest is all of a superblock but for zeroes at its end.
    for blocks in [1, 4, 7] {
        two_rounds(0, blocks * BLOCK);
        two_rounds(blocks * BLOCK, blocks * BLOCK);
    }
}

/// Entries that were cut off fill both zones, more than once: the zone of the last superblock that is whole is not reset.
#[test]
fn any_number_of_power_cuts_in_a_row_loses_nothing() {
    for before in 0..2 * SLOTS {
        let device = device(short_log(BLOCK, 0));
        let promised = (0..before).fold(None, |_, _| Some(commit(&device)));
        let mut image = device.image();
        let promised = promised.unwrap_or_else(|| mounted_at(&image).unwrap());
        for cut in 0..5 * SLOTS as usize {
            image = recorded_commit(&image).torn(BLOCK * (1 + cut % 7));
            let log = Capture::new();
            assert_eq!(mounted_at(&image), Ok(promised), "cut {cut}");
            let line = "warn: superblock copy 0: the newest was cut off while it was written, the one before it is taken";
            assert_eq!(log.lines(), [line]);
        }
        let device = self::device(image);
        assert_eq!(commit(&device), promised + 1);
        assert_eq!(mounted_at_by_c(&device.image()), Some(promised + 1));
    }
}

/// Damages the newest superblock, whose write was completed.
fn damaged(image: &Image, offset: usize) -> Image {
    let (at, mut superblock) = tools::newest_superblock(image).unwrap();
    superblock[offset] ^= 0x40;
    let mut image = image.clone();
    image.pages.write(at, &superblock);
    image
}

#[test]
fn a_damaged_newest_superblock_is_refused() {
    for block in [BLOCK, PAGE] {
        let device = device(short_log(block, 0));
        for _ in 0..TWO_ROUNDS {
            commit(&device);
            for offset in [0, 64, 72, 80, 300, 1000, 3530, 3600, 4095] {
                let image = damaged(&device.image(), offset);
                let log = Capture::new();
                assert!(mounted_at(&image).is_err(), "byte {offset}");
                assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
            }
        }
    }
}

/// Below a superblock that was cut off is one that was promised: if that is damaged, the one below it is not taken.
#[test]
fn a_damaged_superblock_below_one_that_was_cut_off_is_refused() {
    let mut image = short_log(BLOCK, 0);
    for _ in 0..TWO_ROUNDS {
        let recorded = recorded_commit(&image);
        let (before, change) = &recorded.changes[recorded.superblock];
        for torn in cuts(&damaged(before, 1000), change) {
            assert!(mounted_at(&torn).is_err());
        }
        image = recorded.image;
    }
}

/// Zones behind the end of the file system are not its own, also where a larger one would have a superblock log: what is in
/// them stays, though they are full and a log would begin anew.
#[test]
fn a_log_behind_the_end_of_the_file_system_is_left_alone() {
    const CAPACITY: u64 = 8 << 20;
    const OTHER: [u8; PAGE] = [0xaa; PAGE];
    let second = SUPERBLOCK_LOG_PLACES[1].get();
    let size = second + 4 * tools::ZONE_SIZE;
    let flat = tools::mkfs(size, &["-O", "zoned", "-b", "4G"]);
    let mut image = tools::as_zoned(flat, tools::zone_layout(CAPACITY));
    for zone in [second, second + tools::ZONE_SIZE] {
        image.zones.as_mut().unwrap().preset(zone, CAPACITY);
        image.pages.write(zone + CAPACITY - PAGE as u64, &OTHER);
    }
    let device = device(image);
    let committed = commit(&device);
    let image = device.image();
    assert_eq!(mounted_at(&image), Ok(committed));
    for zone in [second, second + tools::ZONE_SIZE] {
        let mut found = [0; PAGE];
        image.pages.read(zone + CAPACITY - PAGE as u64, &mut found);
        assert_eq!(found, OTHER);
    }
}
