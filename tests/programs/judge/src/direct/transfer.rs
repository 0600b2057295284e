// SPDX-License-Identifier: GPL-2.0

//! Reads and writes of memory that nobody borrows.

use crate::mapping::Mapping;
use std::fs::{File, OpenOptions};
use std::io::{Error, Result};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What direct requests are multiples of.
pub(super) const BLOCK: usize = 4096;

/// Opens a file for direct IO with more flags of open(2); makes it if there is none.
pub(super) fn open_direct(path: &Path, flags: i32) -> Result<File> {
    open_with(path, libc::O_DIRECT | flags)
}

/// Opens a file with these flags of open(2); makes it if there is none.
pub(super) fn open_with(path: &Path, flags: i32) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(flags)
        .open(path)
}

/// Opens a file for appending through the page cache.
pub(super) fn open_append(path: &Path) -> Result<File> {
    OpenOptions::new().append(true).open(path)
}

/// A file for all other ways.
pub(super) fn open(path: &Path) -> Result<File> {
    open_with(path, 0)
}

/// preadv2(2) into `memory`.
pub(super) fn read(
    file: &File,
    memory: &Mapping,
    from: usize,
    len: usize,
    pos: u64,
    flags: i32,
) -> Result<usize> {
    let vector = vector(memory, from, len);
    // SAFETY: one vector, of memory that stays mapped.
    done(unsafe { libc::preadv2(file.as_raw_fd(), &vector, 1, pos as i64, flags) })
}

/// pwritev2(2) from `memory`.
pub(super) fn write(
    file: &File,
    memory: &Mapping,
    from: usize,
    len: usize,
    pos: u64,
    flags: i32,
) -> Result<usize> {
    let vector = vector(memory, from, len);
    // SAFETY: one vector, of memory that stays mapped.
    done(unsafe { libc::pwritev2(file.as_raw_fd(), &vector, 1, pos as i64, flags) })
}

fn vector(memory: &Mapping, from: usize, len: usize) -> libc::iovec {
    // The last byte must be inside.
    memory.at(from + len);
    libc::iovec {
        iov_base: memory.at(from).cast(),
        iov_len: len,
    }
}

fn done(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| Error::last_os_error())
}

/// A call that cannot be served without waiting.
pub(super) fn is_again<T>(result: &Result<T>) -> bool {
    result
        .as_ref()
        .is_err_and(|error| error.raw_os_error() == Some(libc::EAGAIN))
}
