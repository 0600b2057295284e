// SPDX-License-Identifier: GPL-2.0

//! Mount options, in the words of C btrfs.
//!
//! What this driver does not do is refused in one line; what asks for what it does anyway is taken.

use crate::linux::mount::Parsed;
use engine::disk::ObjectId;
use latch::prelude::*;

/// Which subvolume a mount shows.
#[derive(Debug)]
pub(crate) enum Shown {
    /// `subvolid=`.
    Id(ObjectId),
    /// `subvol=`.
    Path(KVec<u8>),
}

/// What one mount call says; `None` is the default, or at a remount what was before.
#[derive(Debug, Default)]
pub(crate) struct MountOptions {
    /// `subvol=`, `subvolid=`.
    pub(crate) shown: Option<Shown>,
    /// `commit=`: seconds.
    pub(crate) commit_interval: Option<u32>,
    /// `max_inline=`: bytes.
    pub(crate) max_inline: Option<u32>,
    /// `datasum`, `nodatasum`.
    pub(crate) checksums: Option<bool>,
    /// `discard`, `nodiscard`.
    pub(crate) discard: Option<bool>,
    /// `rescue=nologreplay`, `norecovery`.
    pub(crate) ignores_log: bool,
    /// `noacl`.
    pub(crate) ignores_acls: bool,
    /// `rescue=usebackuproot`.
    pub(crate) tries_backup_roots: bool,
}

/// What asks for the way things are.
const TAKEN: [&[u8]; 22] = [
    b"barrier",
    b"datacow",
    b"noautodefrag",
    b"nocompress",
    b"noflushoncommit",
    b"nossd",
    b"nossd_spread",
    b"ssd",
    b"ssd_spread",
    b"treelog",
    b"notreelog",
    b"nouser_subvol_rm_allowed",
    b"user_subvol_rm_allowed",
    b"noenospc_debug",
    b"enospc_debug",
    b"skip_balance",
    b"noskip_balance",
    b"metadata_ratio",
    b"thread_pool",
    b"nodegraded",
    b"norescan_uuid_tree",
    b"noref_verify",
];

/// What C knows and this driver does not do.
const REFUSED: [&[u8]; 15] = [
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
    b"nospace_cache",
    b"ref_verify",
    b"fragment",
    b"usebackuproot",
];

impl MountOptions {
    /// Takes one option.
    pub(super) fn parse(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<Parsed> {
        let word = Word { name, value };
        match name {
            b"subvol" => self.shown = Some(Shown::Path(copy(word.value()?)?)),
            b"subvolid" => self.shown = Some(Shown::Id(word.subvolume_id()?)),
            b"commit" => self.commit_interval = Some(word.number(300)?.max(1)),
            b"max_inline" => self.max_inline = Some(word.number(u32::MAX)?),
            b"acl" => self.ignores_acls = false,
            b"noacl" => self.ignores_acls = true,
            b"datasum" => self.checksums = Some(true),
            b"nodatasum" => self.checksums = Some(false),
            b"discard" => self.discard = Some(true),
            b"nodiscard" => self.discard = Some(false),
            b"norecovery" | b"nologreplay" => self.ignores_log = true,
            b"rescue" => self.rescue(&word)?,
            b"space_cache" if value == Some(b"v2") => {}
            _ if TAKEN.contains(&name) => {}
            b"space_cache" => return Err(word.refuse()),
            _ if REFUSED.contains(&name) => return Err(word.refuse()),
            _ => return Ok(Parsed::Unknown),
        }
        Ok(Parsed::Known)
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

fn copy(bytes: &[u8]) -> Result<KVec<u8>> {
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

    fn number(&self, most: u32) -> Result<u32> {
        digits(self.value()?, 10)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|&number| number <= most)
            .ok_or_else(|| self.bad())
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
