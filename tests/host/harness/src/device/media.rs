// SPDX-License-Identifier: GPL-2.0
//! What a device has stored, and what it would have after a power cut.

use super::pages::{Pages, PAGE};
use super::zones::{Refusal, ZoneLayout, Zones};
use crate::random::Random;
use engine::volume::device::{ZoneAction, ZoneKind};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A device's contents and the state of its zones. Cheap to clone.
#[derive(Clone)]
pub struct Image {
    /// The contents.
    pub pages: Pages,
    /// The zones, on a zoned device.
    pub zones: Option<Zones>,
}

/// A change of a device.
#[derive(Clone, Debug)]
pub enum Change {
    /// A write.
    Write {
        /// Where.
        at: u64,
        /// What.
        data: Arc<[u8]>,
    },
    /// A discard.
    Discard {
        /// Where.
        at: u64,
        /// How much.
        len: u64,
    },
    /// Zone management.
    Manage {
        /// The zone.
        start: u64,
        /// What it was told.
        action: ZoneAction,
    },
}

impl Image {
    /// A device of zeros.
    pub fn new(size: u64, layout: Option<ZoneLayout>) -> Self {
        Self {
            pages: Pages::new(size),
            zones: layout.map(|layout| Zones::new(layout, size)),
        }
    }

    /// The contents of a file, without zones.
    pub fn load(path: &Path) -> std::io::Result<Self> {
        Ok(Self {
            pages: Pages::load(path)?,
            zones: None,
        })
    }

    /// Applies a change as a whole, or refuses it.
    pub fn apply(&mut self, change: &Change) -> Result<(), Refusal> {
        match change {
            Change::Write { at, data } => {
                if let Some(zones) = &mut self.zones {
                    zones.write(*at, data.len() as u64)?;
                }
                match (at % PAGE as u64, data.len() % PAGE) {
                    (0, 0) => self.pages.write(*at, data),
                    _ => self.write_blocks(*at, data),
                }
            }
            Change::Discard { at, len } => self.discard(*at, *len),
            Change::Manage { start, action } => {
                let zones = self.zones.as_mut().ok_or("zone management without zones")?;
                zones.manage(*start, *action)?;
                if *action == ZoneAction::Reset {
                    self.pages.clear(*start, zones.at(*start).len.get());
                }
            }
        }
        Ok(())
    }

    /// Parts of pages, where a zone's blocks are smaller.
    fn write_blocks(&mut self, mut at: u64, mut data: &[u8]) {
        while !data.is_empty() {
            let left = PAGE as u64 - at % PAGE as u64;
            let (piece, rest) = data.split_at(data.len().min(left as usize));
            self.pages.write_within(at, piece);
            (at, data) = (at + piece.len() as u64, rest);
        }
    }

    /// What was discarded reads as something else: whoever relied on it finds out.
    fn discard(&mut self, at: u64, len: u64) {
        const GARBAGE: [u8; PAGE] = [0xdb; PAGE];
        if self
            .zones
            .as_ref()
            .is_some_and(|zones| zones.at(at).kind == ZoneKind::Sequential)
        {
            return;
        }
        for page in 0..len / PAGE as u64 {
            self.pages.write(at + page * PAGE as u64, &GARBAGE);
        }
    }

    fn is_sequential(&self, at: u64) -> bool {
        self.zones
            .as_ref()
            .is_some_and(|zones| zones.at(at).kind == ZoneKind::Sequential)
    }
}

/// What becomes of the changes that are not durable when the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All of them are kept.
    Kept,
    /// None is kept, though some may be torn.
    Lost,
    /// Some are kept, in any order, and some torn.
    Mixed,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Kept, Self::Lost, Self::Mixed];

    /// How many of 16 changes are kept.
    fn kept_per_16(self, random: &mut Random) -> u64 {
        match self {
            Self::Kept => 16,
            Self::Lost => 0,
            Self::Mixed => *random.choose(&[1, 4, 8, 12, 15]),
        }
    }
}

/// What a device has stored: what it shows, and what of it outlives a power cut.
#[derive(Clone)]
pub struct Media {
    live: Image,
    durable: Image,
    // In the order of their arrival.
    volatile: Vec<Change>,
}

impl Media {
    /// All of `image` is durable.
    pub fn new(image: Image) -> Self {
        Self {
            live: image.clone(),
            durable: image,
            volatile: Vec::new(),
        }
    }

    /// What the device shows.
    pub fn live(&self) -> &Image {
        &self.live
    }

    /// What it has for good.
    pub(super) fn durable(&self) -> &Image {
        &self.durable
    }

    /// Changes the state of the device outside of IO; durable at once.
    pub fn damage(&mut self, mut change: impl FnMut(&mut Image)) {
        change(&mut self.live);
        change(&mut self.durable);
    }

    /// Applies a change to the volatile cache, or refuses it.
    pub fn apply(&mut self, change: Change) -> Result<(), Refusal> {
        self.live.apply(&change)?;
        self.volatile.push(change);
        Ok(())
    }

    /// Makes all changes durable.
    pub fn flush(&mut self) {
        self.durable = self.live.clone();
        self.volatile.clear();
    }

    /// How many changes would be at risk in a power cut.
    pub fn at_risk(&self) -> usize {
        self.volatile.len()
    }

    /// What the device holds after a power cut now. Outside of sequential zones any of the volatile changes is kept,
    /// lost or torn between sectors; in a sequential zone they end somewhere, perhaps inside of a write.
    pub fn after_power_cut(&self, random: &mut Random) -> Image {
        // Extremes are more telling than their share among random choices.
        let fate = match random.below(7) {
            0 => Fate::Lost,
            1 => Fate::Kept,
            _ => Fate::Mixed,
        };
        self.after_power_cut_with(fate, random)
    }

    /// As [`Self::after_power_cut`], with this fate for the volatile changes.
    pub fn after_power_cut_with(&self, fate: Fate, random: &mut Random) -> Image {
        let mut image = self.durable.clone();
        let keep_per_16 = fate.kept_per_16(random);
        let mut ended = BTreeMap::new();
        for change in &self.volatile {
            let at = change.at();
            if self.live.is_sequential(at) {
                let zone = self
                    .live
                    .zones
                    .as_ref()
                    .map_or(0, |zones| zones.at(at).start.get());
                let ended = ended.entry(zone).or_insert(false);
                if !*ended && !Self::survives(random, keep_per_16) {
                    *ended = true;
                    let block = image
                        .zones
                        .as_ref()
                        .map_or(PAGE, |zones| zones.block() as usize);
                    change.tear(block, random).map(|torn| image.apply(&torn));
                } else if !*ended {
                    image.apply(change).expect("what went in order goes again");
                }
            } else if Self::survives(random, keep_per_16) {
                image
                    .apply(change)
                    .expect("nothing refuses outside of sequential zones");
            } else if random.one_in(4) {
                change.shred(random, &mut image.pages);
            }
        }
        image
    }

    fn survives(random: &mut Random, per_16: u64) -> bool {
        random.below(16) < per_16
    }
}

impl Change {
    /// Where it is.
    pub(super) fn at(&self) -> u64 {
        match *self {
            Self::Write { at, .. } | Self::Discard { at, .. } => at,
            Self::Manage { start, .. } => start,
        }
    }

    /// How many bytes are written or discarded.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Write { data, .. } => data.len() as u64,
            Self::Discard { len, .. } => *len,
            Self::Manage { .. } => 0,
        }
    }

    /// The first part of a write, which ends between two blocks.
    fn tear(&self, block: usize, random: &mut Random) -> Option<Change> {
        let Self::Write { data, .. } = self else {
            return None;
        };
        let blocks = random.below((data.len() / block) as u64) as usize;
        self.cut_off(blocks * block)
    }

    /// The first bytes of a write that is longer; `None` of anything else, and where that is nothing.
    pub fn cut_off(&self, len: usize) -> Option<Change> {
        match self {
            Self::Write { at, data } if len > 0 && len < data.len() => Some(Self::Write {
                at: *at,
                data: data[..len].into(),
            }),
            _ => None,
        }
    }

    /// Some sectors of a write.
    fn shred(&self, random: &mut Random, pages: &mut Pages) {
        let Self::Write { at, data } = self else {
            return;
        };
        for (index, sector) in data.chunks_exact(PAGE).enumerate() {
            if random.one_in(2) {
                pages.write(at + (index * PAGE) as u64, sector);
            }
        }
    }
}
