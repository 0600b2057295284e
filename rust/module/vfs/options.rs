// SPDX-License-Identifier: GPL-2.0

//! Mount options, in the words of C btrfs.
//!
//! What this driver does not do is refused in one line; what asks for what it does anyway is taken.

use super::settings::COMMIT_INTERVAL;
use crate::linux::mount::Parsed;
use core::ops::RangeInclusive;
use engine::disk::ObjectId;
use engine::txn::Discard;
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
    /// `commit=`: seconds.
    pub(crate) commit_interval: Option<u32>,
    /// `max_inline=`: bytes.
    pub(super) max_inline: Option<u32>,
    /// `thread_pool=`: nothing but shown.
    pub(super) thread_pool: Option<u32>,
    /// `metadata_ratio=`: nothing but shown.
    pub(super) metadata_ratio: Option<u32>,
    /// `discard`, `discard=sync`, `discard=async`, `nodiscard`.
    pub(super) discard: Option<Discard>,
    /// Words without a value.
    pub(super) flags: FlagChange,
    /// `rescue=nologreplay`, `norecovery`.
    pub(crate) ignores_log: bool,
    /// `nospace_cache`, `space_cache=v1`: no free space tree, and no other cache either.
    pub(super) drops_tree: bool,
    /// `noacl`.
    pub(crate) ignores_acls: bool,
    /// `rescue=usebackuproot`.
    pub(crate) tries_backup_roots: bool,
}

/// Options that are on or off, some of which are nothing but shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u16);

impl Flags {
    const NONE: Self = Self(0);
    /// `nodatasum`.
    pub(super) const NO_DATASUM: Self = Self(1);
    /// `nossd`.
    pub(super) const NO_SSD: Self = Self(1 << 1);
    /// `ssd`, or the device has no moving parts.
    pub(super) const SSD: Self = Self(1 << 2);
    /// `ssd_spread`.
    pub(super) const SSD_SPREAD: Self = Self(1 << 3);
    /// `notreelog`.
    pub(super) const NO_TREELOG: Self = Self(1 << 4);
    /// `user_subvol_rm_allowed`.
    pub(super) const USER_SUBVOL_RM_ALLOWED: Self = Self(1 << 5);
    /// `enospc_debug`.
    pub(super) const ENOSPC_DEBUG: Self = Self(1 << 6);
    /// `skip_balance`.
    pub(super) const SKIP_BALANCE: Self = Self(1 << 7);

    /// These and others.
    pub(super) const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether all of `others` are on.
    pub(super) const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// What words of one mount call do to the flags.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FlagChange {
    on: Flags,
    off: Flags,
}

impl FlagChange {
    /// The flags afterwards.
    pub(super) const fn apply(self, before: Flags) -> Flags {
        before.without(self.off).with(self.on)
    }

    /// One more word: the later one counts.
    const fn then(self, next: Self) -> Self {
        Self {
            on: self.on.without(next.off).with(next.on),
            off: self.off.without(next.on).with(next.off),
        }
    }
}

/// Words that change flags as C has it: the word, what it turns on, what off.
const WORDS: [(&[u8], Flags, Flags); 12] = [
    (b"datasum", Flags::NONE, Flags::NO_DATASUM),
    (b"nodatasum", Flags::NO_DATASUM, Flags::NONE),
    (b"ssd", Flags::SSD, Flags::NO_SSD),
    (b"nossd", Flags::NO_SSD, Flags::SSD.with(Flags::SSD_SPREAD)),
    (
        b"ssd_spread",
        Flags::SSD.with(Flags::SSD_SPREAD),
        Flags::NO_SSD,
    ),
    (b"nossd_spread", Flags::NONE, Flags::SSD_SPREAD),
    (b"treelog", Flags::NONE, Flags::NO_TREELOG),
    (b"notreelog", Flags::NO_TREELOG, Flags::NONE),
    (
        b"user_subvol_rm_allowed",
        Flags::USER_SUBVOL_RM_ALLOWED,
        Flags::NONE,
    ),
    (b"enospc_debug", Flags::ENOSPC_DEBUG, Flags::NONE),
    (b"noenospc_debug", Flags::NONE, Flags::ENOSPC_DEBUG),
    (b"skip_balance", Flags::SKIP_BALANCE, Flags::NONE),
];

/// What asks for the way things are.
const TAKEN: [&[u8]; 4] = [b"barrier", b"datacow", b"noautodefrag", b"noflushoncommit"];

/// What C knows and this driver does not do.
const REFUSED: [&[u8]; 14] = [
    b"autodefrag",
    b"nobarrier",
    b"clear_cache",
    b"compress",
    b"compress-force",
    b"nodatacow",
    b"degraded",
    b"device",
    b"fatal_errors",
    b"flushoncommit",
    b"rescan_uuid_tree",
    b"ref_verify",
    b"fragment",
    b"usebackuproot",
];

impl MountOptions {
    /// Takes one option.
    pub(super) fn parse(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<Parsed> {
        let word = Word { name, value };
        match name {
            b"subvol" => self.shown_path = Some(copy(word.value()?)?),
            b"subvolid" => self.shown_id = Some(word.subvolume_id()?),
            b"commit" => self.commit_interval = Some(word.commit_interval()?),
            b"max_inline" => self.max_inline = Some(word.size()?),
            b"thread_pool" => self.thread_pool = Some(word.number(1..=u32::MAX)?),
            b"metadata_ratio" => self.metadata_ratio = Some(word.number(0..=u32::MAX)?),
            b"acl" => self.ignores_acls = false,
            b"noacl" => self.ignores_acls = true,
            b"discard" => self.discard = Some(word.discard()?),
            b"nodiscard" => self.discard = Some(Discard::Never),
            b"norecovery" | b"nologreplay" => self.ignores_log = true,
            b"rescue" => self.rescue(&word)?,
            b"space_cache" if value == Some(b"v2") => {}
            b"compress" if value == Some(b"no") || value == Some(b"none") => {}
            _ if TAKEN.contains(&name) => {}
            _ if value.is_none() && self.flag(name) => {}
            b"space_cache" if matches!(value, None | Some(b"v1")) => self.drops_tree = true,
            b"nospace_cache" => self.drops_tree = true,
            b"space_cache" => return Err(word.refuse()),
            _ if REFUSED.contains(&name) => return Err(word.refuse()),
            _ => return Ok(Parsed::Unknown),
        }
        Ok(Parsed::Known)
    }

    /// Takes a word that changes flags; whether it is one.
    fn flag(&mut self, name: &[u8]) -> bool {
        let found = WORDS.iter().find(|(word, ..)| *word == name);
        if let Some(&(_, on, off)) = found {
            self.flags = self.flags.then(FlagChange { on, off });
        }
        found.is_some()
    }

    fn rescue(&mut self, word: &Word<'_>) -> Result {
        for part in word.value()?.split(|byte| *byte == b':') {
            match part {
                b"usebackuproot" => self.tries_backup_roots = true,
                b"nologreplay" => self.ignores_log = true,
                _ => return Err(word.refuse()),
            }
        }
        Ok(())
    }
}

pub(super) fn copy(bytes: &[u8]) -> Result<KVec<u8>> {
    let mut copy = KVec::new();
    copy.extend_from_slice(bytes, GFP_KERNEL)?;
    Ok(copy)
}

/// An option as the user wrote it.
struct Word<'a> {
    name: &'a [u8],
    value: Option<&'a [u8]>,
}

impl Word<'_> {
    fn shown(&self) -> (&str, &str) {
        let text = |bytes| core::str::from_utf8(bytes).unwrap_or("?");
        (text(self.name), text(self.value.unwrap_or(b"")))
    }

    /// Says that the option is not supported.
    fn refuse(&self) -> Error {
        let (name, value) = self.shown();
        pr_err!("mount option {name}={value} is not supported\n");
        EINVAL
    }

    fn value(&self) -> Result<&[u8]> {
        self.value.ok_or_else(|| self.bad())
    }

    fn bad(&self) -> Error {
        let (name, value) = self.shown();
        pr_err!("mount option {name}={value} has a bad value\n");
        EINVAL
    }

    fn number(&self, allowed: RangeInclusive<u32>) -> Result<u32> {
        digits(self.value()?, 10)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| allowed.contains(number))
            .ok_or_else(|| self.bad())
    }

    /// Seconds; zero stands for the default.
    fn commit_interval(&self) -> Result<u32> {
        match self.number(0..=u32::MAX)? {
            0 => Ok(COMMIT_INTERVAL),
            seconds => {
                if seconds > LONG_INTERVAL {
                    pr_warn!("a commit only every {seconds} seconds: much may be lost\n");
                }
                Ok(seconds)
            }
        }
    }

    /// Bytes, in units of 1024 and its powers where `k`, `m` or `g` follows.
    fn size(&self) -> Result<u32> {
        let text = self.value()?;
        let (text, shift) = match text.split_last() {
            Some((b'k' | b'K', text)) => (text, 10),
            Some((b'm' | b'M', text)) => (text, 20),
            Some((b'g' | b'G', text)) => (text, 30),
            _ => (text, 0),
        };
        let bytes = digits(text, 10).ok_or_else(|| self.bad())?;
        let bytes = bytes.saturating_mul(1 << shift);
        Ok(u32::try_from(bytes).unwrap_or(u32::MAX))
    }

    fn discard(&self) -> Result<Discard> {
        match self.value {
            None | Some(b"sync") => Ok(Discard::AtUnpin),
            Some(b"async") => Ok(Discard::Later),
            Some(_) => Err(self.bad()),
        }
    }

    /// Zero stands for the topmost subvolume; C takes octal and hexadecimal too.
    fn subvolume_id(&self) -> Result<ObjectId> {
        let text = self.value()?;
        let number = match text.strip_prefix(b"0x") {
            Some(text) => digits(text, 16),
            None => digits(text, 10),
        };
        match number.ok_or_else(|| self.bad())? {
            0 => Ok(ObjectId::FS_TREE),
            id => Ok(ObjectId::new(id)),
        }
    }
}

/// The number that the text is; `None` if it is none or too large. A plus sign may lead it.
fn digits(text: &[u8], radix: u32) -> Option<u64> {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, &digit| {
        let digit = char::from(digit).to_digit(radix)?;
        number
            .checked_mul(u64::from(radix))?
            .checked_add(u64::from(digit))
    })
}
