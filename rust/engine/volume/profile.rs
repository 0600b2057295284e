// SPDX-License-Identifier: GPL-2.0
//! How a chunk's bytes are kept on devices.

use crate::disk::{BlockGroupFlags, Bytes};

/// A profile that is supported. Both keep whole copies of a chunk, each on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// There is one copy.
    Single,
    /// Two copies on one device.
    Dup,
}

/// A byte of a chunk in one of its stripes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InStripe {
    /// Which of the chunk's stripes.
    pub(super) stripe: usize,
    /// Where it is in that.
    pub(super) offset: Bytes,
}

impl Profile {
    /// The profile of a chunk with these flags; `None` where it is not supported.
    pub(super) fn of(flags: BlockGroupFlags) -> Option<Self> {
        match flags.profile() {
            BlockGroupFlags::DUP => Some(Self::Dup),
            profile if profile.is_empty() => Some(Self::Single),
            _ => None,
        }
    }

    /// How many copies of each byte there are.
    pub(super) const fn copies(self) -> u64 {
        match self {
            Self::Single => 1,
            Self::Dup => 2,
        }
    }

    /// How many stripes a chunk has.
    pub(super) const fn stripes(self) -> u64 {
        match self {
            Self::Single | Self::Dup => self.copies(),
        }
    }

    /// How many copies of a byte may fail without its being lost.
    pub(super) const fn may_fail(self) -> u64 {
        self.copies().saturating_sub(1)
    }

    /// Bytes of each stripe of a chunk of this length.
    pub(super) const fn stripe_len(self, chunk_len: Bytes) -> Bytes {
        match self {
            Self::Single | Self::Dup => chunk_len,
        }
    }

    /// How long a chunk is whose stripes have this length.
    pub(super) const fn chunk_len(self, stripe_len: Bytes) -> Bytes {
        match self {
            Self::Single | Self::Dup => stripe_len,
        }
    }

    /// Where each copy of a chunk's byte is.
    pub(super) fn copies_at(self, offset: Bytes) -> impl Iterator<Item = InStripe> {
        let stripes = match self {
            Self::Single => 0..1,
            Self::Dup => 0..2,
        };
        stripes.map(move |stripe| InStripe { stripe, offset })
    }
}

/// How many copies a chunk with these flags has; one where the profile is not supported.
pub fn copies_of(flags: BlockGroupFlags) -> u64 {
    Profile::of(flags).map_or(1, Profile::copies)
}
