// SPDX-License-Identifier: GPL-2.0
//! Transactions over images of `mkfs.btrfs`, with `btrfs check` as the judge.

mod bounds_without_tree;
mod cache_bounds;
mod caches;
mod caches_under_way;
mod contradictions;
mod conversion;
mod conversion_at_once;
mod conversion_faults;
mod conversion_shortage;
mod faults;
mod files;
mod free_space_root;
mod hooked;
mod kept_caches;
mod load;
mod mounted;
mod mounting;
mod old_caches;
mod read_caches;
mod rebuild;
mod references;
mod reuse;
mod snapshots;
mod space;
mod superblocks;
