// SPDX-License-Identifier: GPL-2.0

//! Folders in `/sys/fs`: what a volume tells of itself, and lets be changed.
//!
//! C headers: `include/linux/kobject.h`, `include/linux/sysfs.h`. A file that is still open when its folder goes is answered by the
//! kernel alone (`ENODEV`), so none keeps the module.

use crate::linux::bindings as b;
use core::marker::PhantomData;
use core::ptr::{null, null_mut, NonNull};
use core::slice;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::error::to_result;
use kernel::ffi::{c_char, c_int};
use kernel::fmt;
use kernel::page::PAGE_SIZE;
use kernel::str::Formatter;
use kernel::sync::{Arc, Completion};
use kernel::types::Opaque;
use latch::prelude::*;

/// The module's folder, while there is one.
static ROOT: AtomicPtr<b::kset> = AtomicPtr::new(null_mut());

/// The folder of a file system type, `/sys/fs/NAME`. Dropping it removes it.
///
/// # Invariants
///
/// `ROOT` holds it, from `kset_create_and_add`.
pub(in crate::linux) struct Root(());

impl Root {
    /// Makes the folder. The module has one at the most, and drops it when no [`Folder`] is left.
    pub(in crate::linux) fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: The name ends by a zero and is copied; `fs_kobj` stays for good.
        let made = unsafe { b::kset_create_and_add(name.as_ptr().cast(), null(), b::fs_kobj) };
        let made = NonNull::new(made).ok_or(ENOMEM)?;
        ROOT.store(made.as_ptr(), Ordering::Release);
        // INVARIANT: Both were just done.
        Ok(Self(()))
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let root = ROOT.swap(null_mut(), Ordering::AcqRel);
        // SAFETY: By the type invariant, and this is the last use: no folder in it is left.
        unsafe { b::kset_unregister(root) };
    }
}

/// A file of a folder that tells of a `T`.
#[repr(C)]
pub(crate) struct File<T> {
    attribute: b::attribute,
    show: Show<T>,
    store: Option<fn(&T, &[u8]) -> Result>,
}

/// Writes what a file shows, a page at the most.
pub(crate) type Show<T> = fn(&T, &mut Formatter<'_>) -> fmt::Result;

impl<T> File<T> {
    /// A file that anybody can read.
    pub(crate) const fn shown(name: &'static CStr, show: Show<T>) -> Self {
        Self::new(name, 0o444, show, None)
    }

    /// A file that takes words as well, from those who have `CAP_SYS_RESOURCE`, without the space around them.
    pub(crate) const fn taking(
        name: &'static CStr,
        show: Show<T>,
        store: fn(&T, &[u8]) -> Result,
    ) -> Self {
        Self::new(name, 0o644, show, Some(store))
    }

    const fn new(
        name: &'static CStr,
        mode: b::umode_t,
        show: Show<T>,
        store: Option<fn(&T, &[u8]) -> Result>,
    ) -> Self {
        // It has more fields where lockdep is.
        let mut attribute: b::attribute = pin_init::zeroed();
        attribute.name = name.as_ptr().cast();
        attribute.mode = mode;
        Self {
            attribute,
            show,
            store,
        }
    }
}

/// What a folder tells of.
pub(crate) trait Told: Send + Sync + Sized + 'static {
    /// The folder's files.
    const FILES: &'static [File<Self>];
}

/// A folder in the module's. Dropping it removes it, after the last call that is in one of its files.
pub(crate) struct Folder<T: Told>(Arc<Object<T>>);

/// # Invariants
///
/// `kobject` was initialised with the type `Table::<T>::TYPE`, and nobody but its own count refers to it once `gone` is complete.
#[pin_data]
#[repr(C)]
struct Object<T> {
    kobject: Opaque<b::kobject>,
    #[pin]
    gone: Completion,
    of: T,
}

// SAFETY: What the kernel does with the kobject it locks itself; the rest is `Send`.
unsafe impl<T: Told> Send for Object<T> {}
// SAFETY: What the kernel does with the kobject it locks itself; the rest is `Sync`.
unsafe impl<T: Told> Sync for Object<T> {}

impl<T: Told> Folder<T> {
    /// Makes the folder `name`. `EEXIST` where there is one; `ENODEV` without a [`Root`], as before the type is registered.
    pub(crate) fn new(name: &CStr, of: T) -> Result<Self> {
        let root = NonNull::new(ROOT.load(Ordering::Acquire)).ok_or(ENODEV)?;
        check_free(root, name)?;
        let object = pin_init!(Object {
            kobject: Opaque::zeroed(),
            gone <- Completion::new(),
            of,
        });
        let object = Arc::pin_init(object, GFP_KERNEL)?;
        let kobject = object.kobject.get();
        // SAFETY: The object is zeroed and in its place. The type is static; the name is copied; the root outlives its folders.
        let added = unsafe {
            (*kobject).kset = root.as_ptr();
            let (kind, words) = (&Table::<T>::TYPE, c"%s".as_char_ptr());
            b::kobject_init_and_add(kobject, kind, null_mut(), words, name.as_char_ptr())
        };
        // INVARIANT: It is initialised, whether it was added or not.
        let this = Self(object);
        to_result(added)?;
        for file in T::FILES {
            // SAFETY: The folder was added, and the attribute is static.
            to_result(unsafe { b::sysfs_create_file_ns(kobject, &file.attribute, null()) })?;
        }
        Ok(this)
    }
}

/// `EEXIST` if `root` has a folder `name`: the kernel would complain of the attempt.
fn check_free(root: NonNull<b::kset>, name: &CStr) -> Result {
    // SAFETY: The root outlives the call; a reference that is found is given back, and may be none.
    unsafe {
        let found = b::kset_find_obj(root.as_ptr(), name.as_char_ptr());
        b::kobject_put(found);
        match found.is_null() {
            true => Ok(()),
            false => Err(EEXIST),
        }
    }
}

impl<T: Told> Drop for Folder<T> {
    fn drop(&mut self) {
        // SAFETY: The type invariant of the object: this is the count that its initialisation made. The last one takes the
        // folder away first, for which it waits for all calls.
        unsafe { b::kobject_put(self.0.kobject.get()) };
        self.0.gone.wait_for_completion();
    }
}

struct Table<T>(PhantomData<T>);

impl<T: Told> Table<T> {
    const CALLS: b::sysfs_ops = b::sysfs_ops {
        show: Some(show::<T>),
        store: Some(store::<T>),
    };
    const TYPE: b::kobj_type = b::kobj_type {
        release: Some(release::<T>),
        sysfs_ops: &Self::CALLS,
        ..pin_init::zeroed()
    };
}

/// The object and the file of a call.
///
/// # Safety
///
/// `kobject` is that of an [`Object<T>`], which stays for `'a`, and `attribute` that of a [`File<T>`].
unsafe fn called<'a, T: Told>(
    kobject: *mut b::kobject,
    attribute: *mut b::attribute,
) -> (&'a T, &'a File<T>) {
    // SAFETY: By the function's contract: both come first in what holds them, which is `repr(C)`.
    unsafe { (&(*kobject.cast::<Object<T>>()).of, &*attribute.cast()) }
}

unsafe extern "C" fn show<T: Told>(
    kobject: *mut b::kobject,
    attribute: *mut b::attribute,
    page: *mut c_char,
) -> isize {
    // SAFETY: sysfs calls with a folder of this type that waits for the call, and a file that was made in it.
    let (of, file) = unsafe { called::<T>(kobject, attribute) };
    // SAFETY: sysfs lends a page, zeroed.
    let page = unsafe { slice::from_raw_parts_mut(page.cast::<u8>(), PAGE_SIZE) };
    let mut out = Formatter::new(page);
    match (file.show)(of, &mut out) {
        Ok(()) => out.bytes_written() as isize,
        Err(_) => EIO.to_errno() as isize,
    }
}

unsafe extern "C" fn store<T: Told>(
    kobject: *mut b::kobject,
    attribute: *mut b::attribute,
    words: *const c_char,
    len: usize,
) -> isize {
    // SAFETY: As in `show`.
    let (of, file) = unsafe { called::<T>(kobject, attribute) };
    // SAFETY: sysfs lends so many bytes.
    let words = unsafe { slice::from_raw_parts(words.cast::<u8>(), len) };
    match take(of, file, words) {
        Ok(()) => len as isize,
        Err(error) => error.to_errno() as isize,
    }
}

fn take<T>(of: &T, file: &File<T>, words: &[u8]) -> Result {
    // SAFETY: It asks of the calling task.
    if !unsafe { b::capable(b::CAP_SYS_RESOURCE as c_int) } {
        return Err(EPERM);
    }
    let store = file.store.ok_or(EACCES)?;
    store(of, words.trim_ascii())
}

unsafe extern "C" fn release<T: Told>(kobject: *mut b::kobject) {
    // SAFETY: The kernel gives back what `Folder::new` initialised; who waits for this keeps it meanwhile.
    unsafe { (*kobject.cast::<Object<T>>()).gone.complete_all() };
}
