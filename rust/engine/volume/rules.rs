// SPDX-License-Identifier: GPL-2.0
//! What a volume allows by its kind. Each question says what is meant: nobody above asks whether there are zones.

use super::hal::Hal;
use super::members::Members;
use super::{device, Volume};
use crate::disk::Bytes;

/// What a volume allows by its kind: [`Volume::rules`].
#[derive(Clone, Copy)]
pub struct Rules<'a>(&'a Members);

impl Volume {
    /// What the volume allows, to be asked.
    pub fn rules(&self) -> Rules<'_> {
        Rules(&self.members)
    }
}

impl Rules<'_> {
    fn all(&self, holds: impl Fn(&dyn Hal) -> bool) -> bool {
        self.0.iter().all(|member| holds(&*member.hal))
    }

    fn any(&self, holds: impl Fn(&dyn Hal) -> bool) -> bool {
        self.0.iter().any(|member| holds(&*member.hal))
    }

    /// Whether bytes that were written may be written over where they are: files without copies of what is changed,
    /// space that is given to a file before it is written, and free space caches need that.
    pub fn rewrites_in_place(&self) -> bool {
        self.all(|hal| hal.rewrites_in_place())
    }

    /// Whether there may be groups that are written from their start to their end: tree blocks in the order of their
    /// addresses, data by appending. Only there the writes of a group are counted, since its zones end with the last.
    pub fn writes_in_order(&self) -> bool {
        self.any(|hal| hal.writes_in_order())
    }

    /// Whether there may be groups whose space comes back by a reset when nothing is left in them. Such a device is not
    /// told of single ranges that are free.
    pub fn reuses_by_reset(&self) -> bool {
        self.any(|hal| hal.reuses_by_reset())
    }

    /// Whether what was freed may be out of reach until all of its group is free: what is left there is moved, space is
    /// kept back to move it to, and what a commit frees is not there for the next one by that alone.
    pub fn frees_whole_groups(&self) -> bool {
        self.any(|hal| hal.frees_whole_groups())
    }

    /// Whether groups of data that were begun are to be filled before another is begun: few may be begun at a time.
    pub fn fills_begun_groups(&self) -> bool {
        self.any(|hal| hal.fills_begun_groups())
    }

    /// The longest data write, in bytes: an ordered extent of a zoned volume fits a zone append.
    pub fn max_extent_len(&self) -> Bytes {
        let longest = self.0.iter().map(|member| member.hal.max_extent_len());
        longest.min().unwrap_or(device::SECTOR)
    }
}
