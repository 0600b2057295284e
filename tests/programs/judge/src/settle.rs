// SPDX-License-Identifier: GPL-2.0

//! The ways by which dirty bytes reach the disk, and how to see that they did.

use crate::mapping::Mapping;
use crate::pressure;
use anyhow::{bail, Context, Result};
use clap::ValueEnum;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use std::{io, thread};

/// Who brings a file's dirty bytes to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Settle {
    Fsync,
    Fdatasync,
    /// sync(2), which reports nothing.
    Sync,
    /// msync(2) of a mapping.
    Msync,
    /// Nobody but the kernel itself.
    Flusher,
    /// Reclaim, as memory runs out, then the kernel's flusher.
    Pressure,
}

impl Settle {
    /// All bytes written to `file` before are on disk when this returns.
    pub(crate) fn settle(self, file: &File, mapping: &Mapping) -> Result<()> {
        match self {
            Self::Fsync => file.sync_all().context("fsync"),
            Self::Fdatasync => file.sync_data().context("fdatasync"),
            Self::Msync => mapping.sync().context("msync"),
            Self::Sync => {
                // SAFETY: takes no arguments.
                unsafe { libc::sync() };
                Ok(())
            }
            Self::Flusher => wait_for_flusher(file),
            Self::Pressure => {
                pressure::squeeze(Duration::from_secs(2), 64 << 20)?;
                wait_for_flusher(file)
            }
        }
    }
}

/// Linux 6.5 has it; the C library's headers do not name it yet.
const SYS_CACHESTAT: libc::c_long = 451;

/// What the page cache has of a file: the structure of cachestat(2).
#[repr(C)]
#[derive(Default, Debug, Clone, Copy)]
pub(crate) struct Cached {
    pub pages: u64,
    pub dirty: u64,
    pub writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Asks what the page cache has of the file.
pub(crate) fn cached(file: &File) -> Result<Cached> {
    let mut cached = Cached::default();
    let everything = [0u64, 0];
    // SAFETY: both structures are as the system call wants them and outlive it.
    let result = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            file.as_raw_fd(),
            everything.as_ptr(),
            &raw mut cached,
            0,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error()).context("cachestat(2)");
    }
    Ok(cached)
}

fn is_missing(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.raw_os_error() == Some(libc::ENOSYS))
}

/// Gives the kernel's flusher, which must be told to be quick, time to write the file.  Whether it
/// did, eviction shows: in the eyes of cachestat(2) folios of which nothing had to be written
/// may stay dirty.
pub(crate) fn wait_for_flusher(file: &File) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(3);
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = cached(file)?;
        if now.dirty + now.writeback == 0 || Instant::now() > end {
            return Ok(());
        }
    }
}

/// Takes all clean pages out of all page caches.
pub(crate) fn drop_caches() -> Result<()> {
    fs::write("/proc/sys/vm/drop_caches", "3").context("drop_caches")
}

/// Takes a settled file out of the page cache: what is read next comes from the disk.
pub(crate) fn evict(file: &File) -> Result<()> {
    for pause in [0, 10, 50, 200, 1000] {
        thread::sleep(Duration::from_millis(pause));
        drop_caches()?;
        match cached(file) {
            // User Mode Linux lacks the call.
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(error),
            Ok(Cached { pages: 0, .. }) => return Ok(()),
            Ok(_) => {}
        }
    }
    bail!("the page cache does not let go: {:?}", cached(file)?)
}

/// Starts writeback of all of the file, and waits for it where `wait` says so.
pub(crate) fn write_out(file: &File, flags: u32) -> io::Result<()> {
    // SAFETY: plain numbers.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// To start writing.
pub(crate) const BEGIN: u32 = libc::SYNC_FILE_RANGE_WRITE;
/// To write and wait for it.
pub(crate) const FINISH: u32 = libc::SYNC_FILE_RANGE_WAIT_BEFORE
    | libc::SYNC_FILE_RANGE_WRITE
    | libc::SYNC_FILE_RANGE_WAIT_AFTER;

/// Asks the kernel to forget the clean pages of a range.
pub(crate) fn forget(file: &File, offset: u64, len: u64) {
    let advice = libc::POSIX_FADV_DONTNEED;
    // SAFETY: plain numbers.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), offset as i64, len as i64, advice) };
}

/// All bytes of a file as read(2) gives them.
pub(crate) fn contents(file: &File) -> Result<Vec<u8>> {
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    file.read_exact_at(&mut bytes, 0).context("read")?;
    Ok(bytes)
}

/// The file has these bytes, in the page cache and on disk.
pub(crate) fn holds(what: &str, file: &File, wanted: &[u8]) -> Result<()> {
    crate::pattern::same(&format!("{what}, in memory"), wanted, &contents(file)?, 0)?;
    evict(file).with_context(|| what.to_string())?;
    crate::pattern::same(&format!("{what}, on disk"), wanted, &contents(file)?, 0)
}
