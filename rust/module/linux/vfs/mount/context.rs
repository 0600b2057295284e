// SPDX-License-Identifier: GPL-2.0

//! What a call of mount or remount asks for, from its options to a super block that is as asked.
//!
//! C header: `include/linux/fs_context.h`

use super::file_system::{asked, FileSystem, MountAccess, NO_OPTIONS};
use super::options::{self, MountLog};
use super::subtree;
use crate::linux::bindings as b;
use crate::linux::{private, SuperBlock};
use core::marker::PhantomData;
use kernel::error::{from_result, to_result};
use kernel::ffi::{c_int, c_uint};

/// The operations of a context.
struct Table<T>(PhantomData<T>);

impl<T: FileSystem> Table<T> {
    const CONTEXT: b::fs_context_operations = b::fs_context_operations {
        free: Some(free_context),
        parse_param: Some(parse_param::<T>),
        get_tree: Some(subtree::get_tree::<T>),
        reconfigure: Some(reconfigure::<T>),
        ..pin_init::zeroed()
    };
}

/// Part of the type that [`super::registration`] registers.
pub(super) unsafe extern "C" fn init_context<T: FileSystem>(
    fc: *mut kernel::bindings::fs_context,
) -> c_int {
    from_result(|| {
        let fc: *mut b::fs_context = fc.cast();
        let options = private::put(T::Options::default())?;
        // SAFETY: The VFS lends a new context.
        unsafe {
            (*fc).fs_private = options.as_ptr();
            (*fc).ops = &Table::<T>::CONTEXT;
            // Without it a remount would take it off the super block.
            (*fc).sb_flags |= b::SB_I_VERSION;
        }
        Ok(0)
    })
}

unsafe extern "C" fn free_context(fc: *mut b::fs_context) {
    // SAFETY: The context ends; `fs_private` is null or from `init_context`.
    unsafe {
        let options = core::mem::replace(&mut (*fc).fs_private, core::ptr::null_mut());
        private::drop_private(options);
    }
}

unsafe extern "C" fn parse_param<T: FileSystem>(
    fc: *mut b::fs_context,
    param: *mut b::fs_parameter,
) -> c_int {
    from_result(|| {
        // SAFETY: `init_context` set the context up; the VFS serialises its use.
        let (options, log) = unsafe {
            let options = private::get_mut::<T::Options>((*fc).fs_private).ok_or(NO_OPTIONS)?;
            (options, MountLog::of(fc))
        };
        // SAFETY: The VFS lends the parameter.
        unsafe { options::parse(options, &log, param) }.map(|()| 0)
    })
}

/// The flags of the super block after a remount, as the VFS will set them: those that are not in the context's mask stay.
///
/// # Safety
///
/// `fc` is a context of a remount, used by this task alone.
unsafe fn flags_after(fc: *mut b::fs_context) -> c_uint {
    // SAFETY: By the function's contract it has the root of a mounted super block.
    let (now, asked, mask) = unsafe {
        let now = (*(*(*fc).root).d_sb).s_flags as c_uint;
        (now, (*fc).sb_flags, (*fc).sb_flags_mask)
    };
    (now & !mask) | (asked & mask)
}

unsafe extern "C" fn reconfigure<T: FileSystem>(fc: *mut b::fs_context) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends the context, of a mounted super block of ours.
        let (sb, asked) = unsafe {
            let sb = SuperBlock::borrow((*(*fc).root).d_sb);
            (sb, asked::<T>(fc, flags_after(fc))?)
        };
        if asked.access == MountAccess::ReadOnly && !sb.is_read_only() {
            // SAFETY: The super block is mounted; `s_umount` is held by the VFS.
            to_result(unsafe { b::sync_filesystem(sb.as_ptr()) })?;
        }
        T::reconfigure(sb, &asked)?;
        let acls = match T::wants_acls(asked.options).unwrap_or(sb.has_acls()) {
            true => b::SB_POSIXACL,
            false => 0,
        };
        // SAFETY: The context is the VFS's, lent for the call. The VFS refuses a file system's own bits in the mask before this call, and takes them after.
        unsafe {
            (*fc).sb_flags = ((*fc).sb_flags & !b::SB_POSIXACL) | acls;
            (*fc).sb_flags_mask |= b::SB_POSIXACL;
        }
        Ok(0)
    })
}
