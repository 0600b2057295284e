// SPDX-License-Identifier: GPL-2.0
//! Bytes of a block group or a class, by the state they are in.

use crate::disk::{Bytes, Flaw};

/// The state of a byte of a block group. See the picture in [`crate::space`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) enum ByteState {
    /// The byte can be allocated.
    Free,
    /// The byte is free, in a group of which was not read yet where.
    Unread,
    /// The byte was allocated and has no extent item yet.
    Reserved,
    /// The byte has an extent item.
    Used,
    /// The byte was freed by a transaction that is not durable yet.
    Pinned,
    /// The byte is on a sequential zone, before the write pointer, and belongs to nothing.
    Unusable,
    /// The byte is in a group that must not be allocated from, or part of a superblock copy.
    ReadOnly,
}

impl ByteState {
    /// What is wrong when more bytes leave the state than are in it.
    const fn runs_short(self) -> &'static str {
        match self {
            Self::Free => "more bytes are taken than are free",
            Self::Unread => "more bytes are read to be free than are unread",
            Self::Reserved => "more bytes leave the reserved than are reserved",
            Self::Used => "more bytes are freed than are used",
            Self::Pinned => "more bytes are unpinned than are pinned",
            Self::Unusable => "more bytes are reset than are unusable",
            Self::ReadOnly => "more bytes are opened than are read-only",
        }
    }
}

/// Bytes by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::space) struct Tally {
    pub(in crate::space) total: Bytes,
    pub(in crate::space) unread: Bytes,
    pub(in crate::space) reserved: Bytes,
    pub(in crate::space) used: Bytes,
    pub(in crate::space) pinned: Bytes,
    pub(in crate::space) unusable: Bytes,
    pub(in crate::space) read_only: Bytes,
}

impl Tally {
    /// Bytes that can be allocated.
    pub(in crate::space) fn free(&self) -> Bytes {
        let taken = [
            self.unread,
            self.reserved,
            self.used,
            self.pinned,
            self.unusable,
            self.read_only,
        ];
        taken
            .iter()
            .fold(self.total, |left, &bytes| left.saturating_sub(bytes))
    }

    /// Bytes that belong to nothing, whether it is known where they are or not.
    pub(in crate::space) fn free_in_all(&self) -> Bytes {
        self.free().saturating_add(self.unread)
    }

    /// Moves bytes from one state to another. The tally is wrong, and stays as it is, if there are not as many.
    pub(in crate::space) fn shift(
        &mut self,
        bytes: Bytes,
        from: ByteState,
        to: ByteState,
    ) -> Result<(), Flaw> {
        let (had, has) = (self.of(from), self.of(to));
        let left = had
            .checked_sub(bytes)
            .ok_or_else(|| Flaw::new(from.runs_short(), bytes.get(), had.get()))?;
        let more = has.checked_add(bytes).ok_or_else(|| {
            Flaw::new(
                "more bytes change state than can be counted",
                bytes.get(),
                has.get(),
            )
        })?;
        if from == to {
            return Ok(());
        }
        self.set(from, left);
        self.set(to, more);
        Ok(())
    }

    /// Adds another's bytes: a group joins a class.
    pub(in crate::space) fn add(&mut self, other: &Tally) {
        self.combine(other, Bytes::saturating_add);
    }

    /// Takes another's bytes off: a group leaves a class.
    pub(in crate::space) fn subtract(&mut self, other: &Tally) {
        self.combine(other, Bytes::saturating_sub);
    }

    fn combine(&mut self, other: &Tally, with: impl Fn(Bytes, Bytes) -> Bytes) {
        self.total = with(self.total, other.total);
        self.unread = with(self.unread, other.unread);
        self.reserved = with(self.reserved, other.reserved);
        self.used = with(self.used, other.used);
        self.pinned = with(self.pinned, other.pinned);
        self.unusable = with(self.unusable, other.unusable);
        self.read_only = with(self.read_only, other.read_only);
    }

    fn of(&self, state: ByteState) -> Bytes {
        match state {
            ByteState::Free => self.free(),
            ByteState::Unread => self.unread,
            ByteState::Reserved => self.reserved,
            ByteState::Used => self.used,
            ByteState::Pinned => self.pinned,
            ByteState::Unusable => self.unusable,
            ByteState::ReadOnly => self.read_only,
        }
    }

    fn set(&mut self, state: ByteState, bytes: Bytes) {
        match state {
            ByteState::Free => {}
            ByteState::Unread => self.unread = bytes,
            ByteState::Reserved => self.reserved = bytes,
            ByteState::Used => self.used = bytes,
            ByteState::Pinned => self.pinned = bytes,
            ByteState::Unusable => self.unusable = bytes,
            ByteState::ReadOnly => self.read_only = bytes,
        }
    }
}
