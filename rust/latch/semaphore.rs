// SPDX-License-Identifier: GPL-2.0

//! The kernel's reader-writer semaphore.
//!
//! C header: `include/linux/rwsem.h`

use crate::{Nesting, Rank};
use kernel::bindings;
use kernel::prelude::*;
use kernel::types::Opaque;

/// A `struct rw_semaphore`.
///
/// # Invariants
///
/// `inner` is initialised.
#[pin_data]
pub(crate) struct Semaphore {
    #[pin]
    inner: Opaque<bindings::rw_semaphore>,
}

// SAFETY: A `rw_semaphore` may be used from any thread.
unsafe impl Send for Semaphore {}
// SAFETY: A `rw_semaphore` synchronises itself.
unsafe impl Sync for Semaphore {}

impl Semaphore {
    pub(crate) fn new(rank: Rank) -> impl PinInit<Self> {
        // INVARIANT: `__init_rwsem` initialises it.
        pin_init!(Self {
            // SAFETY: `slot` is valid for writes, name and key are static.
            inner <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_rwsem(slot, rank.name().as_char_ptr(), rank.key().as_ptr())
            }),
        })
    }

    pub(crate) fn down_read(&self) {
        // SAFETY: The semaphore is initialised by the type invariant.
        unsafe { bindings::down_read(self.inner.get()) };
    }

    pub(crate) fn down_write(&self) {
        // SAFETY: The semaphore is initialised by the type invariant.
        unsafe { bindings::down_write(self.inner.get()) };
    }

    pub(crate) fn try_down_read(&self) -> bool {
        // SAFETY: The semaphore is initialised by the type invariant.
        unsafe { bindings::down_read_trylock(self.inner.get()) != 0 }
    }

    pub(crate) fn try_down_write(&self) -> bool {
        // SAFETY: The semaphore is initialised by the type invariant.
        unsafe { bindings::down_write_trylock(self.inner.get()) != 0 }
    }

    /// # Safety
    ///
    /// The caller holds the semaphore for reading and gives that up.
    pub(crate) unsafe fn up_read(&self) {
        // SAFETY: By the function's contract.
        unsafe { bindings::up_read(self.inner.get()) };
    }

    /// # Safety
    ///
    /// The caller holds the semaphore for writing and gives that up.
    pub(crate) unsafe fn up_write(&self) {
        // SAFETY: By the function's contract.
        unsafe { bindings::up_write(self.inner.get()) };
    }
}

#[cfg(not(CONFIG_DEBUG_LOCK_ALLOC))]
impl Semaphore {
    pub(crate) fn down_read_nested(&self, _nesting: Nesting) {
        self.down_read();
    }

    pub(crate) fn down_write_nested(&self, _nesting: Nesting) {
        self.down_write();
    }

    pub(crate) fn set_class(&self, _nesting: Nesting) {}
}

#[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
mod lockdep {
    use super::*;
    use core::ptr::addr_of_mut;
    use kernel::sync::LockClassKey;

    const LEVELS: usize = 8;
    const TREES: usize = 16;
    const NAMES: [&CStr; TREES] = [
        c"rbtrfs-root",
        c"rbtrfs-chunk",
        c"rbtrfs-extent",
        c"rbtrfs-device",
        c"rbtrfs-files",
        c"rbtrfs-checksums",
        c"rbtrfs-quota",
        c"rbtrfs-uuid",
        c"rbtrfs-freespace",
        c"rbtrfs-blockgroups",
        c"rbtrfs-log",
        c"rbtrfs-other",
        c"rbtrfs-12",
        c"rbtrfs-13",
        c"rbtrfs-14",
        c"rbtrfs-15",
    ];
    // SAFETY: The keys lie in static memory and are never dropped.
    static KEYS: [LockClassKey; LEVELS * TREES] =
        [const { unsafe { LockClassKey::new_static() } }; LEVELS * TREES];

    impl Semaphore {
        pub(crate) fn down_read_nested(&self, nesting: Nesting) {
            // SAFETY: The semaphore is initialised by the type invariant.
            unsafe { bindings::down_read_nested(self.inner.get(), i32::from(nesting.side as u8)) };
        }

        pub(crate) fn down_write_nested(&self, nesting: Nesting) {
            // SAFETY: The semaphore is initialised by the type invariant.
            unsafe { bindings::down_write_nested(self.inner.get(), i32::from(nesting.side as u8)) };
        }

        /// Gives the lock the class of its tree and level; called before its first use.
        pub(crate) fn set_class(&self, nesting: Nesting) {
            let tree = usize::from(nesting.tree as u8) % TREES;
            let key = &KEYS[tree * LEVELS + usize::from(nesting.level) % LEVELS];
            let sem = self.inner.get();
            // SAFETY: The semaphore is initialised by the type invariant; name and key are static.
            unsafe {
                let map = addr_of_mut!((*sem).dep_map);
                bindings::lockdep_init_map_type(
                    map,
                    NAMES[tree].as_char_ptr(),
                    key.as_ptr(),
                    0,
                    (*map).wait_type_inner,
                    (*map).wait_type_outer,
                    (*map).lock_type,
                );
            }
        }
    }
}
