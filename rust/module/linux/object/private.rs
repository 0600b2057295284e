// SPDX-License-Identifier: GPL-2.0

//! What this driver hangs on the kernel's objects: `s_fs_info`, `i_private`, `fs_private`.
//!
//! The pointer forgets the type; the box remembers it and is asked at every use.

use core::any::TypeId;
use core::ptr::{addr_of, NonNull};
use kernel::ffi::c_void;
use latch::prelude::*;

/// A value behind a `void *`, with its type before it.
///
/// # Invariants
///
/// `tag` is the type of `value` and `drop` frees a `KBox<Tagged<T>>` of that type.
#[repr(C)]
struct Tagged<T> {
    tag: TypeId,
    drop: unsafe fn(*mut c_void),
    value: T,
}

/// Frees a box made by [`put`].
///
/// # Safety
///
/// `at` is from [`put`] with this `T`, not freed before and not used again.
unsafe fn free<T>(at: *mut c_void) {
    // SAFETY: By the function's contract.
    drop(unsafe { KBox::from_raw(at.cast::<Tagged<T>>()) });
}

/// Boxes `value` for a `void *` field. [`drop_private`] frees it.
pub(in crate::linux) fn put<T: Send + Sync + 'static>(value: T) -> Result<NonNull<c_void>> {
    // INVARIANT: All three are of `T`.
    let tagged = Tagged {
        tag: TypeId::of::<T>(),
        drop: free::<T>,
        value,
    };
    let at = KBox::into_raw(KBox::new(tagged, GFP_KERNEL)?).cast();
    // SAFETY: A box is never null.
    Ok(unsafe { NonNull::new_unchecked(at) })
}

/// The value in a `void *` field, if it is there and is a `T`.
///
/// # Safety
///
/// `at` is null or from [`put`], and stays so for `'a`.
pub(in crate::linux) unsafe fn get<'a, T: Send + Sync + 'static>(at: *mut c_void) -> Option<&'a T> {
    let at = NonNull::new(at.cast::<Tagged<T>>())?;
    // SAFETY: Every box of `put` starts with a tag: `Tagged` is `repr(C)`.
    let tag = unsafe { *addr_of!((*at.as_ptr()).tag) };
    if tag != TypeId::of::<T>() {
        return None;
    }
    // SAFETY: The tag says that it is a `Tagged<T>`, alive by the function's contract.
    Some(unsafe { &(*at.as_ptr()).value })
}

/// The value in a `void *` field for the only one who uses it.
///
/// # Safety
///
/// The contract of [`get`]; besides, nobody else uses the value for `'a`.
pub(in crate::linux) unsafe fn get_mut<'a, T: Send + Sync + 'static>(
    at: *mut c_void,
) -> Option<&'a mut T> {
    // SAFETY: By the function's contract.
    unsafe { get::<T>(at) }?;
    // SAFETY: `get` found a `Tagged<T>`; exclusive by the function's contract.
    Some(unsafe { &mut (*at.cast::<Tagged<T>>()).value })
}

/// Frees what a `void *` field holds, if anything.
///
/// # Safety
///
/// `at` is null or from [`put`], and is not used again.
pub(in crate::linux) unsafe fn drop_private(at: *mut c_void) {
    if let Some(at) = NonNull::new(at.cast::<Tagged<()>>()) {
        // SAFETY: Every box of `put` starts with tag and drop function, whatever its `T`.
        let drop = unsafe { *addr_of!((*at.as_ptr()).drop) };
        // SAFETY: The type invariant and the function's contract.
        unsafe { drop(at.as_ptr().cast()) };
    }
}
