// SPDX-License-Identifier: GPL-2.0
//! How a reservation asks, and what it is told when it is refused.

use super::class::Class;

/// How hard a reservation may press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The caller can fail with ENOSPC.
    Ordinary,
    /// The caller writes to space that its file was given, which was promised to be there for it: it may draw on the first
    /// half of the global reserve.
    Promised,
    /// The caller gives space back (unlink, truncate, orphans), and may draw on the global reserve.
    Freeing,
    /// A commit cannot do without the bytes: it is never refused.
    Commit,
}

/// How much of the global reserve may go where free bytes are lost until zones are reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) enum Reserve {
    /// A little: more of it would leave no place to move a group to.
    Kept,
    /// All of it: a commit does not go on otherwise.
    DrawnOn,
}

/// Whether free bytes were taken out of what can be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "nothing was taken where it is refused"]
pub(in crate::space) enum Withdrawal {
    /// The bytes were found.
    Done,
    /// The bytes were not given: they are promised already, or the class cannot do without.
    Refused,
}

/// Whether bytes that were allocated are promised to who had them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the bytes may be promised to others"]
pub(in crate::space) enum Return {
    /// The bytes are promised.
    Promised,
    /// All that is free is promised to others.
    Lost,
}

/// Why a reservation was refused now, and what may help. The caller does it once and asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// There is enough in groups of this class of which is not known where they are free: have it read
    /// ([`crate::space::Space::read_next`]), then ask again.
    Unread(Class),
    /// A chunk of this class can be allocated: do so, then ask again.
    NeedChunk(Class),
    /// Others were promised bytes with the same right to them ([`Urgency::Promised`]), and give them back when they have
    /// written: ask again when some have.
    Others,
    /// Freed bytes wait for the running transaction: commit, then ask again.
    NeedCommit,
    /// Neither a chunk nor a commit would help: ENOSPC.
    Full,
}
