// SPDX-License-Identifier: GPL-2.0
//! Why a superblock is not taken.

use crate::disk::{ChecksumKind, Corrupt, Incompat, SuperFlags};
use kernel::fmt;
use latch::prelude::{pr_err, Error, EINVAL, EOPNOTSUPP};

/// Why a superblock is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuperblockError {
    /// The magic is missing: something else is there.
    NotBtrfs,
    /// The superblock's bytes break the format.
    Corrupt(Corrupt),
    /// The volume has features that are not supported here.
    Unsupported(Incompat),
    /// A tool that changes the whole file system was interrupted, or other special states.
    UnsupportedState(SuperFlags),
    /// The volume's checksums cannot be computed here.
    NoChecksum(ChecksumKind),
}

impl fmt::Display for SuperblockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBtrfs => write!(f, "no btrfs file system found"),
            Self::Corrupt(corrupt) => fmt::Display::fmt(corrupt, f),
            Self::Unsupported(features) => {
                write!(f, "unsupported features: ")?;
                fmt::Display::fmt(features, f)
            }
            Self::UnsupportedState(flags) => {
                write!(f, "unsupported state of the file system: ")?;
                fmt::Display::fmt(flags, f)
            }
            Self::NoChecksum(kind) => {
                let name = kind.name();
                write!(
                    f,
                    "no {name} when this module was loaded: modprobe lib{name}, then load it again"
                )
            }
        }
    }
}

impl SuperblockError {
    /// Logs the line for this copy of the superblock, and gives the error for the caller.
    #[cold]
    #[must_use = "the line is logged: the error is for the caller"]
    pub fn report(self, copy: usize) -> Error {
        if let Self::Corrupt(corrupt) = self {
            return corrupt.report();
        }
        pr_err!("superblock copy {}: {}\n", copy, self);
        match self {
            Self::NotBtrfs => EINVAL,
            _ => EOPNOTSUPP,
        }
    }
}
