// SPDX-License-Identifier: GPL-2.0

//! Bytes that a device puts into a mapping: the kernel pins the pages when the read begins and
//! marks them dirty when it ends, without asking the file system again.

use crate::mapping::Mapping;
use anyhow::{bail, ensure, Context, Result};
use io_uring::{opcode, types, IoUring};
use std::fs::{File, OpenOptions};
use std::io::Error;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// A file or a block device that is read by O_DIRECT.
pub(crate) struct Source {
    direct: File,
    /// What it holds, from its beginning.
    pub bytes: Vec<u8>,
}

/// How the read is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    /// io_uring, into memory as it is.
    Uring,
}

impl Source {
    /// Fills the first bytes of what is at `path`, and opens it.
    pub(crate) fn fill(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let mut open = OpenOptions::new();
        let file = open.write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| path.display().to_string())?;
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        let mut open = OpenOptions::new();
        let direct = open.read(true).custom_flags(libc::O_DIRECT).open(path)?;
        Ok(Self { direct, bytes })
    }

    /// Reads `len` bytes from the beginning to `offset` of the mapping.
    pub(crate) fn read(&self, call: Call, to: &Mapping, offset: usize, len: usize) -> Result<()> {
        let done = match call {
            Call::Read => self.read_by_call(to, offset, len)?,
            Call::Uring => self.read_by_ring(to, offset, len)?,
        };
        ensure!(done == len, "a direct read of {len} bytes gave {done}");
        Ok(())
    }

    fn read_by_call(&self, to: &Mapping, offset: usize, len: usize) -> Result<usize> {
        assert!(len <= self.bytes.len());
        // SAFETY: memory of the mapping, which nobody borrows.
        let done = unsafe { libc::pread(self.direct.as_raw_fd(), to.at(offset).cast(), len, 0) };
        usize::try_from(done)
            .map_err(|_| Error::last_os_error())
            .context("direct read")
    }

    fn read_by_ring(&self, to: &Mapping, offset: usize, len: usize) -> Result<usize> {
        assert!(len <= self.bytes.len());
        let mut ring = IoUring::new(4)?;
        let fd = types::Fd(self.direct.as_raw_fd());
        let entry = opcode::Read::new(fd, to.at(offset), len as u32).build();
        // SAFETY: the mapping outlives the request, which is waited for.
        unsafe { ring.submission().push(&entry)? };
        ring.submit_and_wait(1)?;
        let result = ring.completion().next().context("no completion")?.result();
        usize::try_from(result)
            .map_err(|_| Error::from_raw_os_error(-result))
            .context("io_uring")
    }
}

/// An error if io_uring registers a mapping of a file as a buffer: since Linux 6.5 the kernel refuses to pin pages for long
/// where the file system is to be told of stores. Where it does not, reads into such buffers are to be judged, too.
pub(crate) fn is_not_registered(mapping: &Mapping) -> Result<()> {
    let ring = IoUring::new(4)?;
    let vector = libc::iovec {
        iov_base: mapping.at(0).cast(),
        iov_len: mapping.len(),
    };
    // SAFETY: the mapping outlives the ring.
    match unsafe { ring.submitter().register_buffers(&[vector]) } {
        Ok(()) => bail!("the kernel registers a mapping of a file"),
        Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
        Err(error) => bail!("register_buffers: {error}"),
    }
}
