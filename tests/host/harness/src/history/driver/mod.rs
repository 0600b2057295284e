// SPDX-License-Identifier: GPL-2.0
//! Does the steps of a history with the engine, as the kernel edge would: it keeps the inodes, zeroes partial sectors,
//! writes the data and hands its checksums in.

mod data;

use super::model::Model;
use super::op::{How, Id, Kind, Op, Open, Place, XattrMode, ROOT};
use crate::mount::Mounted;
use engine::disk::ObjectId;
use engine::fs::{self, Changes, Inode, New, NewKind, Rename, RenameMode, Side, Target, Time};
use kernel::prelude::*;
use kernel::sync::Arc;
use std::collections::BTreeMap;

const S_IFCHR: u32 = 0o020000;
const S_IFDIR: u32 = 0o040000;
const S_IFREG: u32 = 0o100000;
const S_IFIFO: u32 = 0o010000;
const S_IFLNK: u32 = 0o120000;

/// A user of a mounted volume.
pub struct Driver {
    mounted: std::sync::Arc<Mounted>,
    inodes: BTreeMap<Id, Arc<Inode>>,
    numbers: BTreeMap<Id, ObjectId>,
    now: Time,
}

impl Driver {
    /// Uses an empty volume; gives its root directory known attributes.
    pub fn start(mounted: Mounted) -> Result<Self> {
        let root = mounted.subvolume.root_directory();
        let mut driver = Self::start_at(std::sync::Arc::new(mounted), root)?;
        driver.adopt_root()?;
        driver.mounted.txns.commit()?;
        Ok(driver)
    }

    /// One of several users, each in an empty directory of its own, which is the root of its history.
    pub fn start_below(mounted: &std::sync::Arc<Mounted>, name: &[u8]) -> Result<Self> {
        let top = mounted.fs.inodes().root(&mounted.subvolume)?;
        let now = Time::default();
        let new = entry(NewKind::Directory, S_IFDIR | 0o755, &now);
        let directory = mounted.fs.names().create(&top, name, &new)?;
        Self::start_at(mounted.clone(), directory.number())
    }

    fn start_at(mounted: std::sync::Arc<Mounted>, root: ObjectId) -> Result<Self> {
        let numbers = BTreeMap::from([(ROOT, root)]);
        Ok(Self {
            mounted,
            inodes: BTreeMap::new(),
            numbers,
            now: Time::default(),
        })
    }

    fn adopt_root(&mut self) -> Result {
        let root = self.inode(ROOT)?;
        let zero = Some(Time::default());
        let (mode, id) = (Some(S_IFDIR | 0o755), Some(0));
        let changes = Changes {
            mode,
            uid: id,
            gid: id,
            mtime: zero,
            ctime: zero,
            ..Changes::default()
        };
        self.mounted.fs.inodes().set_attributes(&root, |_| changes)
    }

    /// The volume.
    pub fn mounted(&self) -> &Mounted {
        &self.mounted
    }

    /// Looks up all files that have a name, after a step that failed half way.
    pub fn relearn(&mut self, model: &Model) -> Result {
        let mut dirs = std::vec![ROOT];
        while let Some(id) = dirs.pop() {
            let dir = self.inode(id)?;
            for (name, child) in &model.node(id).entries {
                let Some(Target::Inode(number, _)) = self.mounted.fs.names().lookup(&dir, name)?
                else {
                    return Err(ENOENT);
                };
                self.numbers.insert(*child, number);
                if model.node(*child).is_directory() {
                    dirs.push(*child);
                }
            }
        }
        Ok(())
    }

    /// The number of the directory that is the history's root.
    pub fn root(&self) -> ObjectId {
        self.numbers[&ROOT]
    }

    /// Ends the use. There is no other user.
    pub fn finish(self) -> Mounted {
        let Self {
            mounted, inodes, ..
        } = self;
        drop(inodes);
        std::sync::Arc::try_unwrap(mounted)
            .ok()
            .expect("the only user")
    }

    fn inode(&mut self, id: Id) -> Result<Arc<Inode>> {
        if let Some(inode) = self.inodes.get(&id) {
            return Ok(inode.clone());
        }
        // Unknown after a step that failed, as on a damaged volume.
        let number = *self.numbers.get(&id).ok_or(ENOENT)?;
        let inode = self
            .mounted
            .fs
            .inodes()
            .get(&self.mounted.subvolume, number)?;
        self.inodes.insert(id, inode.clone());
        Ok(inode)
    }

    fn keep(&mut self, id: Id, inode: Arc<Inode>) {
        self.numbers.insert(id, inode.number());
        self.inodes.insert(id, inode);
    }

    /// What stands at a name, as the VFS would look it up.
    fn look_up(&mut self, at: &Place) -> Result<Option<(Id, Arc<Inode>)>> {
        let dir = self.inode(at.dir)?;
        let Some(target) = self.mounted.fs.names().lookup(&dir, &at.name)? else {
            return Ok(None);
        };
        let Target::Inode(number, _) = target else {
            return Err(EXDEV);
        };
        let mut known = self.numbers.iter();
        let id = known
            .find(|(_, known)| **known == number)
            .map(|(id, _)| *id);
        // A name that leads to no file of the history.
        let id = id.ok_or(EUCLEAN)?;
        Ok(Some((id, self.inode(id)?)))
    }

    /// Does a step. `now` is its time, in seconds.
    pub fn apply(&mut self, op: &Op, now: i64) -> Result<()> {
        self.now = Time { sec: now, nsec: 0 };
        match op {
            Op::Create { id, at, kind, mode } => self.create(*id, at, kind, *mode),
            Op::CreateUnnamed { id, dir } => {
                let dir = self.inode(*dir)?;
                let new = entry(NewKind::File, S_IFREG | 0o600, &self.now);
                let inode = self.mounted.fs.names().create_unnamed(&dir, &new)?;
                self.keep(*id, inode);
                Ok(())
            }
            Op::Link { id, at } => {
                let (dir, inode) = (self.inode(at.dir)?, self.inode(*id)?);
                if self.look_up(at)?.is_some() {
                    return Err(EEXIST);
                }
                self.mounted
                    .fs
                    .names()
                    .link(&dir, &at.name, &inode, self.now)
            }
            Op::Unlink { at, open } => self.unlink(at, *open),
            Op::Close { id } => self.close(*id),
            Op::Rmdir { at } => {
                let (id, child) = self.look_up(at)?.ok_or(ENOENT)?;
                let dir = self.inode(at.dir)?;
                self.mounted
                    .fs
                    .names()
                    .rmdir(&dir, &at.name, &child, self.now)?;
                self.close(id)
            }
            Op::Rename { from, to, how } => self.rename(from, to, how),
            Op::Write {
                id,
                offset,
                len,
                seed,
            } => {
                let inode = self.inode(*id)?;
                self.write(&inode, *offset, &Op::bytes(*len, *seed))
            }
            Op::Truncate { id, size } => self.truncate(*id, *size),
            Op::PunchHole { id, offset, len } => self.punch_hole(*id, *offset, *len),
            Op::Preallocate { id, offset, len } => self.preallocate(*id, *offset, *len),
            Op::SetXattr {
                id,
                name,
                value,
                mode,
            } => {
                let inode = self.inode(*id)?;
                let mode = match mode {
                    XattrMode::Any => fs::XattrMode::Any,
                    XattrMode::Create => fs::XattrMode::Create,
                    XattrMode::Replace => fs::XattrMode::Replace,
                };
                self.mounted
                    .fs
                    .inodes()
                    .set_xattr(&inode, name, value, mode, self.now)
            }
            Op::RemoveXattr { id, name } => {
                let inode = self.inode(*id)?;
                self.mounted
                    .fs
                    .inodes()
                    .remove_xattr(&inode, name, self.now)
            }
            Op::SetAttributes { id, mode, owner } => {
                let inode = self.inode(*id)?;
                let mode = Some(inode.attributes().mode & !0o7777 | mode);
                let (uid, gid) = (Some(*owner), Some(*owner));
                let changes = Changes {
                    mode,
                    uid,
                    gid,
                    ctime: Some(self.now),
                    ..Changes::default()
                };
                self.mounted.fs.inodes().set_attributes(&inode, |_| changes)
            }
            Op::Sync => self.mounted.txns.commit(),
            Op::Fsync { id } => {
                let inode = self.inode(*id)?;
                self.mounted.fs.sync(&inode)
            }
            Op::DropCaches => {
                self.inodes.retain(|_, inode| inode.attributes().nlink == 0);
                self.mounted.store.shrink();
                Ok(())
            }
            Op::Remount => self.remount(),
        }
    }

    fn create(&mut self, id: Id, at: &Place, kind: &Kind, mode: u32) -> Result {
        let dir = self.inode(at.dir)?;
        let (kind, file_type) = match kind {
            Kind::File => (NewKind::File, S_IFREG),
            Kind::Directory => (NewKind::Directory, S_IFDIR),
            Kind::Symlink(target) => (NewKind::Symlink(target), S_IFLNK),
            Kind::Device(number) => (NewKind::Device(*number), S_IFCHR),
            Kind::Fifo => (NewKind::Fifo, S_IFIFO),
        };
        let new = entry(kind, file_type | mode, &self.now);
        let inode = self.mounted.fs.names().create(&dir, &at.name, &new)?;
        self.keep(id, inode);
        Ok(())
    }

    fn unlink(&mut self, at: &Place, open: Open) -> Result {
        let (id, child) = self.look_up(at)?.ok_or(ENOENT)?;
        let dir = self.inode(at.dir)?;
        self.mounted
            .fs
            .names()
            .unlink(&dir, &at.name, &child, self.now)?;
        if open == Open::Yes {
            return Ok(());
        }
        self.close(id)
    }

    /// Evicts a file that has no name any more.
    fn close(&mut self, id: Id) -> Result {
        let inode = self.inode(id)?;
        if inode.attributes().nlink == 0 {
            self.inodes.remove(&id);
            self.numbers.remove(&id);
            self.mounted.fs.inodes().evict(&inode)?;
        }
        Ok(())
    }

    fn rename(&mut self, from: &Place, to: &Place, how: &How) -> Result {
        let (_, moved) = self.look_up(from)?.ok_or(ENOENT)?;
        let target = self.look_up(to)?;
        if *how == How::NoReplace && target.is_some() {
            return Err(EEXIST);
        }
        let (from_dir, to_dir) = (self.inode(from.dir)?, self.inode(to.dir)?);
        let new = entry(NewKind::Device(0), S_IFCHR, &self.now);
        let replaced = target.as_ref().map(|(_, inode)| &**inode);
        let mode = match how {
            How::Exchange => RenameMode::Exchange(replaced.ok_or(ENOENT)?),
            How::Whiteout(_) => RenameMode::Move {
                replaced,
                whiteout: Some(&new),
            },
            How::Replace | How::NoReplace => RenameMode::Move {
                replaced,
                whiteout: None,
            },
        };
        let from_side = Side {
            dir: &from_dir,
            name: &from.name,
        };
        let to_side = Side {
            dir: &to_dir,
            name: &to.name,
        };
        let rename = Rename {
            from: from_side,
            to: to_side,
            moved: &moved,
            mode,
            now: &self.now,
        };
        self.mounted.fs.names().rename(&rename)?;
        if let How::Whiteout(id) = how {
            let number = match self.mounted.fs.names().lookup(&from_dir, &from.name)? {
                Some(Target::Inode(number, _)) => number,
                _ => return Err(EUCLEAN),
            };
            self.numbers.insert(*id, number);
        }
        match target {
            Some((id, _)) if *how != How::Exchange => self.close(id),
            _ => Ok(()),
        }
    }

    fn remount(&mut self) -> Result {
        // Open files without a name are gone, and their numbers may be used again.
        let inodes = std::mem::take(&mut self.inodes);
        for (id, _) in inodes
            .into_iter()
            .filter(|(_, inode)| inode.attributes().nlink == 0)
        {
            self.numbers.remove(&id);
        }
        self.mounted.txns.close()?;
        let devices = self.mounted.devices.clone();
        self.mounted =
            std::sync::Arc::new(Mounted::mount_on(devices, crate::mount::Access::ReadWrite)?);
        Ok(())
    }
}

/// What the model makes: it belongs to root and has no attributes.
fn entry<'a>(kind: NewKind<'a>, mode: u32, now: &'a Time) -> New<'a> {
    New {
        kind,
        mode,
        uid: 0,
        gid: 0,
        now,
        xattrs: &[],
    }
}
