// SPDX-License-Identifier: GPL-2.0

//! A shared mapping of a file, read and stored to as memory.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd;
use std::ptr;

/// The first bytes of a file, mapped shared.  Other threads store to it at the same time, and so
/// does the kernel: it is only ever copied from and to, never borrowed.
pub(crate) struct Mapping {
    address: *mut u8,
    len: usize,
}

// SAFETY: an address of memory that stays mapped while the value lives; all access is by copying.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes for reading and writing.
    pub(crate) fn shared(file: &File, len: usize) -> Result<Self> {
        Self::new(libc::MAP_SHARED, file.as_raw_fd(), len)
    }

    /// Private memory which belongs to no file.
    pub(crate) fn anonymous(len: usize) -> Result<Self> {
        Self::new(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, len)
    }

    fn new(flags: i32, fd: i32, len: usize) -> Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, where the kernel finds room.
        let address = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, fd, 0) };
        if address == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        let address = address.cast();
        Ok(Self { address, len })
    }

    /// Bytes of memory.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where byte `offset` lies in memory.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.len);
        self.address.wrapping_add(offset)
    }

    /// Stores `bytes`; the file must reach that far.
    pub(crate) fn store(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.len);
        // SAFETY: inside the mapping; `bytes` is memory of this program.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(offset), bytes.len()) }
    }

    /// Loads `len` bytes; the file must reach that far.
    pub(crate) fn load(&self, offset: usize, len: usize) -> Vec<u8> {
        assert!(offset + len <= self.len);
        let mut bytes = Vec::with_capacity(len);
        // SAFETY: inside the mapping; the vector has room and is filled before its length is set.
        unsafe {
            ptr::copy_nonoverlapping(self.at(offset), bytes.as_mut_ptr(), len);
            bytes.set_len(len);
        }
        bytes
    }

    /// msync(2) of all of it.
    pub(crate) fn sync(&self) -> Result<()> {
        // SAFETY: the mapping's own address and length.
        done(unsafe { libc::msync(self.address.cast(), self.len, libc::MS_SYNC) })
    }

    /// Takes all access to the page at `offset` away: its next use is a bad address.
    pub(crate) fn forbid(&self, offset: usize, len: usize) -> Result<()> {
        assert!(offset + len <= self.len);
        // SAFETY: pages of this mapping, which nobody borrows.
        done(unsafe { libc::mprotect(self.at(offset).cast(), len, libc::PROT_NONE) })
    }

    /// Has pages come into memory one by one.
    pub(crate) fn expect_random(&self) -> Result<()> {
        // SAFETY: the mapping's own address and length.
        done(unsafe { libc::madvise(self.address.cast(), self.len, libc::MADV_RANDOM) })
    }

    /// Forgets the pages: anonymous ones are missing again, those of files are mapped anew.
    pub(crate) fn forget(&self) -> Result<()> {
        self.forget_part(0, self.len)
    }

    /// Forgets some whole pages.
    pub(crate) fn forget_part(&self, offset: usize, len: usize) -> Result<()> {
        assert!(offset + len <= self.len);
        // SAFETY: pages of this mapping, which nobody borrows.
        done(unsafe { libc::madvise(self.at(offset).cast(), len, libc::MADV_DONTNEED) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody has borrowed from it.
        unsafe { libc::munmap(self.address.cast(), self.len) };
    }
}

fn done(result: i32) -> Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}
