// SPDX-License-Identifier: GPL-2.0

//! Extended attributes by their namespaces.
//!
//! C header: `include/linux/xattr.h`

use crate::linux::bindings as b;
use crate::linux::Inode;
use kernel::error::from_result;
use kernel::ffi::{c_char, c_int, c_void};
use latch::prelude::*;
use latch::NofsScope;

/// How an attribute is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XattrMode {
    /// Whether it exists or not.
    Any,
    /// The attribute must not exist (`XATTR_CREATE`).
    Create,
    /// The attribute must exist (`XATTR_REPLACE`).
    Replace,
}

/// Extended attributes of an inode, by their full names.
pub(crate) trait Xattrs: 'static {
    /// The prefix of attributes that are a property of the inode rather than somebody's note.
    const PROPERTIES: &'static CStr;
    /// Copies the value into `out`; with an empty `out` only its length is asked. `ENODATA`, `ERANGE`.
    fn get(inode: &Inode, name: &[u8], out: &mut [u8]) -> Result<usize>;
    /// Sets the value, or removes it.
    fn set(inode: &Inode, name: &[u8], value: Option<&[u8]>, mode: XattrMode) -> Result;
}

/// The full name for a handler's call: C passes what follows the prefix, in the same string.
///
/// # Safety
///
/// `handler` and `name` are what the VFS passed.
unsafe fn full_name<'a>(handler: *const b::xattr_handler, name: *const c_char) -> &'a [u8] {
    // SAFETY: By the function's contract.
    unsafe { CStr::from_char_ptr(b::xattr_full_name(handler, name)) }.to_bytes()
}

/// The caller's room for an answer; null is none, where only the length is asked.
///
/// # Safety
///
/// `out` is null, or has `size` bytes that are nobody else's for `'a`.
pub(in crate::linux::vfs) unsafe fn room<'a>(out: *mut u8, size: usize) -> &'a mut [u8] {
    match out.is_null() {
        true => &mut [],
        // SAFETY: By the function's contract.
        false => unsafe { core::slice::from_raw_parts_mut(out, size) },
    }
}

unsafe extern "C" fn get<T: Xattrs>(
    handler: *const b::xattr_handler,
    _dentry: *mut b::dentry,
    inode: *mut b::inode,
    name: *const c_char,
    out: *mut c_void,
    size: usize,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends all; `out` has `size` bytes, or is null.
        let (inode, name, out) = unsafe {
            let out = room(out.cast(), size);
            (Inode::borrow(inode), full_name(handler, name), out)
        };
        let _nofs = NofsScope::enter();
        T::get(inode, name, out).map(|len| c_int::try_from(len).unwrap_or(c_int::MAX))
    })
}

unsafe extern "C" fn set<T: Xattrs>(
    handler: *const b::xattr_handler,
    _idmap: *mut b::mnt_idmap,
    _dentry: *mut b::dentry,
    inode: *mut b::inode,
    name: *const c_char,
    value: *const c_void,
    size: usize,
    flags: c_int,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends all; `value` has `size` bytes, or is null for removal.
        let (inode, name, value) = unsafe {
            let value =
                (!value.is_null()).then(|| core::slice::from_raw_parts(value.cast::<u8>(), size));
            (Inode::borrow(inode), full_name(handler, name), value)
        };
        let mode = match u32::try_from(flags).unwrap_or(0) {
            b::XATTR_CREATE => XattrMode::Create,
            b::XATTR_REPLACE => XattrMode::Replace,
            _ => XattrMode::Any,
        };
        let _nofs = NofsScope::enter();
        crate::linux::enospc::with_space(inode, || T::set(inode, name, value, mode)).map(|()| 0)
    })
}

/// The list of namespaces, for `s_xattr`.
#[repr(transparent)]
pub(in crate::linux::vfs) struct Handlers([*const b::xattr_handler; 5]);

// SAFETY: The pointers are to static tables that are never written.
unsafe impl Sync for Handlers {}

#[repr(transparent)]
struct Handler(b::xattr_handler);

// SAFETY: The strings it points at are static; it is never written.
unsafe impl Sync for Handler {}

const fn handler<T: Xattrs>(prefix: &'static CStr) -> b::xattr_handler {
    b::xattr_handler {
        prefix: prefix.as_ptr().cast(),
        get: Some(get::<T>),
        set: Some(set::<T>),
        ..pin_init::zeroed()
    }
}

pub(in crate::linux::vfs) struct Table<T>(core::marker::PhantomData<T>);

impl<T: Xattrs> Table<T> {
    const USER: &'static Handler = &Handler(handler::<T>(c"user."));
    const TRUSTED: &'static Handler = &Handler(handler::<T>(c"trusted."));
    const SECURITY: &'static Handler = &Handler(handler::<T>(c"security."));
    const PROPERTIES: &'static Handler = &Handler(handler::<T>(T::PROPERTIES));
    const ALL: &'static Handlers = &Handlers([
        &Self::SECURITY.0,
        &Self::USER.0,
        &Self::TRUSTED.0,
        &Self::PROPERTIES.0,
        core::ptr::null(),
    ]);

    /// What `s_xattr` is set to.
    pub(in crate::linux::vfs) fn handlers() -> *const *const b::xattr_handler {
        Self::ALL.0.as_ptr()
    }
}
