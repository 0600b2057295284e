// SPDX-License-Identifier: GPL-2.0
//! Items of the quota tree. Only their shape is known here: quotas are not kept.

use super::on_disk;
use zerocopy::little_endian::U64;

on_disk! {
    /// The state of quotas (C: `btrfs_qgroup_status_item`, without `enable_gen`).
    RawQgroupStatus: 32 {
        /// The version is 1.
        version: U64,
        /// The last transaction that kept them.
        generation: U64,
        /// Bits that say: on, rescanning, inconsistent, simple.
        flags: U64,
        /// Where a rescan is.
        rescan: U64,
    }

    /// What a group uses (C: `btrfs_qgroup_info_item`).
    RawQgroupInfo: 40 {
        /// The last transaction that changed it.
        generation: U64,
        /// The bytes that are referenced.
        referenced: U64,
        /// Referenced bytes, compressed.
        referenced_compressed: U64,
        /// The bytes that nobody else references.
        exclusive: U64,
        /// Exclusive bytes, compressed.
        exclusive_compressed: U64,
    }

    /// What a group may use (C: `btrfs_qgroup_limit_item`).
    RawQgroupLimit: 40 {
        /// Which limits hold.
        flags: U64,
        /// Most referenced bytes.
        max_referenced: U64,
        /// Most exclusive bytes.
        max_exclusive: U64,
        /// This field is unused.
        reserved_referenced: U64,
        /// This field is unused.
        reserved_exclusive: U64,
    }
}
