// SPDX-License-Identifier: GPL-2.0

//! What a volume tells in `/sys/fs/rbtrfs/UUID`: files of C btrfs's `/sys/fs/btrfs/UUID`, with its words.

use crate::linux::sysfs::{File, Folder, Told};
use core::fmt::Write;
use engine::fs::FileSystem;
use engine::volume::Volume;
use kernel::fmt;
use kernel::str::{BStr, CString, Formatter};
use kernel::sync::Arc;
use latch::prelude::*;

const NS_PER_MS: u64 = 1_000_000;

/// The folder of a mounted volume; it goes when this is dropped, after the last call.
pub(super) struct VolumeFolder {
    _folder: Folder<Source>,
}

struct Source(Arc<FileSystem>);

impl VolumeFolder {
    /// Tells of the volume of a mount. `EEXIST` where another volume with this UUID is mounted.
    pub(super) fn new(fs: Arc<FileSystem>) -> Result<Self> {
        let uuid = fs.transactions().volume().superblock().fsid;
        let name = CString::try_from_fmt(fmt!("{uuid}"))?;
        let folder = Folder::new(&name, Source(fs))?;
        Ok(Self { _folder: folder })
    }
}

impl Source {
    fn volume(&self) -> &Volume {
        self.0.transactions().volume()
    }
}

impl Told for Source {
    const FILES: &'static [File<Self>] = &[
        File::shown(c"clone_alignment", sector_size),
        File::taking(c"commit_stats", commit_stats, forget_longest_commit),
        File::shown(c"generation", generation),
        File::shown(c"label", label),
        File::shown(c"metadata_uuid", metadata_uuid),
        File::shown(c"nodesize", node_size),
        File::shown(c"sectorsize", sector_size),
    ];
}

fn commit_stats(of: &Source, out: &mut Formatter<'_>) -> fmt::Result {
    let counters = of.0.transactions().counters();
    let times = [
        ("cur", counters.current_commit_ns),
        ("last", counters.last_commit_ns),
        ("max", counters.longest_commit_ns),
        ("total", counters.all_commits_ns),
    ];
    writeln!(out, "commits {}", counters.commits)?;
    for (which, ns) in times {
        writeln!(out, "{which}_commit_ms {}", ns / NS_PER_MS)?;
    }
    Ok(())
}

/// The only thing to say is "0".
fn forget_longest_commit(of: &Source, words: &[u8]) -> Result {
    if words != b"0" {
        return Err(EINVAL);
    }
    of.0.transactions().forget_longest_commit();
    Ok(())
}

fn generation(of: &Source, out: &mut Formatter<'_>) -> fmt::Result {
    writeln!(out, "{}", of.volume().superblock().generation.get())
}

fn label(of: &Source, out: &mut Formatter<'_>) -> fmt::Result {
    let label = of.volume().superblocks().label();
    let bytes = label.split(|&byte| byte == 0).next().unwrap_or(&[]);
    match core::str::from_utf8(bytes) {
        Ok("") => Ok(()),
        Ok(words) => writeln!(out, "{words}"),
        Err(_) => out.write_fmt(fmt!("{}\n", BStr::from_bytes(bytes))),
    }
}

fn metadata_uuid(of: &Source, out: &mut Formatter<'_>) -> fmt::Result {
    out.write_fmt(fmt!("{}\n", of.volume().superblock().metadata_uuid))
}

fn node_size(of: &Source, out: &mut Formatter<'_>) -> fmt::Result {
    writeln!(out, "{}", of.volume().format().node_size)
}

fn sector_size(of: &Source, out: &mut Formatter<'_>) -> fmt::Result {
    writeln!(out, "{}", of.volume().format().sector_size)
}
