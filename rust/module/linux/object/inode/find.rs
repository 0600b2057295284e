// SPDX-License-Identifier: GPL-2.0

//! Inodes by their keys: those in memory, and those to be filled in.

use super::slot::{InodeKey, Slot};
use super::{Inode, NewInode};
use crate::linux::bindings as b;
use crate::linux::{private, SuperBlock};
use core::ptr::NonNull;
use kernel::ffi::{c_int, c_void};
use kernel::sync::aref::ARef;
use latch::prelude::*;

struct Search {
    key: InodeKey,
    slot: Option<NonNull<c_void>>,
}

unsafe extern "C" fn matches(inode: *mut b::inode, search: *mut c_void) -> c_int {
    // SAFETY: `cached_inode` and `inode` pass a `Search`; the inode is in the hash and not freed.
    let (slot, search) = unsafe {
        let slot = private::get::<Slot>((*inode).i_private);
        (slot, &*search.cast::<Search>())
    };
    slot.is_some_and(|slot| slot.key == Some(search.key)).into()
}

unsafe extern "C" fn adopt(inode: *mut b::inode, search: *mut c_void) -> c_int {
    // SAFETY: `inode` lends a `Search` for the call.
    let search = unsafe { &mut *search.cast::<Search>() };
    let Some(slot) = search.slot.take() else {
        return ENOMEM.to_errno();
    };
    // SAFETY: Nobody else has the inode yet.
    unsafe {
        (*inode).i_ino = search.key.number;
        (*inode).i_private = slot.as_ptr();
    }
    0
}

/// What [`SuperBlock::inode`] finds.
pub(crate) enum Found {
    /// The inode in use.
    Cached(ARef<Inode>),
    /// None: fill this one in.
    New(NewInode),
}

impl SuperBlock {
    /// The inode with this key, if it is in memory.
    pub(crate) fn cached_inode(&self, key: InodeKey) -> Option<ARef<Inode>> {
        let mut search = Search { key, slot: None };
        let search = core::ptr::from_mut(&mut search).cast();
        // SAFETY: The super block is alive; `matches` takes the `Search`.
        let inode = unsafe { b::ilookup5(self.as_ptr(), key.hash(), Some(matches), search) };
        // SAFETY: `ilookup5` waited until the inode was published and gives a reference.
        NonNull::new(inode).map(|inode| unsafe { ARef::from_raw(inode.cast()) })
    }

    /// The inode with this key, from memory or new.
    pub(crate) fn inode(&self, key: InodeKey) -> Result<Found> {
        if let Some(inode) = self.cached_inode(key) {
            return Ok(Found::Cached(inode));
        }
        let mut search = Search {
            key,
            slot: Some(Slot::boxed(Some(key))?),
        };
        let at = core::ptr::from_mut(&mut search).cast();
        // SAFETY: The super block is alive; the callbacks take the `Search`.
        let inode =
            unsafe { b::iget5_locked(self.as_ptr(), key.hash(), Some(matches), Some(adopt), at) };
        if let Some(unused) = search.slot.take() {
            // SAFETY: From `private::put`, taken by nobody.
            unsafe { private::drop_private(unused.as_ptr()) };
        }
        let inode = NonNull::new(inode).ok_or(ENOMEM)?;
        // SAFETY: `iget5_locked` gives a reference.
        let owned = unsafe { ARef::<Inode>::from_raw(inode.cast()) };
        // SAFETY: The inode is alive.
        if unsafe { b::inode_state_read_once(inode.as_ptr()) } & b::inode_state_flags_enum_I_NEW
            == 0
        {
            return Ok(Found::Cached(owned));
        }
        // SAFETY: I_NEW is ours: `iget5_locked` made the inode.
        Ok(Found::New(unsafe { NewInode::of(owned) }))
    }
}
