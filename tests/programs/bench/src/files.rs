// SPDX-License-Identifier: GPL-2.0

//! The jobs on whole files and on many: timed here and not by fio, which has no names for them.

use anyhow::{ensure, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A job: it works in a folder and tells how long that took.
pub(crate) type Job = fn(&Path) -> Result<Duration>;

/// All of them, in the order in which they share one volume: most need what one before them has left.
pub(crate) const JOBS: &[(&str, Job)] = &[
    ("write", write),
    ("read", read),
    ("overwrite", overwrite),
    ("create", create),
    ("stat", stat),
    ("unlink", unlink),
    ("fsync", fsync),
];

const MIB: usize = 1 << 20;
const LARGE: usize = 512;
const FILES: usize = 5000;
const SYNCS: u32 = 200;

/// Bytes that differ from block to block, so that nothing on the way can take a short cut.
pub(crate) fn fill(buffer: &mut [u8], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for word in buffer.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
}

/// 512 MiB in 1 MiB writes, then fsync.
fn write(dir: &Path) -> Result<Duration> {
    let mut buffer = vec![0; MIB];
    fill(&mut buffer, 1);
    let start = Instant::now();
    let mut file = File::create(dir.join("large"))?;
    for index in 0..LARGE {
        buffer[..8].copy_from_slice(&index.to_le_bytes());
        file.write_all(&buffer)?;
    }
    file.sync_all()?;
    Ok(start.elapsed())
}

/// Reads the file that was written, from its beginning to its end. The caller has dropped the caches.
fn read(dir: &Path) -> Result<Duration> {
    let mut buffer = vec![0; MIB];
    let start = Instant::now();
    let mut file = File::open(dir.join("large"))?;
    for index in 0..LARGE {
        file.read_exact(&mut buffer)?;
        ensure!(
            buffer[..8] == index.to_le_bytes(),
            "MiB {index} is not what was written"
        );
    }
    Ok(start.elapsed())
}

fn small(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("small/{}/{index}", index % 50))
}

/// 5,000 files of 0 to 16 KiB in 50 directories, then a sync of the file system.
fn create(dir: &Path) -> Result<Duration> {
    let mut buffer = vec![0; 16 << 10];
    fill(&mut buffer, 2);
    let start = Instant::now();
    for index in 0..50 {
        fs::create_dir_all(dir.join(format!("small/{index}")))?;
    }
    for index in 0..FILES {
        File::create(small(dir, index))?.write_all(&buffer[..index * 7919 % buffer.len()])?;
    }
    sync(dir)?;
    Ok(start.elapsed())
}

/// Attributes of those files. The caller has dropped the caches.
fn stat(dir: &Path) -> Result<Duration> {
    let start = Instant::now();
    for index in 0..FILES {
        let size = fs::metadata(small(dir, index))?.len();
        ensure!(
            size == (index * 7919 % (16 << 10)) as u64,
            "file {index} has {size} bytes"
        );
    }
    Ok(start.elapsed())
}

/// All of them gone, and a sync.
fn unlink(dir: &Path) -> Result<Duration> {
    let start = Instant::now();
    for index in 0..FILES {
        fs::remove_file(small(dir, index))?;
    }
    sync(dir)?;
    Ok(start.elapsed())
}

/// 4 KiB written and synced, 200 times: the mean.
fn fsync(dir: &Path) -> Result<Duration> {
    let mut buffer = vec![0; 4 << 10];
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(dir.join("log"))?;
    let start = Instant::now();
    for index in 0..SYNCS {
        fill(&mut buffer, index.into());
        file.write_all_at(&buffer, u64::from(index) * buffer.len() as u64)?;
        file.sync_all()?;
    }
    Ok(start.elapsed() / SYNCS)
}

/// 4 KiB to random places of the large file, then fsync.
fn overwrite(dir: &Path) -> Result<Duration> {
    let mut buffer = vec![0; 4 << 10];
    fill(&mut buffer, 3);
    let file = OpenOptions::new().write(true).open(dir.join("large"))?;
    let start = Instant::now();
    let mut state = 7u64;
    for _ in 0..4000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let block = (state >> 33) as usize % (LARGE * MIB / buffer.len());
        file.write_all_at(&buffer, (block * buffer.len()) as u64)?;
    }
    file.sync_all()?;
    Ok(start.elapsed())
}

/// Waits until all of the file system is on the device.
fn sync(dir: &Path) -> Result<()> {
    Ok(rustix::fs::syncfs(File::open(dir)?)?)
}
