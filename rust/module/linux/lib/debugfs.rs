// SPDX-License-Identifier: GPL-2.0

//! Files in debugfs.
//!
//! C header: `include/linux/debugfs.h`. The kernel crate's files do not keep the module: one that is still open when
//! the module goes would be closed by code that is gone.

use crate::linux::bindings as b;
use core::marker::PhantomData;
use core::ptr::{addr_of, null, null_mut};
use kernel::ffi::{c_int, c_void};
use kernel::fmt;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use latch::prelude::*;

/// What a file shows.
pub(crate) trait Text: Send + Sync + 'static {
    /// Writes all of it.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// A folder with one file. Dropping it takes both away, after the last reader.
///
/// # Invariants
///
/// `folder` is from `debugfs_create_dir`, or its error. `text` is what the file in it shows, a box made raw.
pub(crate) struct TextFile<T: Text> {
    folder: *mut b::dentry,
    text: *mut T,
}

// SAFETY: debugfs may be used from any thread, and the text is `Send`.
unsafe impl<T: Text> Send for TextFile<T> {}
// SAFETY: Nothing is reached through a shared reference.
unsafe impl<T: Text> Sync for TextFile<T> {}

impl<T: Text> TextFile<T> {
    /// Shows `text` in the file `name` of a new folder. Where debugfs fails there is none, as is its custom.
    pub(crate) fn new(folder: &CStr, name: &'static CStr, text: T) -> Result<Self> {
        let text = KBox::into_raw(KBox::new(text, GFP_KERNEL)?);
        let (folder, name) = (folder.as_ptr().cast(), name.as_ptr().cast());
        let (data, table) = (text.cast(), &Table::<T>::FILE);
        // SAFETY: Both names end by a zero and are copied, an error is taken for a folder; the text stays until the
        // folder was removed, the table for good.
        let folder = unsafe {
            let folder = b::debugfs_create_dir(folder, null_mut());
            b::debugfs_create_file_full(name, 0o400, folder, data, null(), table);
            folder
        };
        // INVARIANT: Both were just made.
        Ok(Self { folder, text })
    }
}

impl<T: Text> Drop for TextFile<T> {
    fn drop(&mut self) {
        // SAFETY: The type invariant; afterwards no call is in the file and none will come.
        unsafe {
            b::debugfs_remove(self.folder);
            drop(KBox::from_raw(self.text));
        }
    }
}

struct Table<T>(PhantomData<T>);

impl<T: Text> Table<T> {
    const FILE: b::file_operations = b::file_operations {
        owner: this_module(),
        open: Some(open::<T>),
        read: Some(b::seq_read),
        llseek: Some(b::seq_lseek),
        release: Some(b::single_release),
        ..pin_init::zeroed()
    };
}

const fn this_module() -> *mut b::module {
    extern "C" {
        static __this_module: u8;
    }
    // A `struct module`: only its address is taken.
    addr_of!(__this_module).cast::<b::module>().cast_mut()
}

unsafe extern "C" fn open<T: Text>(inode: *mut b::inode, file: *mut b::file) -> c_int {
    // SAFETY: debugfs lends both; `i_private` is the text, which outlives all calls.
    unsafe { b::single_open(file, Some(show::<T>), (*inode).i_private) }
}

struct Shown<'a, T>(&'a T);

impl<T: Text> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f)
    }
}

unsafe extern "C" fn show<T: Text>(seq: *mut b::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: `single_open` lends a sequence file with the text.
    let (text, out) = unsafe { (&*(*seq).private.cast::<T>(), SeqFile::from_raw(seq)) };
    seq_print!(out, "{}", Shown(text));
    0
}
