// SPDX-License-Identifier: GPL-2.0
//! How a chunk's bytes are kept on devices.

use crate::disk::{BlockGroupFlags, Bytes, Physical, Stripe};

/// A profile that is supported. Both keep whole copies of a chunk, each on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// One copy.
    Single,
    /// Two copies on one device.
    Dup,
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

    /// How many stripes a chunk has on one device. Each is a whole copy.
    pub(super) const fn copies(self) -> u64 {
        match self {
            Self::Single => 1,
            Self::Dup => 2,
        }
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

    /// Where each copy of a chunk's byte is: the device's id, and the address there.
    pub(super) fn copies_at(
        self,
        stripes: &[Stripe],
        offset: Bytes,
    ) -> impl Iterator<Item = (u64, Option<Physical>)> + '_ {
        match self {
            Self::Single | Self::Dup => stripes
                .iter()
                .map(move |stripe| (stripe.devid, stripe.at.checked_add(offset))),
        }
    }
}

/// How many copies a chunk with these flags has; one where the profile is not supported.
pub fn copies_of(flags: BlockGroupFlags) -> u64 {
    Profile::of(flags).map_or(1, Profile::copies)
}
