// SPDX-License-Identifier: GPL-2.0
//! Files and directories over images of `mkfs.btrfs`, with `btrfs check` as the judge.

mod behind_data;
mod broken_zones;
mod crashes;
mod data;
mod empty_pieces;
mod files;
mod formats;
mod images;
mod in_place;
mod long_inline;
mod memory;
mod names;
mod partly_written;
mod posix;
mod promises;
mod relocated;
mod root_times;
mod sharing;
mod stale_checksums;
mod subvolume_names;
mod subvolumes;
mod tasks;
mod times;
mod unreadable;
mod unwritten;
mod zones_given_back;
