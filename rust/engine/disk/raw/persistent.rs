// SPDX-License-Identifier: GPL-2.0
//! State of the volume's long jobs: device statistics, replace, balance.

use super::on_disk;
use zerocopy::little_endian::{U32, U64};

on_disk! {
    /// Error counters of a device (C: `btrfs_dev_stats_item`). May be cut short by old kernels.
    RawDevStats: 40 {
        /// Write, read, flush, corruption and generation errors.
        values: [U64; 5],
    }

    /// A device replace (C: `btrfs_dev_replace_item`).
    RawDevReplace: 72 {
        /// The device to leave.
        source: U64,
        /// How far it has come.
        cursor_left: U64,
        /// How far it has come.
        cursor_right: U64,
        /// Whether the source is read from.
        reading_mode: U64,
        /// Which of these it is: never started, started, finished, cancelled, suspended.
        state: U64,
        /// Seconds since 1970.
        time_started: U64,
        /// Seconds since 1970.
        time_stopped: U64,
        /// The number of failed writes.
        write_errors: U64,
        /// The number of failed reads.
        read_errors: U64,
    }

    /// What a balance does to one type of chunks (C: `btrfs_disk_balance_args`).
    RawBalanceArgs: 136 {
        /// Profiles to touch.
        profiles: U64,
        /// The filter by what is used.
        usage: U64,
        /// The filter by the device.
        devid: U64,
        /// Device range filter.
        pstart: U64,
        /// Device range filter.
        pend: U64,
        /// Logical range filter.
        vstart: U64,
        /// Logical range filter.
        vend: U64,
        /// Profile to convert to.
        target: U64,
        /// Which filters hold.
        flags: U64,
        /// How many chunks.
        limit: U64,
        /// Stripe count filter.
        stripes_min: U32,
        /// Stripe count filter.
        stripes_max: U32,
        /// These bytes are kept for the future.
        unused: [U64; 6],
    }

    /// An interrupted balance (C: `btrfs_balance_item`).
    RawBalance: 448 {
        /// Which types are balanced.
        flags: U64,
        /// What is asked for data.
        data: RawBalanceArgs,
        /// What is asked for metadata.
        metadata: RawBalanceArgs,
        /// What is asked for system chunks.
        system: RawBalanceArgs,
        /// These bytes are kept for the future.
        unused: [U64; 4],
    }

    /// RAID stripe tree: a piece of an extent on a device (C: `btrfs_raid_stride`).
    RawRaidStride: 16 {
        /// The id of the device.
        devid: U64,
        /// Where the piece begins on the device.
        physical: U64,
    }

    /// Where a chunk moved, or from (C: `btrfs_remap_item`).
    RawRemap: 8 {
        /// The address of the range.
        addr: U64,
    }
}
