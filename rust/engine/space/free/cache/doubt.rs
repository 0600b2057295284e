// SPDX-License-Identifier: GPL-2.0
//! Why a cache is not believed.

use crate::disk::Flaw;
use latch::prelude::*;

/// Why a cache, or its file, is not believed.
pub(crate) enum Doubt {
    /// It is not what a cache has.
    Flaw(Flaw),
    /// It could not be looked at.
    Failed(Error),
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
