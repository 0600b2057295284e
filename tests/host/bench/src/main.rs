// SPDX-License-Identifier: GPL-2.0
//! The jobs of `make bench`: run in a guest on a mounted file system, one line `JOB NANOSECONDS` each.
//!
//! A program of its own and not shell or fio: under emulation their cost would be most of what is measured.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Result, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

const MIB: usize = 1 << 20;
const LARGE: usize = 512;
const FILES: usize = 5000;
const SYNCS: usize = 200;

/// Bytes that differ from block to block, so that nothing on the way can take a short cut.
fn fill(buffer: &mut [u8], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for word in buffer.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
}

fn report(job: &str, start: Instant) {
    println!("{job} {}", start.elapsed().as_nanos());
}

/// 512 MiB in 1 MiB writes, then fsync.
fn write(dir: &Path) -> Result<()> {
    let mut buffer = vec![0; MIB];
    fill(&mut buffer, 1);
    let start = Instant::now();
    let mut file = File::create(dir.join("large"))?;
    for index in 0..LARGE {
        buffer[..8].copy_from_slice(&index.to_le_bytes());
        file.write_all(&buffer)?;
    }
    file.sync_all()?;
    report("write", start);
    Ok(())
}

/// The same file, from its beginning to its end. The caller has dropped the caches.
fn read(dir: &Path) -> Result<()> {
    let mut buffer = vec![0; MIB];
    let start = Instant::now();
    let mut file = File::open(dir.join("large"))?;
    for index in 0..LARGE {
        file.read_exact(&mut buffer)?;
        assert_eq!(
            buffer[..8],
            index.to_le_bytes(),
            "MiB {index} is not what was written"
        );
    }
    report("read", start);
    Ok(())
}

fn small(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("small/{}/{index}", index % 50))
}

/// 5,000 files of 0 to 16 KiB in 50 directories, then a sync of the file system.
fn create(dir: &Path) -> Result<()> {
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
    report("create", start);
    Ok(())
}

/// Attributes of those files. The caller has dropped the caches.
fn stat(dir: &Path) -> Result<()> {
    let start = Instant::now();
    for index in 0..FILES {
        let size = fs::metadata(small(dir, index))?.len();
        assert_eq!(size, (index * 7919 % (16 << 10)) as u64);
    }
    report("stat", start);
    Ok(())
}

/// All of them gone, and a sync.
fn unlink(dir: &Path) -> Result<()> {
    let start = Instant::now();
    for index in 0..FILES {
        fs::remove_file(small(dir, index))?;
    }
    sync(dir)?;
    report("unlink", start);
    Ok(())
}

/// 4 KiB written and synced, 200 times: the mean is printed.
fn fsync(dir: &Path) -> Result<()> {
    let mut buffer = vec![0; 4 << 10];
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(dir.join("log"))?;
    let start = Instant::now();
    for index in 0..SYNCS {
        fill(&mut buffer, index as u64);
        file.write_all_at(&buffer, (index * buffer.len()) as u64)?;
        file.sync_all()?;
    }
    println!("fsync {}", start.elapsed().as_nanos() / SYNCS as u128);
    Ok(())
}

/// 4 KiB to random places of the large file, then fsync.
fn overwrite(dir: &Path) -> Result<()> {
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
    report("overwrite", start);
    Ok(())
}

/// Waits until all of the file system is on the device.
fn sync(dir: &Path) -> Result<()> {
    Ok(rustix::fs::syncfs(File::open(dir)?)?)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [job, dir] = arguments.as_slice() else {
        eprintln!("usage: bench write|read|overwrite|create|stat|unlink|fsync DIR");
        std::process::exit(2);
    };
    let dir = Path::new(dir);
    match job.as_str() {
        "write" => write(dir),
        "read" => read(dir),
        "overwrite" => overwrite(dir),
        "create" => create(dir),
        "stat" => stat(dir),
        "unlink" => unlink(dir),
        "fsync" => fsync(dir),
        other => panic!("no job called {other}"),
    }
}
