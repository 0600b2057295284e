// SPDX-License-Identifier: GPL-2.0
//! Images made by `mkfs.btrfs` and judged by `btrfs check`, both of the newest btrfs-progs (`scripts/progs`).
//!
//! Zoned images: on a regular file `mkfs.btrfs -O zoned` emulates conventional zones of 256 MiB, with the superblock
//! in its usual place. [`as_zoned`] turns such an image into what the same volume is on a host-managed device: zones of
//! that size behind the first two (and the mirrors' zones) take their write pointers from what is written in them, and
//! the superblock moves into the log in zone 0. Small zones are what a small *capacity* gives. [`as_file`] goes back, for
//! `btrfs check`.

use crate::checksums::HostChecksums;
use crate::device::zones::ZoneLayout;
use crate::device::{Image, PAGE};
use crate::history::{folder, Snapshot};
use crate::walker::walk;
use engine::disk::raw::RawSuperblock;
use engine::disk::{seal, ChecksumKind, ChunkItem, Kind, ObjectId};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use zerocopy::{FromZeros, IntoBytes};

/// Bytes in an emulated zone (btrfs-progs: `EMULATED_ZONE_SIZE`).
pub const ZONE_SIZE: u64 = 256 << 20;
/// Where the primary superblock is on a device without zones.
const SUPERBLOCK: u64 = 64 << 10;

/// A file or folder that is removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A path where nothing is.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() {
            memory.to_path_buf()
        } else {
            std::env::temp_dir()
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(dir.join(format!("rbtrfs-test-{}-{number}", std::process::id())))
    }
}

impl Scratch {
    /// A new folder.
    pub fn folder() -> Self {
        let scratch = Self::new();
        std::fs::create_dir(&scratch.0).expect("scratch folder");
        scratch
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0).or_else(|_| std::fs::remove_dir_all(&self.0));
    }
}

/// Runs a program of btrfs-progs; its output, or what it said when it failed.
pub fn progs(arguments: &[&str]) -> Result<String, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../scripts/progs");
    let output = Command::new(script)
        .args(arguments)
        .output()
        .map_err(|e| format!("{script}: {e}"))?;
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    match output.status.success() {
        true => Ok(text),
        false => Err(format!("{arguments:?}: {}\n{text}", output.status)),
    }
}

/// A file system on a device of `size` bytes, as `mkfs.btrfs` with `options` makes it.
pub fn mkfs(size: u64, options: &[&str]) -> Image {
    let file = Scratch::new();
    std::fs::File::create(&file.0)
        .and_then(|f| f.set_len(size))
        .expect("scratch file");
    let path = file.0.to_str().expect("plain path");
    let arguments = [&["mkfs.btrfs", "-q"], options, &[path]].concat();
    progs(&arguments).expect("mkfs.btrfs");
    Image::load(&file.0).expect("scratch file")
}

/// A file system with the files of `snapshot`, as `mkfs.btrfs --rootdir` makes it.
pub fn mkfs_with(snapshot: &Snapshot, size: u64, options: &[&str]) -> Image {
    let folder = Scratch::folder();
    folder::write(snapshot, folder.path()).expect("scratch folder");
    let path = folder.path().to_str().expect("plain path");
    mkfs(size, &[options, &["--rootdir", path]].concat())
}

/// A zoned file system on a device of `zones` zones, with every zone behind the conventional ones sequential.
pub fn mkfs_zoned(zones: u64, options: &[&str], layout: ZoneLayout) -> Image {
    let image = mkfs(zones * ZONE_SIZE, &[&["-O", "zoned"], options].concat());
    as_zoned(image, layout)
}

/// The usual zones: [`ZONE_SIZE`] apart and `capacity` large, all sequential.
pub fn zone_layout(capacity: u64) -> ZoneLayout {
    ZoneLayout {
        zone_size: ZONE_SIZE,
        capacity,
        conventional: 0,
        max_active: None,
        block: PAGE as u64,
    }
}

/// Runs `btrfs check`; its output, or what is wrong.
pub fn check(image: &Image) -> Result<String, String> {
    check_with(image, &[])
}

/// Runs `btrfs check` with more options, such as `--check-data-csum`.
pub fn check_with(image: &Image, options: &[&str]) -> Result<String, String> {
    on_image(image, &["btrfs", "check", "--readonly"], options)
}

/// Runs `btrfs inspect-internal dump-tree` with `options`.
pub fn dump_tree(image: &Image, options: &[&str]) -> Result<String, String> {
    on_image(image, &["btrfs", "inspect-internal", "dump-tree"], options)
}

/// Runs a command with `options` on a file that has the image.
fn on_image(image: &Image, command: &[&str], options: &[&str]) -> Result<String, String> {
    let file = Scratch::new();
    let saved = as_file(image).pages.save(&file.0);
    saved.map_err(|e| e.to_string())?;
    let path = file.0.to_str().ok_or("path")?;
    progs(&[command, options, &[path]].concat())
}

/// The files of an image's top level subvolume, as `btrfs restore` finds them: without links and special files.
pub fn restore(image: &Image) -> Result<Snapshot, String> {
    let file = Scratch::new();
    as_file(image)
        .pages
        .save(&file.0)
        .map_err(|e| e.to_string())?;
    let path = file.0.to_str().ok_or("path")?;
    let folder = Scratch::folder();
    let into = folder.path().to_str().ok_or("path")?;
    progs(&["btrfs", "restore", "-S", "-m", "-x", path, into])?;
    folder::read(folder.path()).map_err(|e| e.to_string())
}

/// Makes an image with emulated zones one of a host-managed device.
pub fn as_zoned(image: Image, layout: ZoneLayout) -> Image {
    let used = used_zones(&image, layout.zone_size);
    let mut zoned = Image::new(image.pages.size(), Some(layout));
    zoned.pages = image.pages;
    let mut superblock = [0; PAGE];
    zoned.pages.read(SUPERBLOCK, &mut superblock);
    zoned.pages.clear(0, 2 * layout.zone_size);
    zoned.pages.write(0, &superblock);
    let zones = zoned.zones.as_mut().expect("made with zones");
    for number in layout.conventional..zoned.pages.size() / layout.zone_size {
        let start = number * layout.zone_size;
        // mkfs.btrfs resets the zones of its first block groups on a zoned device, and cannot on a file.
        if number >= 2 && !used.contains(&number) {
            zoned.pages.clear(start, layout.zone_size);
        }
        let written = zoned.pages.end_of_data(start, layout.zone_size) - start;
        // The last pages of a tree block may be zero. Nodes of mkfs are 16 KiB or more.
        let unit = if number < 2 { PAGE as u64 } else { 16 << 10 };
        let written = written.next_multiple_of(unit);
        assert!(
            written <= layout.capacity,
            "zone {number} holds {written} bytes"
        );
        zones.preset(start, written);
    }
    zoned
}

/// The numbers of the zones below chunks.
fn used_zones(image: &Image, zone_size: u64) -> BTreeSet<u64> {
    let items = walk(image).items(ObjectId::CHUNK_TREE, Kind::CHUNK_ITEM);
    let mut zones = BTreeSet::new();
    for (_, bytes) in &items {
        let chunk = ChunkItem::parse(&bytes[..]).expect("a chunk");
        zones.extend(chunk.stripes().map(|stripe| stripe.at.get() / zone_size));
    }
    zones
}

/// Makes an image of a host-managed device one that tools take as a file: the newest superblock goes to its usual place.
pub fn as_file(image: &Image) -> Image {
    let Some(zones) = &image.zones else {
        return image.clone();
    };
    let mut file = Image {
        pages: image.pages.clone(),
        zones: None,
    };
    let zone_size = zones.geometry().zone_size;
    if let Some((_, superblock)) = newest_superblock(image) {
        file.pages.clear(0, 2 * zone_size.get());
        file.pages.write(SUPERBLOCK, &superblock);
    }
    file
}

/// Changes the superblock that a mount would read.
pub fn edit_superblock(image: &mut Image, change: impl FnOnce(&mut RawSuperblock)) {
    let at = newest_superblock(image).map_or(SUPERBLOCK, |(at, _)| at);
    let mut raw = RawSuperblock::new_zeroed();
    image.pages.read(at, raw.as_mut_bytes());
    change(&mut raw);
    seal(raw.as_mut_bytes(), ChecksumKind::Crc32c, &HostChecksums);
    image.pages.write(at, raw.as_bytes());
}

/// The newest superblock in the log of the first two zones, and its place.
pub fn newest_superblock(image: &Image) -> Option<(u64, [u8; PAGE])> {
    const MAGIC: &[u8] = b"_BHRfS_M";
    let zone_size = image.zones.as_ref()?.geometry().zone_size;
    let end = image.pages.end_of_data(0, 2 * zone_size.get());
    let pages = image.pages.written().take_while(|(at, _)| *at < end);
    let superblocks = pages.filter(|(_, page)| &page[64..72] == MAGIC);
    let generation =
        |page: &[u8; PAGE]| u64::from_le_bytes(page[72..80].try_into().expect("eight bytes"));
    superblocks
        .max_by_key(|(at, page)| (generation(page), *at))
        .map(|(at, page)| (at, *page))
}
