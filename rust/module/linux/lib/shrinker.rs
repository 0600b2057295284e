// SPDX-License-Identifier: GPL-2.0

//! Giving memory back when the kernel wants it.
//!
//! C header: `include/linux/shrinker.h`

use crate::linux::bindings as b;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::ffi::{c_int, c_ulong};
use latch::prelude::*;

/// What is kept in memory and can be had again. It is called by whoever wants memory, with whatever locks: it waits for no
/// lock and takes no memory.
pub(crate) trait Shrinkable: Send + Sync + 'static {
    /// About how many pages could be given back, cheaply.
    fn count(&self) -> usize;

    /// Gives about so many pages back; how many that were.
    fn shrink(&self, wanted: usize) -> usize;
}

/// The kernel knows of something that it can ask for memory. Dropping it ends that, after the last call.
///
/// # Invariants
///
/// `at` is registered, its callbacks are those of `T`, and `private_data` is `of`, a box made raw that nobody else has.
pub(crate) struct Shrinker<T: Shrinkable> {
    at: NonNull<b::shrinker>,
    of: *mut T,
}

// SAFETY: A shrinker may be freed from any thread, and what is asked is `Send`.
unsafe impl<T: Shrinkable> Send for Shrinker<T> {}
// SAFETY: Nothing is reached through a shared reference.
unsafe impl<T: Shrinkable> Sync for Shrinker<T> {}

impl<T: Shrinkable> Shrinker<T> {
    /// Lets the kernel ask `of` for memory, under the name `name:of_what` in debugfs.
    pub(crate) fn new(name: &'static CStr, of_what: &CStr, of: T) -> Result<Self> {
        let of = KBox::new(of, GFP_KERNEL)?;
        let (format, name) = (c"%s:%s".as_ptr().cast(), name.as_ptr());
        // SAFETY: The names are formatted with "%s", and are copied.
        let at = unsafe { b::shrinker_alloc(0, format, name, of_what.as_ptr()) };
        let at = NonNull::new(at).ok_or(ENOMEM)?;
        let of = KBox::into_raw(of);
        let made: *mut b::shrinker = at.as_ptr().cast();
        // SAFETY: It is new, and nobody knows it before it is registered.
        unsafe {
            (*made).count_objects = Some(count::<T>);
            (*made).scan_objects = Some(scan::<T>);
            (*made).seeks = b::DEFAULT_SEEKS as c_int;
            (*made).private_data = of.cast();
            b::shrinker_register(at.as_ptr());
        }
        // INVARIANT: It was just registered.
        Ok(Self { at, of })
    }
}

impl<T: Shrinkable> Drop for Shrinker<T> {
    fn drop(&mut self) {
        // SAFETY: The type invariant; no call is under way after `shrinker_free`, and none will come.
        unsafe {
            b::shrinker_free(self.at.as_ptr());
            drop(KBox::from_raw(self.of));
        }
    }
}

/// Stands for the type.
struct Asked<T>(PhantomData<T>);

impl<T: Shrinkable> Asked<T> {
    /// What a call is for.
    ///
    /// # Safety
    ///
    /// `shrinker` is of [`Shrinker::new`] for `T`, and lent for `'a`.
    unsafe fn of<'a>(shrinker: *mut b::shrinker) -> &'a T {
        // SAFETY: By the function's contract; the box stays until the last call is over.
        unsafe { &*(*shrinker).private_data.cast::<T>() }
    }
}

unsafe extern "C" fn count<T: Shrinkable>(
    shrinker: *mut b::shrinker,
    _control: *mut b::shrink_control,
) -> c_ulong {
    // SAFETY: The kernel lends a shrinker of ours for the call.
    let asked = unsafe { Asked::<T>::of(shrinker) };
    match asked.count() {
        0 => b::SHRINK_EMPTY as c_ulong,
        pages => pages as c_ulong,
    }
}

unsafe extern "C" fn scan<T: Shrinkable>(
    shrinker: *mut b::shrinker,
    control: *mut b::shrink_control,
) -> c_ulong {
    // SAFETY: The kernel lends both for the call.
    let (asked, wanted, allowed) = unsafe {
        (
            Asked::<T>::of(shrinker),
            (*control).nr_to_scan,
            (*control).gfp_mask,
        )
    };
    if allowed & b::__GFP_FS == 0 {
        return b::SHRINK_STOP as c_ulong;
    }
    asked.shrink(wanted) as c_ulong
}
