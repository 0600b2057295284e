// SPDX-License-Identifier: GPL-2.0
//! All that users can see of a file system, to compare.

use super::contents::Contents;
use super::op::Kind;
use std::collections::BTreeMap;

/// A path from the root, its parts joined by `/`.
pub type Path = Vec<u8>;

/// All that users can see: the files by path. Names of one file share its [`File::first_path`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The files.
    pub files: BTreeMap<Path, File>,
}

/// What users can see of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The first of its paths: tells which names are links of one file.
    pub first_path: Path,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: u32,
    /// Number of names.
    pub links: u32,
    /// When the contents changed last.
    pub mtime: i64,
    /// The bytes of a regular file.
    pub contents: Contents,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Snapshot {
    /// What `btrfs restore` brings back: no links, no special files, and not all attributes of directories.
    pub fn restorable(&self) -> Self {
        let mut snapshot = self.clone();
        snapshot
            .files
            .retain(|_, file| matches!(file.kind, Kind::File | Kind::Directory | Kind::Symlink(_)));
        for (path, file) in &mut snapshot.files {
            file.first_path = path.clone();
            file.links = 1;
            if file.kind == Kind::Directory {
                (file.mode, file.owner, file.mtime) = (0, 0, 0);
            }
        }
        snapshot
    }

    /// The differences, a line each; empty for equal ones.
    pub fn compare(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, file) in &self.files {
            match other.files.get(path) {
                None => lines.push(format!("{}: only in the first", show(path))),
                Some(theirs) => file.compare(theirs, path, &mut lines),
            }
        }
        let missing = other
            .files
            .keys()
            .filter(|path| !self.files.contains_key(*path));
        lines.extend(missing.map(|path| format!("{}: only in the second", show(path))));
        lines
    }
}

impl File {
    fn compare(&self, other: &Self, path: &[u8], lines: &mut Vec<String>) {
        let mut add = |what: &str, ours: String, theirs: String| {
            if ours != theirs {
                lines.push(format!("{}: {what} {ours} and {theirs}", show(path)));
            }
        };
        add(
            "first path",
            show(&self.first_path),
            show(&other.first_path),
        );
        add(
            "kind",
            format!("{:?}", self.kind),
            format!("{:?}", other.kind),
        );
        add(
            "mode",
            format!("{:o}", self.mode),
            format!("{:o}", other.mode),
        );
        add("owner", self.owner.to_string(), other.owner.to_string());
        add("links", self.links.to_string(), other.links.to_string());
        add("mtime", self.mtime.to_string(), other.mtime.to_string());
        add(
            "size",
            self.contents.size().to_string(),
            other.contents.size().to_string(),
        );
        add(
            "xattrs",
            show_xattrs(&self.xattrs),
            show_xattrs(&other.xattrs),
        );
        if let Some(at) = self.contents.difference(&other.contents) {
            lines.push(format!("{}: contents differ at {at}", show(path)));
        }
    }
}

fn show_xattrs(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> String {
    let shown: Vec<String> = xattrs
        .iter()
        .map(|(name, value)| format!("{}={}", show(name), show(value)))
        .collect();
    shown.join(" ")
}

/// A name to read; long ones are cut.
pub fn show(name: &[u8]) -> String {
    let text = name.escape_ascii().to_string();
    match text.len() {
        0..=60 => text,
        len => format!("{}..({len})", &text[..50]),
    }
}
