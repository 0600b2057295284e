// SPDX-License-Identifier: GPL-2.0

//! Pages pinned for as long as one likes.
//!
//! process_vm_writev(2) pins the pages it writes to, which asks the file system once, and copies
//! then; a source page that userfaultfd(2) holds back stops it in between.  When the copy is made
//! and the pages are marked dirty, the file system is not asked again.

use crate::mapping::Mapping;
use anyhow::{bail, ensure, Context, Result};
use std::fs::File;
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd};
use std::thread::{self, JoinHandle};

const PAGE: usize = 4096;

// The parts of linux/userfaultfd.h that are used here.
const UFFD_API: u64 = 0xaa;
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
const UFFDIO_COPY: libc::c_ulong = 0xc028_aa03;
const MODE_MISSING: u64 = 1;

/// A write to pinned pages that waits to be let go.
pub(crate) struct Pinned {
    source: Mapping,
    faults: File,
    writer: Option<JoinHandle<Result<usize>>>,
    bytes: Vec<u8>,
}

impl Pinned {
    /// Pins the pages of `bytes.len()` bytes at `offset` of the mapping and stops before the
    /// first byte is copied.  The mapping must live until the pin ends.
    pub(crate) fn begin(target: &Mapping, offset: usize, bytes: Vec<u8>) -> Result<Self> {
        let source = Mapping::anonymous(bytes.len().next_multiple_of(PAGE))?;
        let faults = watch(&source, bytes.len().next_multiple_of(PAGE))?;
        let (from, to, len) = (
            source.at(0) as usize,
            target.at(offset) as usize,
            bytes.len(),
        );
        // A thread that cannot be had is an error here, not the end of the program.
        let writer = thread::Builder::new().spawn(move || copy(from, to, len))?;
        let pinned = Self {
            source,
            faults,
            writer: Some(writer),
            bytes,
        };
        pinned.wait_for_the_stop()?;
        Ok(pinned)
    }

    /// Lets the copy be made and the pages be unpinned.
    pub(crate) fn finish(mut self) -> Result<()> {
        let want = self.bytes.len();
        match self.let_go()? {
            done if done == want => Ok(()),
            done => bail!("process_vm_writev copied {done} of {want} bytes"),
        }
    }

    fn wait_for_the_stop(&self) -> Result<()> {
        let mut poll = libc::pollfd {
            fd: self.faults.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        loop {
            // SAFETY: one structure, which outlives the call.
            if unsafe { libc::poll(&mut poll, 1, 100) } > 0 {
                return Ok(());
            }
            let ended = self.writer.as_ref().is_some_and(JoinHandle::is_finished);
            ensure!(!ended, "process_vm_writev did not stop at its source");
        }
    }

    fn let_go(&mut self) -> Result<usize> {
        let mut page = vec![0u8; self.bytes.len().next_multiple_of(PAGE)];
        page[..self.bytes.len()].copy_from_slice(&self.bytes);
        let mut copy = [
            self.source.at(0) as u64,
            page.as_ptr() as u64,
            page.len() as u64,
            0,
            0,
        ];
        control(&self.faults, UFFDIO_COPY, &mut copy).context("UFFDIO_COPY")?;
        let writer = self.writer.take().context("already let go")?;
        let result = writer.join().expect("the thread does not panic");
        result.context("process_vm_writev")
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.writer.is_some() {
            let _ = self.let_go();
        }
    }
}

/// A descriptor that stops whoever touches the first `len` bytes of `source`.
fn watch(source: &Mapping, len: usize) -> Result<File> {
    // SAFETY: plain numbers.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) };
    ensure!(fd >= 0, "userfaultfd(2): {}", Error::last_os_error());
    // SAFETY: a new descriptor of ours.
    let faults = unsafe { File::from_raw_fd(fd as i32) };
    control(&faults, UFFDIO_API, &mut [UFFD_API, 0, 0]).context("UFFDIO_API")?;
    let mut range = [source.at(0) as u64, len as u64, MODE_MISSING, 0];
    control(&faults, UFFDIO_REGISTER, &mut range).context("UFFDIO_REGISTER")?;
    Ok(faults)
}

fn control(file: &File, request: libc::c_ulong, argument: &mut [u64]) -> Result<()> {
    // SAFETY: the requests above each take a structure of as many words.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request, argument.as_mut_ptr()) };
    ensure!(result == 0, Error::last_os_error());
    Ok(())
}

/// Copies inside this process by the system call that is meant for other processes: what is not
/// there is an error and no signal.
pub(crate) fn copy(from: usize, to: usize, len: usize) -> Result<usize> {
    let vector = |address: usize| libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: len,
    };
    // SAFETY: one vector each; the kernel checks the addresses, which whoever asks keeps mapped.
    let done =
        unsafe { libc::process_vm_writev(libc::getpid(), &vector(from), 1, &vector(to), 1, 0) };
    usize::try_from(done).map_err(|_| Error::last_os_error().into())
}
