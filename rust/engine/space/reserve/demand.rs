// SPDX-License-Identifier: GPL-2.0
//! How a reservation asks, and what it is told when it is refused.

use super::class::Class;

/// How hard a reservation may press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Anything that can fail with ENOSPC.
    Ordinary,
    /// What gives space back (unlink, truncate, orphans): may draw on the global reserve.
    Freeing,
    /// What a commit cannot do without: never refused.
    Commit,
}

/// Why a reservation was refused now, and what may help. The caller does it once and asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Allocate a chunk of this class, then ask again.
    NeedChunk(Class),
    /// Freed bytes wait for the running transaction: commit, then ask again.
    NeedCommit,
    /// Neither would help: ENOSPC.
    Full,
}
