// SPDX-License-Identifier: GPL-2.0

//! The locks of an inode and of its pages, held by values.

use super::request::Request;
use crate::linux::bindings as b;
use crate::linux::inode::LockedInode;
use crate::linux::iomap::Patience;
use crate::linux::Inode;
use core::ops::Deref;
use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering};
use latch::prelude::*;

/// How an inode is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nobody else changes its size or cuts it; others may read and overwrite.
    Shared,
    /// Nobody else has it locked.
    Exclusive,
}

/// An inode that nobody writes to, cuts or lengthens, but through a mapping.
///
/// # Invariants
///
/// The inode is locked by this value, shared.
pub(super) struct Steady<'i>(&'i Inode);

impl<'i> Steady<'i> {
    /// Waits for who writes.
    pub(super) fn wait(inode: &'i Inode) -> Self {
        // SAFETY: The inode is alive while it is borrowed.
        unsafe { b::inode_lock_shared(inode.as_ptr()) };
        // INVARIANT: Just locked.
        Self(inode)
    }
}

impl Drop for Steady<'_> {
    fn drop(&mut self) {
        // SAFETY: The type invariant, and the inode is borrowed.
        unsafe { b::inode_unlock_shared(self.0.as_ptr()) };
    }
}

/// A request whose inode is locked, for as long as its contents change, or must not be cut.
///
/// # Invariants
///
/// The inode of `request` is locked by this value, in this mode.
pub(super) struct Locked<'r, T> {
    request: &'r Request<T>,
    mode: Mode,
}

impl<T> Request<T> {
    /// Locks the inode, which nobody who calls `read_iter` or `write_iter` has locked: `EAGAIN` where that would have to
    /// wait and must not.
    pub(super) fn lock(&self, mode: Mode) -> Result<Locked<'_, T>> {
        let inode = self.inode().as_ptr();
        if self.patience == Patience::Waits {
            return Ok(Locked::new(self, mode));
        }
        // SAFETY: The inode is alive by the invariant of `Request`.
        let locked = unsafe {
            match mode {
                Mode::Shared => b::inode_trylock_shared(inode),
                Mode::Exclusive => b::inode_trylock(inode),
            }
        };
        match locked {
            0 => Err(EAGAIN),
            // INVARIANT: Just locked.
            _ => Ok(Locked {
                request: self,
                mode,
            }),
        }
    }
}

impl<'r, T> Locked<'r, T> {
    /// Waits for the lock.
    fn new(request: &'r Request<T>, mode: Mode) -> Self {
        let inode = request.inode().as_ptr();
        // SAFETY: The inode is alive by the invariant of `Request`.
        unsafe {
            match mode {
                Mode::Shared => b::inode_lock_shared(inode),
                Mode::Exclusive => b::inode_lock(inode),
            }
        }
        // INVARIANT: Just locked.
        Self { request, mode }
    }

    /// The request, also when the lock is let go.
    pub(super) fn request(&self) -> &'r Request<T> {
        self.request
    }

    /// The inode, where this task alone has it.
    pub(super) fn alone(&self) -> Option<LockedInode<'_>> {
        match self.mode {
            Mode::Shared => None,
            // SAFETY: The type invariant: it is locked exclusively, and by this value.
            Mode::Exclusive => Some(unsafe { LockedInode::new(self.inode()) }),
        }
    }

    /// The lock for this task alone. A shared one is let go in between.
    pub(super) fn into_exclusive(self) -> Exclusive<'r, T> {
        // INVARIANT: In both cases.
        match self.mode {
            Mode::Exclusive => Exclusive(self),
            Mode::Shared => {
                let request = self.request;
                drop(self);
                Exclusive(Self::new(request, Mode::Exclusive))
            }
        }
    }

    /// Waits until the size is what all direct requests so far make it: one that goes on without its caller raises it when
    /// it ends, and the lock, which is exclusive, keeps others from beginning meanwhile. `EAGAIN` for a call that must not
    /// wait.
    pub(super) fn wait_for_growth(&self) -> Result {
        let inode = self.inode().as_ptr();
        // SAFETY: The inode is alive by the invariant of `Request`, and everybody reaches the counter atomically.
        let under_way =
            unsafe { AtomicI32::from_ptr(ptr::addr_of_mut!((*inode).i_dio_count.counter)) };
        if under_way.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        self.may_wait()?;
        self.inode().wait_direct();
        Ok(())
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = Request<T>;

    fn deref(&self) -> &Request<T> {
        self.request
    }
}

impl<T> Drop for Locked<'_, T> {
    fn drop(&mut self) {
        let inode = self.request.inode().as_ptr();
        // SAFETY: The type invariant; the inode is there also where the request goes on without us.
        unsafe {
            match self.mode {
                Mode::Shared => b::inode_unlock_shared(inode),
                Mode::Exclusive => b::inode_unlock(inode),
            }
        }
    }
}

/// A request whose inode nobody else has locked.
///
/// # Invariants
///
/// The mode is exclusive.
pub(super) struct Exclusive<'r, T>(Locked<'r, T>);

impl<T> Exclusive<'_, T> {
    /// The inode, as long as it is locked.
    pub(super) fn locked_inode(&self) -> LockedInode<'_> {
        // SAFETY: The type invariants: it is locked exclusively, and by this value.
        unsafe { LockedInode::new(self.inode()) }
    }
}

impl<'r, T> Deref for Exclusive<'r, T> {
    type Target = Locked<'r, T>;

    fn deref(&self) -> &Locked<'r, T> {
        &self.0
    }
}

/// An inode that is locked exclusively by a call that is no request.
///
/// # Invariants
///
/// The inode is locked by this value.
pub(super) struct Alone<'a>(&'a Inode);

impl<'a> Alone<'a> {
    /// Waits for the lock, and until no direct request is under way.
    pub(super) fn with(inode: &'a Inode) -> Self {
        // SAFETY: The inode is alive.
        unsafe { b::inode_lock(inode.as_ptr()) };
        inode.wait_direct();
        // INVARIANT: Just locked.
        Self(inode)
    }

    /// The inode, as long as it is locked.
    pub(super) fn locked_inode(&self) -> LockedInode<'_> {
        // SAFETY: The type invariant.
        unsafe { LockedInode::new(self.0) }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { b::inode_unlock(self.0.as_ptr()) };
    }
}

/// While this lives, no page of the file comes into the page cache or becomes writable in a mapping.
///
/// # Invariants
///
/// The lock of the inode's mapping is held by this value.
pub(super) struct FaultsKeptOut<'a> {
    inode: &'a Inode,
}

impl<'a> FaultsKeptOut<'a> {
    /// Waits for faults and readahead under way.
    pub(super) fn of(inode: &'a Inode) -> Self {
        // SAFETY: An inode keeps its mapping.
        unsafe { b::filemap_invalidate_lock(inode.mapping()) };
        // INVARIANT: Just locked.
        Self { inode }
    }
}

impl Drop for FaultsKeptOut<'_> {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { b::filemap_invalidate_unlock(self.inode.mapping()) };
    }
}
