// SPDX-License-Identifier: GPL-2.0

//! The block layer: devices, their zones, and bios of metadata.
//!
//! | module     | what is in it                            |
//! |------------|------------------------------------------|
//! | [`device`] | `block_device`, zones, flushing          |
//! | [`bio`]    | `bio`: reads and writes; `blk_plug`      |
//! | [`pool`]   | where those bios come from               |
//! | [`sector`] | where bios begin                         |
//! | [`sent`]   | writes that are waited for later         |

pub(crate) mod bio;
mod device;
pub(in crate::linux) mod pool;
mod sector;
mod sent;

pub(crate) use bio::WriteUrgency;
pub(crate) use device::{BlockDevice, Condition, ZoneOperation, ZoneReport};
pub(crate) use sector::Sector;
pub(crate) use sent::SentWrite;
