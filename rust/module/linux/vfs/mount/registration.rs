// SPDX-License-Identifier: GPL-2.0

//! Registering a file system type.
//!
//! C header: `include/linux/fs.h`

use super::context::init_context;
use super::file_system::FileSystem;
use super::super_operations::kill_super;
use crate::linux::bindings as b;
use crate::linux::block::pool::MetadataPool;
use crate::linux::single::{Single, Taken};
use crate::linux::sysfs::Root;
use kernel::error::to_result;
use kernel::ffi::c_int;
use latch::prelude::*;

/// Where the type stands while it is registered: lockdep takes the keys in it only from static memory.
static SLOT: Single<b::file_system_type> = Single::new();

/// What modinfo(8) says of this module: its version, and the commit of its sources.
pub(crate) fn version() -> &'static CStr {
    // SAFETY: A string of the module's own, which nobody changes.
    unsafe { CStr::from_char_ptr(b::rbtrfs_version()) }
}

/// Warns where this module was built for another kernel than it is loaded into, by the words of `uname -v`.
pub(crate) fn compare_kernels() {
    // SAFETY: It reads strings that nobody changes after boot.
    unsafe { b::rbtrfs_compare_kernels() }
}

/// The registered file system type, with what mounts look for as soon as it is registered.
///
/// # Invariants
///
/// The type in `SLOT` is registered.
pub(crate) struct Registration {
    _root: Root,
    _pool: MetadataPool,
    // Last: a registration that follows makes all of them anew.
    _taken: Taken<b::file_system_type>,
}

impl Registration {
    /// Registers `T` under `name`. `EBUSY` if there is a registration.
    pub(crate) fn new<T: FileSystem>(
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result<Self> {
        let taken = SLOT.take()?;
        let root = Root::new(name)?;
        let pool = MetadataPool::new()?;
        // SAFETY: The slot is taken, and the type is not registered yet. It is static and so stays.
        let result = unsafe {
            let kind = &mut *SLOT.as_ptr();
            kind.owner = module.as_ptr();
            kind.name = name.as_ptr().cast();
            // The calls that make inodes or change owners are given the mount's map and use it. A change gets a later
            // time than whoever looked before saw, however coarse the clock (`Inode::now`, `Inode::mirror`).
            kind.fs_flags = (b::FS_REQUIRES_DEV | b::FS_ALLOW_IDMAP | b::FS_MGTIME) as c_int;
            kind.init_fs_context = Some(init_context::<T>);
            kind.kill_sb = Some(kill_super::<T>);
            to_result(b::register_filesystem(kind))
        };
        result?;
        // INVARIANT: It is registered.
        Ok(Self {
            _root: root,
            _pool: pool,
            _taken: taken,
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: The type invariant; the module is not in use, so nothing is mounted. Inodes are freed
        // after a grace period, by a function of this module, which must have run.
        unsafe {
            b::unregister_filesystem(SLOT.as_ptr());
            b::rcu_barrier();
        }
    }
}
