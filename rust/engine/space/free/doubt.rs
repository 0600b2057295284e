// SPDX-License-Identifier: GPL-2.0
//! Why what the disk says is free is not believed.

use crate::disk::Flaw;
use kernel::fmt;
use latch::prelude::*;

/// Why a cache, its file, or a range that is said to be free is not believed.
pub(crate) enum Doubt {
    /// What was read is not what it should be.
    Flaw(Flaw),
    /// What was to be read could not be.
    Failed(Error),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flaw(flaw) => flaw.fmt(f),
            Self::Failed(error) => write!(f, "it cannot be read ({})", error.to_errno()),
        }
    }
}

impl From<Flaw> for Doubt {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

impl From<Error> for Doubt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
