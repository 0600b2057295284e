// SPDX-License-Identifier: GPL-2.0
//! Volumes on images of `mkfs.btrfs`: opening, mapping, superblock copies, several devices, new chunks, zones.

mod fixture;
mod members;
mod regular;
mod superblock_log;
mod targets;
mod zoned;
