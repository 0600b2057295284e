// SPDX-License-Identifier: GPL-2.0
//! Snapshots to and from a folder of this machine: what `mkfs.btrfs --rootdir` reads and `btrfs restore` writes.

use super::contents::Contents;
use super::op::Kind;
use super::snapshot::{File, Path, Snapshot};
use rustix::fs::{self as sys, XattrFlags};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path as StdPath, PathBuf};

const CHUNK: usize = 1 << 20;

fn below(folder: &StdPath, path: &[u8]) -> PathBuf {
    match path.strip_prefix(b"/") {
        Some(relative) => folder.join(OsStr::from_bytes(relative)),
        None => folder.to_path_buf(),
    }
}

/// Makes the files of a snapshot in a folder that is there. Needs root's rights for owners and devices.
pub fn write(snapshot: &Snapshot, folder: &StdPath) -> io::Result<()> {
    for (path, file) in &snapshot.files {
        let place = below(folder, path);
        if *path == file.first_path {
            make(file, &place)?;
        } else {
            std::fs::hard_link(below(folder, &file.first_path), &place)?;
        }
    }
    // Times last, the deepest first: making files changes those of directories.
    for (path, file) in snapshot.files.iter().rev() {
        set_attributes(file, &below(folder, path))?;
    }
    Ok(())
}

fn make(file: &File, place: &StdPath) -> io::Result<()> {
    let mode = sys::Mode::from_raw_mode(0o600);
    match &file.kind {
        Kind::Directory if place.is_dir() => {}
        Kind::Directory => std::fs::create_dir(place)?,
        Kind::Symlink(target) => std::os::unix::fs::symlink(OsStr::from_bytes(target), place)?,
        Kind::Fifo => sys::mknodat(sys::CWD, place, sys::FileType::Fifo, mode, 0)?,
        Kind::Device(number) => {
            // So that mkfs.btrfs, which takes over what stat(2) says, puts this number into the inode item.
            let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00);
            let device = sys::makedev(major as u32, minor as u32);
            sys::mknodat(
                sys::CWD,
                place,
                sys::FileType::CharacterDevice,
                mode,
                device,
            )?;
        }
        Kind::File => {
            let out = std::fs::File::create(place)?;
            out.set_len(file.contents.size())?;
            file.contents.pages().try_for_each(|(at, bytes)| {
                let len = (file.contents.size() - at).min(bytes.len() as u64);
                out.write_all_at(&bytes[..len as usize], at)
            })?;
        }
    }
    for (name, value) in &file.xattrs {
        sys::lsetxattr(place, name.as_slice(), value, XattrFlags::empty())?;
    }
    Ok(())
}

fn set_attributes(file: &File, place: &StdPath) -> io::Result<()> {
    std::os::unix::fs::lchown(place, Some(file.owner), Some(file.owner))?;
    if !matches!(file.kind, Kind::Symlink(_)) {
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(file.mode))?;
    }
    let time = sys::Timespec {
        tv_sec: file.mtime,
        tv_nsec: 0,
    };
    let times = sys::Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(sys::utimensat(
        sys::CWD,
        place,
        &times,
        sys::AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

/// Reads the files in a folder.
pub fn read(folder: &StdPath) -> io::Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    let mut first_paths = BTreeMap::new();
    visit(folder, &mut Path::new(), &mut first_paths, &mut snapshot)?;
    Ok(snapshot)
}

fn visit(
    folder: &StdPath,
    path: &mut Path,
    first_paths: &mut BTreeMap<u64, Path>,
    snapshot: &mut Snapshot,
) -> io::Result<()> {
    let place = below(folder, path);
    let data = std::fs::symlink_metadata(&place)?;
    let first_path = first_paths
        .entry(data.ino())
        .or_insert_with(|| path.clone())
        .clone();
    let kind = kind(&place, &data)?;
    let contents = if kind == Kind::File {
        contents(&place)?
    } else {
        Contents::default()
    };
    let directory = kind == Kind::Directory;
    let file = File {
        first_path,
        mode: data.mode() & 0o7777,
        owner: data.uid(),
        links: if directory { 1 } else { data.nlink() as u32 },
        mtime: data.mtime(),
        contents,
        xattrs: xattrs(&place)?,
        kind,
    };
    snapshot.files.insert(path.clone(), file);
    if !directory {
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&place)? {
        names.push(entry?.file_name().as_bytes().to_vec());
    }
    names.sort();
    for name in names {
        let len = path.len();
        path.push(b'/');
        path.extend_from_slice(&name);
        visit(folder, path, first_paths, snapshot)?;
        path.truncate(len);
    }
    Ok(())
}

fn kind(place: &StdPath, data: &std::fs::Metadata) -> io::Result<Kind> {
    let kind = data.file_type();
    Ok(if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Symlink(std::fs::read_link(place)?.as_os_str().as_bytes().to_vec())
    } else if kind.is_fifo() {
        Kind::Fifo
    } else if kind.is_char_device() {
        let (major, minor) = (
            u64::from(sys::major(data.rdev())),
            u64::from(sys::minor(data.rdev())),
        );
        Kind::Device(minor & 0xff | major << 8 | (minor & !0xff) << 12)
    } else {
        Kind::File
    })
}

fn contents(place: &StdPath) -> io::Result<Contents> {
    let file = std::fs::File::open(place)?;
    let mut contents = Contents::default();
    contents.grow(file.metadata()?.len());
    let mut buf = vec![0; CHUNK];
    let mut at = 0;
    // Holes are not read: files may be a terabyte long.
    while let Ok(start) = sys::seek(&file, sys::SeekFrom::Data(at)) {
        let end = sys::seek(&file, sys::SeekFrom::Hole(start))?;
        at = start;
        while at < end {
            let len = (end - at).min(CHUNK as u64) as usize;
            file.read_exact_at(&mut buf[..len], at)?;
            contents.write(at, &buf[..len]);
            at += len as u64;
        }
    }
    Ok(contents)
}

fn xattrs(place: &StdPath) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = vec![0; 64 << 10];
    let len = match sys::llistxattr(place, &mut names[..]) {
        Err(rustix::io::Errno::NOTSUP) => 0,
        result => result?,
    };
    let mut xattrs = BTreeMap::new();
    for name in names[..len]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; 64 << 10];
        let len = sys::lgetxattr(place, name, &mut value[..])?;
        value.truncate(len);
        xattrs.insert(name.to_vec(), value);
    }
    Ok(xattrs)
}
