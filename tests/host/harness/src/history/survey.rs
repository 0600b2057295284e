// SPDX-License-Identifier: GPL-2.0
//! What users see of a mounted volume.

use super::op::Kind;
use super::reader::contents;
use super::snapshot::{File, Path, Snapshot};
use crate::mount::Mounted;
use core::ops::ControlFlow;
use engine::disk::{FileType, ObjectId};
use engine::fs::{Inode, Target};
use kernel::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Directories below each other, at most: a circle on a bad disk must not keep a test.
const MAX_DEPTH: usize = 128;
/// Paths, at most: directories that are entries of each other have no end of them.
const MAX_FILES: usize = 20_000;

/// Looks at every file of the subvolume that is mounted.
pub fn survey(mounted: &Mounted) -> Result<Snapshot> {
    survey_below(mounted, mounted.subvolume.root_directory())
}

/// Looks at every file in and below a directory.
pub fn survey_below(mounted: &Mounted, directory: ObjectId) -> Result<Snapshot> {
    let (first_paths, snapshot) = (BTreeMap::new(), Snapshot::default());
    let mut survey = Survey {
        mounted,
        first_paths,
        snapshot,
        depth: 0,
    };
    survey.visit(directory, &mut Path::new())?;
    Ok(survey.snapshot)
}

struct Survey<'a> {
    mounted: &'a Mounted,
    first_paths: BTreeMap<ObjectId, Path>,
    snapshot: Snapshot,
    depth: usize,
}

impl Survey<'_> {
    fn visit(&mut self, number: ObjectId, path: &mut Path) -> Result {
        let inode = self
            .mounted
            .fs
            .inodes()
            .get(&self.mounted.subvolume, number)?;
        let first_path = self
            .first_paths
            .entry(number)
            .or_insert_with(|| path.clone())
            .clone();
        let file = self.file(&inode, first_path)?;
        let directory = file.kind == Kind::Directory;
        self.snapshot.files.insert(path.clone(), file);
        if !directory {
            return Ok(());
        }
        if self.depth == MAX_DEPTH || self.snapshot.files.len() > MAX_FILES {
            return Err(EUCLEAN);
        }
        self.depth += 1;
        for (name, target) in self.entries(&inode)? {
            let Target::Inode(number, file_type) = target else {
                continue;
            };
            let len = path.len();
            path.push(b'/');
            path.extend_from_slice(&name);
            self.visit(number, path)?;
            self.check_type(path, file_type)?;
            path.truncate(len);
        }
        self.depth -= 1;
        Ok(())
    }

    /// The entry names the type that the inode has.
    fn check_type(&self, path: &Path, file_type: FileType) -> Result {
        let kind = self.snapshot.files.get(path).map(|file| &file.kind);
        let agrees = match file_type {
            FileType::Regular => kind == Some(&Kind::File),
            FileType::Directory => kind == Some(&Kind::Directory),
            FileType::Symlink => matches!(kind, Some(Kind::Symlink(_))),
            FileType::Fifo => kind == Some(&Kind::Fifo),
            _ => matches!(kind, Some(Kind::Device(_))),
        };
        agrees.then_some(()).ok_or(EUCLEAN)
    }

    /// The entries as readdir shows them; looking each up must give the same.
    fn entries(&self, dir: &Inode) -> Result<BTreeMap<std::vec::Vec<u8>, Target>> {
        let mut entries = BTreeMap::new();
        let mut positions = BTreeSet::new();
        self.mounted.fs.names().read_dir(dir, 0, &mut |entry| {
            if !positions.insert(entry.position)
                || entries.insert(entry.name.to_vec(), entry.target).is_some()
            {
                pr_err!("readdir shows an entry twice\n");
                return Err(EUCLEAN);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for (name, target) in &entries {
            if self.mounted.fs.names().lookup(dir, name)? != Some(*target) {
                pr_err!("lookup and readdir do not agree\n");
                return Err(EUCLEAN);
            }
        }
        Ok(entries)
    }

    fn file(&self, inode: &Inode, first_path: Path) -> Result<File> {
        let fs = &self.mounted.fs;
        let attributes = inode.attributes();
        let kind = match attributes.file_type() {
            Some(FileType::Regular) => Kind::File,
            Some(FileType::Directory) => Kind::Directory,
            Some(FileType::Symlink) => Kind::Symlink(fs.inodes().read_link(inode)?.to_vec()),
            Some(FileType::Fifo) => Kind::Fifo,
            _ => Kind::Device(attributes.rdev),
        };
        let contents = match kind {
            Kind::File => contents(self.mounted, inode)?,
            _ => Default::default(),
        };
        let mut names = std::vec::Vec::new();
        fs.inodes().list_xattrs(inode, &mut |name| {
            names.push(name.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        let mut xattrs = BTreeMap::new();
        for name in names {
            let value = fs.inodes().get_xattr(inode, &name)?.ok_or(EUCLEAN)?;
            xattrs.insert(name, value.to_vec());
        }
        Ok(File {
            first_path,
            kind,
            mode: attributes.mode & 0o7777,
            owner: attributes.uid,
            links: attributes.nlink,
            mtime: attributes.mtime.sec,
            contents,
            xattrs,
        })
    }
}
