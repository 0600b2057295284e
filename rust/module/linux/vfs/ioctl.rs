// SPDX-License-Identifier: GPL-2.0

//! `ioctl` on files and directories: a table of calls by their numbers.
//!
//! C headers: `include/linux/fs.h`, `include/asm-generic/ioctl.h`. What a call reads and writes is no longer than its number
//! says. What the VFS answers itself (`FS_IOC_GETFLAGS`, `FIFREEZE`, `FS_IOC_GETFSUUID`, ..) never comes here.

use crate::linux::bindings as b;
use crate::linux::Inode;
use core::marker::PhantomData;
use kernel::error::{from_result, to_result};
use kernel::ffi::{c_int, c_long, c_uint, c_ulong};
use kernel::ioctl::_IOC_SIZE;
use kernel::transmute::{AsBytes, FromBytes};
use kernel::types::NotThreadSafe;
use kernel::uaccess::{UserPtr, UserSlice};
use latch::prelude::*;

/// What one call asks.
///
/// # Invariants
///
/// `file` is an open file of this driver, alive for `'a`.
pub(crate) struct Call<'a> {
    file: *mut b::file,
    number: u32,
    argument: usize,
    _lent: PhantomData<&'a ()>,
}

/// A call that there is.
pub(crate) struct Entry {
    /// The call's number, with the size of its argument.
    pub(crate) number: u32,
    /// What it does.
    pub(crate) run: fn(&Call<'_>) -> Result,
}

/// Files and directories with such calls.
pub(crate) trait Ioctls: 'static {
    /// All calls of the kind. Any other number is `ENOTTY`.
    const CALLS: &'static [Entry];
}

impl Call<'_> {
    /// The file's inode.
    pub(crate) fn inode(&self) -> &Inode {
        // SAFETY: By the type invariant; an open file keeps its inode.
        unsafe { Inode::borrow(b::file_inode(self.file)) }
    }

    /// `EPERM` for those without `CAP_SYS_ADMIN`.
    pub(crate) fn require_admin(&self) -> Result {
        // SAFETY: It asks of the calling task.
        match unsafe { b::capable(b::CAP_SYS_ADMIN as c_int) } {
            true => Ok(()),
            false => Err(EPERM),
        }
    }

    /// Between two pieces of long work: lets the task be frozen, where the whole machine or its control group is. `EINTR`
    /// for a task that is about to die. No lock may be held.
    pub(crate) fn pause(&self) -> Result {
        if latch::is_killed() {
            return Err(EINTR);
        }
        // SAFETY: It is about the calling task, which may sleep here.
        unsafe { b::rbtrfs_try_to_freeze() };
        Ok(())
    }

    /// Keeps the mount writable and the file system from being frozen. `EROFS`; waits for a thaw.
    pub(crate) fn want_write(&self) -> Result<WriteAccess<'_>> {
        // SAFETY: By the type invariant.
        to_result(unsafe { b::mnt_want_write_file(self.file) })?;
        // INVARIANT: It was taken.
        Ok(WriteAccess {
            file: self.file,
            _call: PhantomData,
            _not_send: NotThreadSafe,
        })
    }

    /// The argument. `EFAULT`.
    pub(crate) fn read<T: FromBytes>(&self) -> Result<T> {
        self.user(size_of::<T>())?.reader().read()
    }

    /// Writes the answer to the caller's memory. `EFAULT` where that is not there.
    pub(crate) fn write<T: AsBytes>(&self, answer: &T) -> Result {
        self.user(size_of::<T>())?.writer().write(answer)
    }

    /// The memory of the caller that the argument points at.
    fn user(&self, len: usize) -> Result<UserSlice> {
        match len <= _IOC_SIZE(self.number) {
            true => Ok(UserSlice::new(UserPtr::from_addr(self.argument), len)),
            false => Err(EINVAL),
        }
    }
}

/// While this lives the file's mount is writable and its file system is not frozen.
///
/// # Invariants
///
/// This task took it by `mnt_want_write_file`, and the call's file lives as long.
pub(crate) struct WriteAccess<'a> {
    file: *mut b::file,
    _call: PhantomData<&'a ()>,
    _not_send: NotThreadSafe,
}

impl Drop for WriteAccess<'_> {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { b::mnt_drop_write_file(self.file) };
    }
}

/// The call `unlocked_ioctl` of directories and files.
pub(super) unsafe extern "C" fn native<T: Ioctls>(
    file: *mut b::file,
    number: c_uint,
    argument: c_ulong,
) -> c_long {
    from_result(|| {
        let mut calls = T::CALLS.iter();
        let entry = calls.find(|entry| entry.number == number).ok_or(ENOTTY)?;
        // INVARIANT: The VFS lends an open file of ours for the call.
        let call = Call {
            file,
            number,
            argument,
            _lent: PhantomData,
        };
        (entry.run)(&call).map(|()| 0)
    })
}

/// The call `compat_ioctl`: no argument has a pointer or a number that is wider here.
pub(super) unsafe extern "C" fn compat<T: Ioctls>(
    file: *mut b::file,
    number: c_uint,
    argument: c_ulong,
) -> c_long {
    // What a pointer of 32 bits is, above them it has nothing (C: `compat_ptr`).
    let argument = argument & u32::MAX as c_ulong;
    // SAFETY: The VFS lends the file for the call.
    unsafe { native::<T>(file, number, argument) }
}
