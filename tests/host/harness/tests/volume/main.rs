// SPDX-License-Identifier: GPL-2.0
//! Volumes on images of `mkfs.btrfs`: opening, mapping, superblock copies, new chunks, zones.

mod fixture;
mod regular;
mod superblock_log;
mod targets;
mod zoned;
