// SPDX-License-Identifier: GPL-2.0
//! What the last durable superblock leads to is what a power cut leaves: until the next one is durable, nothing of it may
//! be written over, discarded or reset, and no chunk may be made where a chunk of it lies.
//!
//! [`watch`] goes through what a device saw and asks that of each change. So it finds what a power cut at the right moment
//! would find, and what it would not, as long as nobody read the range that was taken too early. For one device.

use crate::device::{Change, Image, Recorder, PAGE};
use crate::tools;
use crate::walker::{walk, Walked};
use engine::disk::{ChunkItem, Kind, ObjectId, Physical, SUPERBLOCK_PLACES};
use engine::volume::device::{ZoneAction, ZoneKind};
use std::collections::BTreeMap;
use std::ops::Range;

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Superblocks that became durable, each with all that it leads to.
    pub superblocks: u64,
    /// Bytes that one superblock led to and the next did not, and that were written again later.
    pub retaken: u64,
    /// Chunks that were made where another had been.
    pub replaced: u64,
}

/// Goes through a recording that began with `base`; what was taken too early.
pub fn watch(base: Image, recorder: &Recorder) -> Result<Watched, String> {
    let mut replay = recorder.replay(vec![base]);
    let mut watch = Watch::new(Led::to(replay.durable()));
    loop {
        let at = |what| format!("event {} of {}: {what}", replay.position(), replay.len());
        if let Some(change) = replay.next_change() {
            watch.change(replay.durable(), change).map_err(at)?;
        }
        let was = generation(replay.durable());
        if !replay.step() {
            return Ok(watch.watched);
        }
        let at = |what| format!("event {} of {}: {what}", replay.position(), replay.len());
        if generation(replay.durable()) != was {
            let led = Led::to(replay.durable());
            watch.superblock(led).map_err(at)?;
        }
    }
}

/// The transaction of the newest superblock.
fn generation(image: &Image) -> u64 {
    let superblock = match tools::newest_superblock(image) {
        Some((_, superblock)) => superblock,
        None => {
            let mut superblock = [0; PAGE];
            image.pages.read(64 << 10, &mut superblock);
            superblock
        }
    };
    u64::from_le_bytes(superblock[72..80].try_into().expect("eight bytes"))
}

/// Ranges of a device that do not overlap: start and end.
#[derive(Default)]
struct Places(BTreeMap<u64, u64>);

impl Places {
    fn add(&mut self, start: u64, len: u64) {
        self.0.insert(start, start + len);
    }

    /// One that shares a byte with `range`.
    fn meet(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let (&start, &end) = self.0.range(..range.end).next_back()?;
        (end > range.start).then_some(start..end)
    }

    /// Takes out all that share a byte with `range`; how many bytes those were.
    fn take(&mut self, range: &Range<u64>) -> u64 {
        let mut bytes = 0;
        while let Some(met) = self.meet(range) {
            self.0.remove(&met.start);
            bytes += met.end - met.start;
        }
        bytes
    }
}

/// What a superblock leads to.
struct Led {
    generation: u64,
    /// Tree blocks, data, and on a zoned device the superblock itself.
    places: Places,
    /// Where copies of chunks are, and the chunk's address.
    chunks: BTreeMap<u64, (u64, u64)>,
}

impl Led {
    fn to(image: &Image) -> Self {
        let walked = walk(&tools::as_file(image));
        let mut led = Self {
            generation: walked.superblock.generation.get(),
            places: Places::default(),
            chunks: BTreeMap::new(),
        };
        let chunks = Chunks::of(&walked);
        for block in &walked.blocks {
            led.add(
                &chunks,
                block.addr.get(),
                walked.superblock.node_size.into(),
            );
        }
        for (key, item) in walked.items(ObjectId::EXTENT_TREE, Kind::EXTENT_ITEM) {
            let flags = u64::from_le_bytes(item[16..24].try_into().expect("eight bytes"));
            const DATA: u64 = 1;
            if flags & DATA != 0 {
                led.add(&chunks, key.objectid.get(), key.offset);
            }
        }
        for (&logical, (len, stripes)) in &chunks.0 {
            let each = stripes.iter().map(|&at| (at, (at + len, logical)));
            led.chunks.extend(each);
        }
        if let Some((at, superblock)) = tools::newest_superblock(image) {
            led.places.add(at, superblock.len() as u64);
        }
        led
    }

    fn add(&mut self, chunks: &Chunks, logical: u64, len: u64) {
        for at in chunks.places(logical) {
            self.places.add(at, len);
        }
    }
}

/// Address -> length, and where the copies are.
struct Chunks(BTreeMap<u64, (u64, Vec<u64>)>);

impl Chunks {
    fn of(walked: &Walked) -> Self {
        let items = walked.items(ObjectId::CHUNK_TREE, Kind::CHUNK_ITEM);
        let chunk = |(key, bytes): &(engine::disk::Key, Vec<u8>)| {
            let item = ChunkItem::parse(&bytes[..]).expect("a chunk");
            let stripes = item.stripes().map(|stripe| stripe.at.get()).collect();
            (key.offset, (item.len.get(), stripes))
        };
        Self(items.iter().map(chunk).collect())
    }

    fn places(&self, logical: u64) -> Vec<u64> {
        let (start, (_, stripes)) = self.0.range(..=logical).next_back().expect("a chunk");
        stripes.iter().map(|at| at + (logical - start)).collect()
    }
}

struct Watch {
    led: Led,
    /// What older superblocks led to and this one does not.
    left: Places,
    /// Where chunks of older superblocks were.
    left_chunks: Places,
    /// Where chunks of older superblocks were that something was written to before they were gone for good.
    hurried: Places,
    /// What was written since the last superblock.
    written: Vec<Range<u64>>,
    watched: Watched,
}

impl Watch {
    fn new(led: Led) -> Self {
        Self {
            led,
            left: Places::default(),
            left_chunks: Places::default(),
            hurried: Places::default(),
            written: Vec::new(),
            watched: Watched::default(),
        }
    }

    /// A change that is about to be made.
    fn change(&mut self, durable: &Image, change: &Change) -> Result<(), String> {
        let range = match *change {
            Change::Write { at, ref data } => at..at + data.len() as u64,
            Change::Discard { at, len } => at..at + len,
            Change::Manage {
                start,
                action: ZoneAction::Reset,
            } => start..start + zone_len(durable, start),
            Change::Manage { .. } => return Ok(()),
        };
        if let Some(place) = self.led.places.meet(&range) {
            let kind = match change {
                Change::Write { .. } => "written",
                Change::Discard { .. } => "discarded",
                Change::Manage { .. } => "reset",
            };
            return Err(format!(
                "{range:?} is {kind}, but the last durable superblock, of transaction {}, leads to {place:?}",
                self.led.generation
            ));
        }
        let is_superblock = SUPERBLOCK_PLACES.contains(&Physical::new(range.start));
        if matches!(change, Change::Write { .. }) && !is_superblock {
            self.watched.retaken += self.left.take(&range);
            self.written.push(range);
        }
        Ok(())
    }

    /// Another superblock is durable.
    fn superblock(&mut self, led: Led) -> Result<(), String> {
        self.watched.superblocks += 1;
        let old = std::mem::replace(&mut self.led, led);
        self.check_chunks(&old)?;
        self.leave(old);
        Ok(())
    }

    /// A new chunk is not where one is that the superblock before still has, and nothing was written there before that
    /// was gone for good.
    fn check_chunks(&mut self, old: &Led) -> Result<(), String> {
        for (&start, &(end, logical)) in &self.led.chunks {
            if old.chunks.get(&start) == Some(&(end, logical)) {
                continue;
            }
            let mut before = old.chunks.range(..end).rev();
            let met = before.find(|(_, (other, _))| *other > start);
            if let Some((_, (_, other))) = met {
                return Err(format!(
                    "transaction {} has the chunk {logical} where {} still had the chunk {other}",
                    self.led.generation, old.generation
                ));
            }
            if self.hurried.take(&(start..end)) > 0 {
                return Err(format!(
                    "the chunk {logical} was written before the one that had its place was gone"
                ));
            }
            if self.left_chunks.take(&(start..end)) > 0 {
                self.watched.replaced += 1;
            }
        }
        Ok(())
    }

    /// Remembers what the newest superblock does not lead to any more.
    fn leave(&mut self, old: Led) {
        for (start, end) in old.places.0 {
            if self.led.places.meet(&(start..end)).is_none() {
                self.left.add(start, end - start);
            }
        }
        let written = std::mem::take(&mut self.written);
        for (start, (end, logical)) in old.chunks {
            if self.led.chunks.get(&start) == Some(&(end, logical)) {
                continue;
            }
            self.left_chunks.add(start, end - start);
            let mut written = written.iter();
            if written.any(|range| range.start < end && start < range.end) {
                self.hurried.add(start, end - start);
            }
        }
    }
}

fn zone_len(image: &Image, start: u64) -> u64 {
    let zone = image.zones.as_ref().expect("zones").at(start);
    assert_eq!(zone.kind, ZoneKind::Sequential);
    zone.len.get()
}
