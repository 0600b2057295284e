// SPDX-License-Identifier: GPL-2.0

//! Mount options that are on or off.

/// Options that are on or off, some of which are nothing but shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::vfs::mount) struct Flags(u16);

impl Flags {
    /// None of them.
    pub(in crate::vfs::mount) const NONE: Self = Self(0);
    /// The word is `nodatasum`.
    pub(in crate::vfs::mount) const NO_DATASUM: Self = Self(1);
    /// The word is `nossd`.
    pub(in crate::vfs::mount) const NO_SSD: Self = Self(1 << 1);
    /// `ssd`, or the device has no moving parts.
    pub(in crate::vfs::mount) const SSD: Self = Self(1 << 2);
    /// The word is `ssd_spread`.
    pub(in crate::vfs::mount) const SSD_SPREAD: Self = Self(1 << 3);
    /// The word is `notreelog`.
    pub(in crate::vfs::mount) const NO_TREELOG: Self = Self(1 << 4);
    /// The word is `user_subvol_rm_allowed`.
    pub(in crate::vfs::mount) const USER_SUBVOL_RM_ALLOWED: Self = Self(1 << 5);
    /// The word is `enospc_debug`.
    pub(in crate::vfs::mount) const ENOSPC_DEBUG: Self = Self(1 << 6);
    /// The word is `skip_balance`.
    pub(in crate::vfs::mount) const SKIP_BALANCE: Self = Self(1 << 7);

    /// The set of these flags and `others`.
    pub(in crate::vfs::mount) const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether all of `others` are on.
    pub(in crate::vfs::mount) const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// What words of one mount call do to the flags.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::vfs::mount) struct FlagChange {
    on: Flags,
    off: Flags,
}

impl FlagChange {
    /// Turns some on and some off.
    pub(in crate::vfs::mount) const fn new(on: Flags, off: Flags) -> Self {
        Self { on, off }
    }

    /// The flags afterwards.
    pub(in crate::vfs::mount) const fn apply(self, before: Flags) -> Flags {
        before.without(self.off).with(self.on)
    }

    /// The words with one more behind them: the later one counts.
    pub(in crate::vfs::mount) const fn then(self, next: Self) -> Self {
        Self {
            on: self.on.without(next.off).with(next.on),
            off: self.off.without(next.on).with(next.off),
        }
    }
}
