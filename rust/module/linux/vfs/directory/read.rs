// SPDX-License-Identifier: GPL-2.0

//! What `getdents` shows.

use super::Directory;
use crate::linux::bindings as b;
use crate::linux::{Inode, SuperBlock};
use core::ops::ControlFlow;
use kernel::error::from_result;
use kernel::ffi::{c_int, c_void};
use latch::prelude::*;
use latch::NofsScope;

/// The type of an entry in a directory (C: `DT_*`).
pub(crate) type EntryKind = u8;

/// Where readdir puts entries (C: `struct dir_context`).
///
/// # Invariants
///
/// `file` is an open directory, alive for `'a`, whose `private_data` [`note_end`] has set; the task holds its position's lock.
pub(crate) struct DirContext<'a> {
    inner: &'a mut b::dir_context,
    file: *mut b::file,
}

impl DirContext<'_> {
    /// Where to go on.
    pub(crate) fn position(&self) -> u64 {
        u64::try_from(self.inner.pos).unwrap_or(0)
    }

    /// Where to stop: behind the last entry there was when the file was opened or last sought in. Whoever renames what
    /// it reads would otherwise meet it again for ever.
    pub(crate) fn end(&self) -> u64 {
        // SAFETY: The file is alive by the type invariant; the word is written under the position's lock, which is held.
        let end = unsafe { (*self.file).private_data };
        (end.addr() as u64).min(i64::MAX as u64)
    }

    /// Sets where the next call goes on.
    pub(crate) fn set_position(&mut self, position: u64) {
        self.inner.pos = i64::try_from(position).unwrap_or(i64::MAX);
    }

    /// Shows "." and "..". It is to stop there if there was no room.
    fn emit_dots(&mut self) -> ControlFlow<()> {
        // SAFETY: The file is alive by the type invariant, and `inner` is the context of a call on it.
        match unsafe { b::dir_emit_dots(self.file, self.inner) } {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }

    /// Shows an entry. It is to stop there if there was no room.
    pub(crate) fn emit(&mut self, name: &[u8], ino: u64, kind: EntryKind) -> ControlFlow<()> {
        let Ok(len) = c_int::try_from(name.len()) else {
            return ControlFlow::Break(());
        };
        // SAFETY: The context is the VFS's, with its actor; the actor reads `len` bytes of the name before it returns.
        match unsafe { b::dir_emit(self.inner, name.as_ptr().cast(), len, ino, kind.into()) } {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }
}

/// Keeps [`Directory::end`] in the open file, in the word itself.
///
/// # Safety
///
/// `file` is an open directory of `T`, lent by the VFS; it is being opened, or its position's lock is held.
unsafe fn note_end<T: Directory>(file: *mut b::file) -> Result {
    let _nofs = NofsScope::enter();
    // SAFETY: An open file keeps its inode.
    let end = T::end(unsafe { Inode::borrow(b::file_inode(file)) })?;
    // SAFETY: By the function's contract nobody else reads or writes the word now; for directories of `T` it is only a number.
    unsafe { (*file).private_data = core::ptr::without_provenance_mut::<c_void>(end as usize) };
    Ok(())
}

pub(super) unsafe extern "C" fn open<T: Directory>(
    inode: *mut b::inode,
    file: *mut b::file,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends the inode for the call, and an inode keeps its super block.
        unsafe { SuperBlock::borrow((*inode).i_sb) }.remind_of_failure();
        // SAFETY: The VFS lends the file, which is being opened.
        unsafe { note_end::<T>(file) }.map(|()| 0)
    })
}

pub(super) unsafe extern "C" fn seek<T: Directory>(
    file: *mut b::file,
    offset: i64,
    whence: c_int,
) -> i64 {
    // SAFETY: The VFS lends the file, its position locked.
    match unsafe { note_end::<T>(file) } {
        // SAFETY: The VFS lends the file, its position locked.
        Ok(()) => unsafe { b::generic_file_llseek(file, offset, whence) },
        Err(error) => error.to_errno().into(),
    }
}

pub(super) unsafe extern "C" fn iterate_shared<T: Directory>(
    file: *mut b::file,
    context: *mut b::dir_context,
) -> c_int {
    // SAFETY: The VFS lends the file for the call; an open file keeps its inode.
    let dir = unsafe { Inode::borrow(b::file_inode(file)) };
    // SAFETY: The context is this call's alone until it returns.
    let inner = unsafe { &mut *context };
    from_result(|| {
        let _nofs = NofsScope::enter();
        // INVARIANT: The VFS lends the file, opened by `open`, with its position locked.
        let mut out = DirContext { inner, file };
        if out.emit_dots().is_continue() {
            T::iterate(dir, &mut out)?;
        }
        Ok(0)
    })
}
