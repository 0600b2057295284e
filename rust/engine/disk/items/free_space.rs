// SPDX-License-Identifier: GPL-2.0
//! The free space tree's summary of a block group.

use crate::disk::corrupt::{ensure, Bug, Flaw};
use crate::disk::packing::{put, whole};
use crate::disk::raw::{RawFreeSpaceInfo, FREE_SPACE_BITMAPS};

/// How the free space tree keeps what is free in a block group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeSpaceForm {
    /// One item for each free range.
    Extents,
    /// Bitmaps, one bit for each sector.
    Bitmaps,
}

/// A block group's summary in the free space tree (C: `struct btrfs_free_space_info`), keyed (address, length).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeSpaceInfo {
    /// How many free ranges there are.
    pub extent_count: u32,
    /// How they are kept.
    pub form: FreeSpaceForm,
}

impl FreeSpaceInfo {
    /// Bytes of the item.
    pub const SIZE: usize = RawFreeSpaceInfo::SIZE;

    /// Reads an item.
    pub fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let raw: &RawFreeSpaceInfo = whole(bytes, "free space info has a wrong size")?;
        let flags = raw.flags.get();
        ensure(
            flags & !FREE_SPACE_BITMAPS == 0,
            "free space info has unknown flags",
            flags.into(),
            FREE_SPACE_BITMAPS.into(),
        )?;
        Ok(Self {
            extent_count: raw.extent_count.get(),
            form: match flags {
                0 => FreeSpaceForm::Extents,
                _ => FreeSpaceForm::Bitmaps,
            },
        })
    }

    /// Writes the item.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let flags = match self.form {
            FreeSpaceForm::Extents => 0,
            FreeSpaceForm::Bitmaps => FREE_SPACE_BITMAPS,
        };
        let raw = RawFreeSpaceInfo {
            extent_count: self.extent_count.into(),
            flags: flags.into(),
        };
        put(bytes, &raw)
    }
}
