// SPDX-License-Identifier: GPL-2.0

//! Mount options, in the words of C btrfs.
//!
//! What this driver does not do is refused, as mount(8) tells the user; what asks for what it does anyway is taken.
//!
//! | module          | what it is                                                       |
//! |-----------------|------------------------------------------------------------------|
//! | [`flags`]       | those of them that are on or off                                 |
//! | [`settings`]    | the options in force, as `/proc/mounts` shows them               |
//! | [`space_cache`] | where free space is kept: what words change, and what is refused |

pub(super) mod flags;
pub(super) mod settings;
pub(super) mod space_cache;

use crate::linux::options::{Given, Kind, Options, Parameter};
use engine::disk::{Bytes, ObjectId};
use engine::txn::Discard;
use flags::{FlagChange, Flags};
use latch::prelude::*;

/// More seconds between commits than this are worth a warning (C: `BTRFS_WARNING_COMMIT_INTERVAL`).
const LONG_INTERVAL: u32 = 300;

/// What one mount call says; `None` is the default, or at a remount what was before.
#[derive(Debug, Default)]
pub(crate) struct MountOptions {
    /// `subvol=`: where the subvolume is that the mount shows.
    pub(crate) shown_path: Option<KVec<u8>>,
    /// `subvolid=`: which it is.
    pub(crate) shown_id: Option<ObjectId>,
    /// `commit=`: seconds; zero is the default.
    pub(crate) commit_interval: Option<u32>,
    /// What `max_inline=` says.
    pub(in crate::vfs::mount) max_inline: Option<Bytes>,
    /// `thread_pool=`: nothing but shown.
    pub(in crate::vfs::mount) thread_pool: Option<u32>,
    /// `metadata_ratio=`: nothing but shown.
    pub(in crate::vfs::mount) metadata_ratio: Option<u32>,
    /// `discard`, `discard=sync`, `discard=async`, `nodiscard`.
    pub(in crate::vfs::mount) discard: Option<Discard>,
    /// Words without a value.
    pub(in crate::vfs::mount) flags: FlagChange,
    /// Whether `rescue=nologreplay` or `norecovery` was said.
    pub(crate) ignores_log: bool,
    /// `space_cache`, `space_cache=v1`, `space_cache=v2`, `nospace_cache`.
    pub(crate) space_cache: Option<SpaceCacheWord>,
    /// `clear_cache`: what the volume has of free space is made anew.
    pub(crate) clears_cache: bool,
    /// Whether `acl` or `noacl` was said.
    pub(crate) acls: Option<bool>,
    /// Whether `rescue=usebackuproot` was said.
    pub(crate) tries_backup_roots: bool,
}

/// How free space is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpaceCacheWord {
    /// `space_cache=v2`: in a tree.
    Tree,
    /// `space_cache`, `space_cache=v1`: in files.
    Old,
    /// The word is `nospace_cache`.
    None,
}

type Word = Parameter<MountOptions>;

const fn flag(name: &'static CStr, take: fn(&mut MountOptions)) -> Word {
    Word::new(name, Kind::Flag(take))
}

const fn refused(name: &'static CStr) -> Word {
    Word::new(name, Kind::RefusedFlag)
}

/// A word that asks for the way things are.
const fn taken(name: &'static CStr) -> Word {
    Word::new(name, Kind::Flag(|_| {}))
}

impl Options for MountOptions {
    const PARAMETERS: &'static [Word] = &[
        flag(c"acl", |options| options.acls = Some(true)),
        flag(c"noacl", |options| options.acls = Some(false)),
        refused(c"autodefrag"),
        taken(c"noautodefrag"),
        taken(c"barrier"),
        refused(c"nobarrier"),
        flag(c"clear_cache", |options| options.clears_cache = true),
        Word::new(c"commit", Kind::U32(MountOptions::take_commit)),
        refused(c"compress"),
        Word::new(c"compress", Kind::Text(MountOptions::take_compress)),
        refused(c"compress-force"),
        Word::new(c"compress-force", Kind::Text(MountOptions::take_compress)),
        taken(c"datacow"),
        refused(c"nodatacow"),
        flag(c"datasum", |options| {
            options.change(Flags::NONE, Flags::NO_DATASUM);
        }),
        flag(c"nodatasum", |options| {
            options.change(Flags::NO_DATASUM, Flags::NONE);
        }),
        refused(c"degraded"),
        Word::new(c"device", Kind::RefusedText),
        flag(c"discard", |options| {
            options.discard = Some(Discard::AtUnpin);
        }),
        Word::new(c"discard", Kind::Text(MountOptions::take_discard)),
        flag(c"nodiscard", |options| {
            options.discard = Some(Discard::Never);
        }),
        flag(c"enospc_debug", |options| {
            options.change(Flags::ENOSPC_DEBUG, Flags::NONE);
        }),
        flag(c"noenospc_debug", |options| {
            options.change(Flags::NONE, Flags::ENOSPC_DEBUG);
        }),
        Word::new(c"fatal_errors", Kind::Text(MountOptions::take_fatal_errors)),
        refused(c"flushoncommit"),
        taken(c"noflushoncommit"),
        Word::new(c"fragment", Kind::RefusedText),
        Word::new(c"max_inline", Kind::Size(MountOptions::take_max_inline)),
        Word::new(c"metadata_ratio", Kind::U32(MountOptions::take_ratio)),
        flag(c"norecovery", |options| options.ignores_log = true),
        flag(c"nologreplay", |options| options.ignores_log = true),
        refused(c"ref_verify"),
        refused(c"rescan_uuid_tree"),
        Word::new(c"rescue", Kind::Text(MountOptions::take_rescue)),
        flag(c"skip_balance", |options| {
            options.change(Flags::SKIP_BALANCE, Flags::NONE);
        }),
        flag(c"space_cache", |options| {
            options.space_cache = Some(SpaceCacheWord::Old);
        }),
        Word::new(c"space_cache", Kind::Text(MountOptions::take_space_cache)),
        flag(c"nospace_cache", |options| {
            options.space_cache = Some(SpaceCacheWord::None);
        }),
        flag(c"ssd", |options| options.change(Flags::SSD, Flags::NO_SSD)),
        flag(c"nossd", |options| {
            options.change(Flags::NO_SSD, Flags::SSD.with(Flags::SSD_SPREAD));
        }),
        flag(c"ssd_spread", |options| {
            options.change(Flags::SSD.with(Flags::SSD_SPREAD), Flags::NO_SSD);
        }),
        flag(c"nossd_spread", |options| {
            options.change(Flags::NONE, Flags::SSD_SPREAD);
        }),
        Word::new(c"subvol", Kind::Text(MountOptions::take_shown_path)),
        // As C, which took it by accident once.
        taken(c"subvol="),
        Word::new(c"subvolid", Kind::U64(MountOptions::take_shown_id)),
        Word::new(c"thread_pool", Kind::U32(MountOptions::take_threads)),
        flag(c"treelog", |options| {
            options.change(Flags::NONE, Flags::NO_TREELOG);
        }),
        flag(c"notreelog", |options| {
            options.change(Flags::NO_TREELOG, Flags::NONE);
        }),
        refused(c"usebackuproot"),
        flag(c"user_subvol_rm_allowed", |options| {
            options.change(Flags::USER_SUBVOL_RM_ALLOWED, Flags::NONE);
        }),
    ];
}

impl MountOptions {
    fn change(&mut self, on: Flags, off: Flags) {
        self.flags = self.flags.then(FlagChange::new(on, off));
    }

    fn take_commit(&mut self, seconds: u32, given: &Given<'_>) -> Result {
        if seconds > LONG_INTERVAL {
            given.log().warn(fmt!(
                "a commit only every {seconds} seconds: much may be lost"
            ));
        }
        self.commit_interval = Some(seconds);
        Ok(())
    }

    fn take_compress(&mut self, kind: &[u8], given: &Given<'_>) -> Result {
        match kind {
            b"no" | b"none" => Ok(()),
            _ => Err(given.refuse()),
        }
    }

    /// `panic` is refused: an error never stops the kernel.
    fn take_fatal_errors(&mut self, reaction: &[u8], given: &Given<'_>) -> Result {
        match reaction {
            b"bug" => Ok(()),
            _ => Err(given.refuse()),
        }
    }

    fn take_discard(&mut self, mode: &[u8], given: &Given<'_>) -> Result {
        self.discard = match mode {
            b"sync" => Some(Discard::AtUnpin),
            b"async" => Some(Discard::Later),
            _ => return Err(given.bad_value()),
        };
        Ok(())
    }

    fn take_max_inline(&mut self, len: Bytes) {
        self.max_inline = Some(len);
    }

    fn take_ratio(&mut self, ratio: u32, _: &Given<'_>) -> Result {
        self.metadata_ratio = Some(ratio);
        Ok(())
    }

    /// C shows several between colons and takes one at a time; here both are taken.
    fn take_rescue(&mut self, parts: &[u8], given: &Given<'_>) -> Result {
        for part in parts.split(|byte| *byte == b':') {
            match part {
                b"usebackuproot" => self.tries_backup_roots = true,
                b"nologreplay" => self.ignores_log = true,
                _ => return Err(given.refuse()),
            }
        }
        Ok(())
    }

    fn take_space_cache(&mut self, version: &[u8], given: &Given<'_>) -> Result {
        self.space_cache = match version {
            b"v1" => Some(SpaceCacheWord::Old),
            b"v2" => Some(SpaceCacheWord::Tree),
            _ => return Err(given.bad_value()),
        };
        Ok(())
    }

    fn take_shown_path(&mut self, path: &[u8], _: &Given<'_>) -> Result {
        self.shown_path = Some(copy(path)?);
        Ok(())
    }

    /// Zero stands for the topmost subvolume.
    fn take_shown_id(&mut self, id: u64, _: &Given<'_>) -> Result {
        self.shown_id = match id {
            0 => Some(ObjectId::FS_TREE),
            id => Some(ObjectId::new(id)),
        };
        Ok(())
    }

    fn take_threads(&mut self, threads: u32, given: &Given<'_>) -> Result {
        match threads {
            0 => Err(given.bad_value()),
            _ => {
                self.thread_pool = Some(threads);
                Ok(())
            }
        }
    }
}

pub(in crate::vfs::mount) fn copy(bytes: &[u8]) -> Result<KVec<u8>> {
    let mut copy = KVec::new();
    copy.extend_from_slice(bytes, GFP_KERNEL)?;
    Ok(copy)
}
