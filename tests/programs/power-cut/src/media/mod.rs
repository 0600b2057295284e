// SPDX-License-Identifier: GPL-2.0
//! What a device holds, and how requests change it.

mod pages;

pub(crate) use pages::{Page, Pages, PAGE};

use crate::ublk::Geometry;
use std::sync::Arc;

/// A change of what a device holds. Positions and lengths are in bytes.
#[derive(Clone)]
pub(crate) enum Change {
    Write { at: u64, pages: Arc<[Arc<Page>]> },
    Discard { at: u64, len: u64 },
    Reset { zone: u64 },
    Finish { zone: u64 },
}

/// A device's contents and the state of its zones. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Image {
    pub pages: Pages,
    zone_size: u64,
    /// Where each zone ends; none on an ordinary device.
    write_pointers: Vec<u64>,
}

/// Why a device refuses a request.
pub(crate) type Refusal = String;

impl Image {
    pub(crate) fn new(geometry: Geometry) -> Self {
        let zone_size = geometry.zone.unwrap_or(geometry.size);
        let zones = geometry.zone.map_or(0, |zone| geometry.size / zone);
        Self {
            pages: Pages::new(geometry.size),
            zone_size,
            write_pointers: (0..zones).map(|zone| zone * zone_size).collect(),
        }
    }

    /// Start, length and write pointer of each zone.
    pub(crate) fn zones(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        let zone = |(index, &pointer)| (index as u64 * self.zone_size, self.zone_size, pointer);
        self.write_pointers.iter().enumerate().map(zone)
    }

    /// The number of the zone at a position; none on an ordinary device.
    pub(crate) fn zone_of(&self, at: u64) -> Option<usize> {
        let zone = (at / self.zone_size) as usize;
        (zone < self.write_pointers.len()).then_some(zone)
    }

    /// Where the next data of the zone at a position goes.
    pub(crate) fn write_pointer(&self, at: u64) -> Option<u64> {
        self.zone_of(at)
            .and_then(|zone| self.write_pointers.get(zone).copied())
    }

    /// Applies a change as a whole, or refuses it.
    pub(crate) fn apply(&mut self, change: &Change) -> Result<(), Refusal> {
        match change {
            Change::Write { at, pages } => {
                self.advance(*at, pages.len() as u64 * PAGE)?;
                for (index, page) in pages.iter().enumerate() {
                    self.pages.set(at + index as u64 * PAGE, page.clone());
                }
            }
            Change::Discard { at, len } => self.discard(*at, *len),
            Change::Reset { zone } => self.move_pointer(*zone, 0)?,
            Change::Finish { zone } => self.move_pointer(*zone, self.zone_size)?,
        }
        Ok(())
    }

    fn advance(&mut self, at: u64, len: u64) -> Result<(), Refusal> {
        let Some(zone) = self.zone_of(at) else {
            return Ok(());
        };
        let end = (zone as u64 + 1) * self.zone_size;
        let pointer = &mut self.write_pointers[zone];
        if at != *pointer || at + len > end {
            return Err(format!(
                "write of {len} bytes at {at} into zone {zone}, which ends at {pointer}"
            ));
        }
        *pointer += len;
        Ok(())
    }

    fn move_pointer(&mut self, at: u64, to: u64) -> Result<(), Refusal> {
        let zone = self.zone_of(at).ok_or("zone management without zones")?;
        let start = zone as u64 * self.zone_size;
        self.write_pointers[zone] = start + to;
        if to == 0 {
            self.pages.clear(start, self.zone_size);
        }
        Ok(())
    }

    /// What was discarded reads as something else: whoever relied on it finds out.
    fn discard(&mut self, at: u64, len: u64) {
        let garbage: Arc<Page> = Arc::new([0xdb; PAGE as usize]);
        for page in 0..len / PAGE {
            self.pages.set(at + page * PAGE, garbage.clone());
        }
    }
}

impl Change {
    /// A write of these bytes.
    pub(crate) fn write(at: u64, data: &[u8]) -> Self {
        let page = |bytes: &[u8]| {
            let mut page = [0; PAGE as usize];
            page[..bytes.len()].copy_from_slice(bytes);
            Arc::new(page)
        };
        Self::Write {
            at,
            pages: data.chunks(PAGE as usize).map(page).collect(),
        }
    }

    pub(crate) fn at(&self) -> u64 {
        match *self {
            Self::Write { at, .. } | Self::Discard { at, .. } => at,
            Self::Reset { zone } | Self::Finish { zone } => zone,
        }
    }
}
