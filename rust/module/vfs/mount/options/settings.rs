// SPDX-License-Identifier: GPL-2.0

//! What a mount was asked for and its defaults, as `/proc/mounts` shows it: C's words in C's order.

use super::flags::Flags;
use super::space_cache::SpaceCache;
use super::{MountOptions, SpaceCacheWord};
use crate::linux::mount::{Asked, MountAccess};
use crate::linux::seq::ShownOptions;
use crate::linux::{BlockDevice, SuperBlock};
use engine::disk::Bytes;
use engine::fs::{self, MAX_INLINE};
use engine::txn::Discard;
use engine::volume::Volume;
use latch::prelude::*;

/// Seconds between commits (C: `BTRFS_DEFAULT_COMMIT_INTERVAL`).
const COMMIT_INTERVAL: u32 = 30;

/// The options in force.
#[derive(Clone, Copy, Debug)]
pub(in crate::vfs::mount) struct Settings {
    flags: Flags,
    /// Seconds that a transaction may get old.
    pub(in crate::vfs::mount) commit_interval: u32,
    /// Files up to this many bytes are kept in the tree.
    max_inline: Bytes,
    thread_pool: Option<u32>,
    metadata_ratio: u32,
    /// What devices are told of freed ranges.
    pub(in crate::vfs::mount) discard: Discard,
    ignores_log: bool,
    tries_backup_roots: bool,
    space_cache: Option<SpaceCacheWord>,
}

/// What the volume says to some words.
#[derive(Clone, Copy, Debug)]
pub(in crate::vfs::mount) struct Facts {
    /// Freed space comes back by resets, so there is no range to tell the device of.
    pub(in crate::vfs::mount) reuses_by_reset: bool,
    /// The longest that a file in the tree may be.
    pub(in crate::vfs::mount) sector_size: Bytes,
}

impl Settings {
    /// The settings of a new mount.
    pub(in crate::vfs::mount) fn new(
        options: &MountOptions,
        facts: Facts,
        device: &BlockDevice,
    ) -> Self {
        let mut settings = Self {
            flags: Flags::default(),
            commit_interval: COMMIT_INTERVAL,
            max_inline: MAX_INLINE.min(facts.sector_size),
            thread_pool: None,
            metadata_ratio: 0,
            discard: match device.takes_discards() && !facts.reuses_by_reset {
                true => Discard::Later,
                false => Discard::Never,
            },
            ignores_log: options.ignores_log,
            tries_backup_roots: options.tries_backup_roots,
            space_cache: None,
        };
        settings.change(options, facts);
        if !device.is_rotational() && !settings.flags.contains(Flags::NO_SSD) {
            settings.flags = settings.flags.with(Flags::SSD);
        }
        settings
    }

    /// Takes over what a remount says.
    pub(in crate::vfs::mount) fn change(&mut self, options: &MountOptions, facts: Facts) {
        self.flags = options.flags.apply(self.flags);
        self.commit_interval = match options.commit_interval {
            Some(0) => COMMIT_INTERVAL,
            seconds => seconds.unwrap_or(self.commit_interval),
        };
        self.max_inline = options
            .max_inline
            .map_or(self.max_inline, |len| len.min(facts.sector_size));
        self.thread_pool = options.thread_pool.or(self.thread_pool);
        self.metadata_ratio = options.metadata_ratio.unwrap_or(self.metadata_ratio);
        self.space_cache = options.space_cache.or(self.space_cache);
        self.discard = options.discard.unwrap_or(self.discard);
        if self.discard == Discard::Later && facts.reuses_by_reset {
            pr_info!("discard=async has no meaning on a zoned volume and is ignored\n");
            self.discard = Discard::Never;
        }
    }

    /// What is said from now on of how free space is kept.
    pub(in crate::vfs::mount) fn say_space_cache(&mut self, word: Option<SpaceCacheWord>) {
        self.space_cache = word;
    }

    /// What the engine is told of files.
    pub(in crate::vfs::mount) fn of_files(&self) -> fs::Options {
        fs::Options {
            max_inline: self.max_inline,
            checksums: !self.flags.contains(Flags::NO_DATASUM),
        }
    }

    /// What was said last of how free space is kept, where a remount says `word`.
    pub(in crate::vfs::mount) fn space_cache(
        &self,
        word: Option<SpaceCacheWord>,
    ) -> Option<SpaceCacheWord> {
        word.or(self.space_cache)
    }

    /// Shows all but the subvolume, in C's order; of `sb` is asked whether it minds ACLs.
    pub(in crate::vfs::mount) fn show(
        &self,
        space_cache: SpaceCache,
        sb: &SuperBlock,
        out: &ShownOptions<'_>,
    ) {
        self.show_flags(&[(Flags::NO_DATASUM, c"nodatasum")], out);
        if self.max_inline != MAX_INLINE {
            out.number(c"max_inline", self.max_inline.get());
        }
        if let Some(threads) = self
            .thread_pool
            .filter(|&threads| threads != default_threads())
        {
            out.number(c"thread_pool", threads.into());
        }
        self.show_flags(&[(Flags::NO_SSD, c"nossd")], out);
        match self.flags.contains(Flags::SSD_SPREAD) {
            true => out.flag(c"ssd_spread"),
            false => self.show_flags(&[(Flags::SSD, c"ssd")], out),
        }
        self.show_flags(&[(Flags::NO_TREELOG, c"notreelog")], out);
        match (self.ignores_log, self.tries_backup_roots) {
            (true, true) => out.value(c"rescue", c"nologreplay:usebackuproot"),
            (true, false) => out.value(c"rescue", c"nologreplay"),
            (false, true) => out.value(c"rescue", c"usebackuproot"),
            (false, false) => {}
        }
        match self.discard {
            Discard::Never => {}
            Discard::AtUnpin => out.flag(c"discard"),
            Discard::Later => out.value(c"discard", c"async"),
        }
        if !sb.has_acls() {
            out.flag(c"noacl");
        }
        match space_cache {
            SpaceCache::Tree => out.value(c"space_cache", c"v2"),
            SpaceCache::Old => out.flag(c"space_cache"),
            SpaceCache::None => out.flag(c"nospace_cache"),
        }
        let flags = [
            (Flags::USER_SUBVOL_RM_ALLOWED, c"user_subvol_rm_allowed"),
            (Flags::ENOSPC_DEBUG, c"enospc_debug"),
            (Flags::SKIP_BALANCE, c"skip_balance"),
        ];
        self.show_flags(&flags, out);
        if self.metadata_ratio != 0 {
            out.number(c"metadata_ratio", self.metadata_ratio.into());
        }
        if self.commit_interval != COMMIT_INTERVAL {
            out.number(c"commit", self.commit_interval.into());
        }
    }

    fn show_flags(&self, flags: &[(Flags, &'static CStr)], out: &ShownOptions<'_>) {
        for (flag, word) in flags {
            if self.flags.contains(*flag) {
                out.flag(word);
            }
        }
    }
}

/// Refuses what would write to a volume of which something is to be ignored.
pub(in crate::vfs::mount) fn check_rescue(asked: &Asked<'_, MountOptions>) -> Result {
    let word = match (asked.options.ignores_log, asked.options.tries_backup_roots) {
        (true, _) => "nologreplay",
        (_, true) => "usebackuproot",
        _ => return Ok(()),
    };
    match asked.access {
        MountAccess::ReadOnly => Ok(()),
        MountAccess::ReadWrite => {
            asked
                .log
                .error(fmt!("mount option rescue={word} goes with ro alone"));
            Err(EINVAL)
        }
    }
}

/// What `volume` says to them.
pub(in crate::vfs::mount) fn facts(volume: &Volume) -> Facts {
    Facts {
        reuses_by_reset: volume.rules().reuses_by_reset(),
        sector_size: volume.format().sector_size.into(),
    }
}

/// C's number of worker threads, which are not shown. There are none here.
fn default_threads() -> u32 {
    crate::linux::thread::online_processors()
        .saturating_add(2)
        .min(8)
}
