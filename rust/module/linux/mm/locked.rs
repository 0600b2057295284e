// SPDX-License-Identifier: GPL-2.0

//! A folio's lock, and its writeback, as values.
//!
//! C header: `include/linux/pagemap.h`

use super::Folio;
use crate::linux::bindings as b;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::sync::aref::ARef;
use latch::prelude::*;

/// A folio whose lock is this value's. Dropping it unlocks, in any task and any context.
///
/// # Invariants
///
/// The folio is locked, and only this value unlocks it.
pub(crate) struct LockedFolio {
    folio: ARef<Folio>,
}

impl Deref for LockedFolio {
    type Target = Folio;

    fn deref(&self) -> &Folio {
        &self.folio
    }
}

impl LockedFolio {
    /// Waits for the folio's lock.
    pub(crate) fn lock(folio: ARef<Folio>) -> Self {
        // SAFETY: The folio is alive.
        unsafe { b::folio_lock(folio.as_ptr()) };
        // INVARIANT: The lock was just taken.
        Self { folio }
    }

    /// Takes over a lock that C took.
    ///
    /// # Safety
    ///
    /// The folio is locked, and whoever locked it leaves it to the value to unlock.
    pub(in crate::linux) unsafe fn from_locked(folio: ARef<Folio>) -> Self {
        // INVARIANT: By the function's contract.
        Self { folio }
    }

    /// A folio that C lends with its lock, and unlocks itself.
    ///
    /// # Safety
    ///
    /// `at` is a folio that is referenced and locked for `'a`.
    pub(in crate::linux) unsafe fn lent<'a>(at: *mut b::folio) -> Lent<'a> {
        // SAFETY: By the function's contract. No reference is taken, and none given back, as the value is never dropped.
        let folio = unsafe { ARef::from_raw(NonNull::from(Folio::borrow(at))) };
        // INVARIANT: By the function's contract.
        Lent {
            locked: ManuallyDrop::new(Self { folio }),
            _lent: PhantomData,
        }
    }

    /// Marks the contents as those of the file.
    pub(crate) fn mark_uptodate(&self) {
        // SAFETY: The folio is alive and locked: its contents do not go meanwhile.
        unsafe { b::folio_mark_uptodate(self.as_ptr()) };
    }

    /// Marks the contents as not those of the file: they did not pass a check.
    pub(crate) fn clear_uptodate(&self) {
        // SAFETY: The folio is alive.
        unsafe { b::folio_clear_uptodate(self.as_ptr()) };
    }

    /// Marks the contents as to go to the device.
    pub(in crate::linux) fn mark_dirty(&self) {
        // SAFETY: The folio is alive and locked: it stays in its mapping, whose counts change.
        unsafe { b::folio_mark_dirty(self.as_ptr()) };
    }

    /// Takes the dirty mark off a folio that is not to be written.
    pub(crate) fn cancel_dirty(&self) {
        // SAFETY: The folio is alive and locked: it stays in its mapping, whose counts change.
        unsafe { b::folio_cancel_dirty(self.as_ptr()) };
    }

    /// Takes the folio's dirty mark over into writeback, unless it has none.
    pub(crate) fn start_writeback_of_dirty(&self) -> Option<Writeback> {
        self.wait_writeback();
        // SAFETY: The folio is alive and locked, as C demands.
        unsafe { b::folio_clear_dirty_for_io(self.as_ptr()) }.then(|| self.start_writeback())
    }

    /// Marks the folio as on its way to the device, after waiting for the writeback before.
    pub(crate) fn start_writeback(&self) -> Writeback {
        self.wait_writeback();
        // SAFETY: The folio is alive and locked, and under no writeback: that begins under the lock only.
        unsafe { b::rbtrfs_folio_start_writeback(self.as_ptr()) };
        // INVARIANT: It was just started.
        Writeback {
            folio: self.folio.clone(),
        }
    }
}

impl Drop for LockedFolio {
    fn drop(&mut self) {
        // SAFETY: The folio is alive, and the lock is ours by the type invariant.
        unsafe { b::folio_unlock(self.folio.as_ptr()) };
    }
}

/// A locked folio whose lock and reference are C's. Dropping it does nothing.
pub(in crate::linux) struct Lent<'a> {
    locked: ManuallyDrop<LockedFolio>,
    _lent: PhantomData<&'a LockedFolio>,
}

impl Deref for Lent<'_> {
    type Target = LockedFolio;

    fn deref(&self) -> &LockedFolio {
        &self.locked
    }
}

/// A folio on its way to the device. Dropping it ends that, in any context.
///
/// # Invariants
///
/// The folio is under writeback, which only this value ends.
pub(crate) struct Writeback {
    folio: ARef<Folio>,
}

impl Deref for Writeback {
    type Target = Folio;

    fn deref(&self) -> &Folio {
        &self.folio
    }
}

impl Writeback {
    /// The folio's mapping remembers that its contents were lost.
    pub(crate) fn lost(&self) {
        let mapping = self.mapping();
        if !mapping.is_null() {
            // SAFETY: By the type invariant: a folio under writeback stays in its mapping, and the mapping with it.
            unsafe { b::mapping_set_error(mapping, EIO.to_errno()) };
        }
    }
}

impl Drop for Writeback {
    fn drop(&mut self) {
        // SAFETY: The folio is alive, and its writeback ours to end by the type invariant.
        unsafe { b::folio_end_writeback(self.folio.as_ptr()) };
    }
}
