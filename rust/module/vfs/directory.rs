// SPDX-License-Identifier: GPL-2.0

//! Names: looking up, listing, making, removing, renaming.

use super::changing::Changing;
use super::mount::mount_of;
use super::node::AbsentSubvolume;
use super::{node, Rbtrfs};
use crate::linux::dentry::Dentry;
use crate::linux::directory::{DirContext, Directory, EntryKind, NewFile, NewKind, RenameKind};
use crate::linux::inode::Made;
use crate::linux::owner::Owner;
use crate::linux::Inode;
use core::ops::ControlFlow;
use engine::disk::{Bytes, FileType};
use engine::fs::{self, New, Now, Rename, RenameMode, Side, Target};
use kernel::sync::aref::ARef;
use latch::prelude::*;

/// The number that the place of an absent subvolume shows (C: `BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`).
const EMPTY_PLACE: u64 = 2;

impl Directory for Rbtrfs {
    fn lookup(dir: &Inode, name: &[u8]) -> Result<Option<ARef<Inode>>> {
        let (mount, this) = (mount_of(dir)?, node(dir)?);
        let sb = dir.super_block();
        match mount.fs().names().lookup(&this.inode, name)? {
            None => Ok(None),
            Some(Target::Inode(number, _)) => match mount.inode(sb, &this.subvolume, number) {
                // The name leads nowhere, as old drivers may have left it. It is a handle that goes stale, not a name.
                Err(error) if error == ESTALE => {
                    pr_warn!("inode {}: a name leads to no inode\n", dir.number());
                    Ok(None)
                }
                found => found.map(Some),
            },
            Some(Target::Subvolume(id)) => {
                let subvolume = mount.fs().subvolumes().get(id)?;
                mount.top_of(sb, subvolume).map(Some)
            }
            Some(Target::EmptyPlace) => {
                let shown_in = this.subvolume.clone();
                let place = AbsentSubvolume { shown_in };
                sb.empty_directory(EMPTY_PLACE, dir, place).map(Some)
            }
        }
    }

    fn iterate(dir: &Inode, out: &mut DirContext<'_>) -> Result {
        let (mount, this) = (mount_of(dir)?, node(dir)?);
        let (position, end) = (out.position(), out.end());
        mount
            .fs()
            .names()
            .read_dir(&this.inode, position, &mut |entry| {
                if entry.position >= end {
                    return Ok(ControlFlow::Break(()));
                }
                out.set_position(entry.position);
                let (number, kind) = match entry.target {
                    Target::Inode(number, kind) => (number.get(), entry_kind(kind)),
                    Target::Subvolume(id) => (id.get(), entry_kind(FileType::Directory)),
                    Target::EmptyPlace => (EMPTY_PLACE, entry_kind(FileType::Directory)),
                };
                let shown = out.emit(entry.name, number, kind);
                if shown.is_continue() {
                    out.set_position(entry.position.saturating_add(1));
                }
                Ok(shown)
            })
    }

    fn end(dir: &Inode) -> Result<u64> {
        mount_of(dir)?.fs().names().dir_end(&node(dir)?.inode)
    }

    fn create(dir: &Inode, name: &[u8], file: &NewFile<'_>) -> Result<Made> {
        let (mount, this) = (mount_of(dir)?, node(dir)?);
        let changing = Changing([(dir, this)]);
        let names = mount.fs().names();
        let made = names.create(&this.inode, name, &new(file, &changing));
        changing.show();
        mount.adopt(dir.super_block(), &this.subvolume, made?)
    }

    fn create_unnamed(dir: &Inode, file: &NewFile<'_>) -> Result<Made> {
        let (mount, this) = (mount_of(dir)?, node(dir)?);
        let changing = Changing([(dir, this)]);
        let names = mount.fs().names();
        let made = names.create_unnamed(&this.inode, &new(file, &changing));
        changing.show();
        mount.adopt(dir.super_block(), &this.subvolume, made?)
    }

    fn throttle(dir: &Inode) {
        if let Ok(mount) = mount_of(dir) {
            mount.throttle();
        }
    }

    fn link(inode: &Inode, dir: &Inode, name: &[u8]) -> Result {
        change_names(dir, inode, |names, dir, inode, now| {
            names.link(dir, name, inode, now)
        })
    }

    fn unlink(dir: &Inode, name: &[u8], inode: &Inode) -> Result {
        change_names(dir, inode, |names, dir, inode, now| {
            names.unlink(dir, name, inode, now)
        })
    }

    fn rmdir(dir: &Inode, name: &[u8], inode: &Inode) -> Result {
        if is_empty_place(inode) {
            let (mount, this) = (mount_of(dir)?, node(dir)?);
            let changing = Changing([(dir, this)]);
            let names = mount.fs().names();
            let removed = names.remove_empty_place(&this.inode, name, &changing);
            changing.show();
            return removed;
        }
        change_names(dir, inode, |names, dir, inode, now| {
            names.rmdir(dir, name, inode, now)
        })
    }

    fn rename(
        (from_dir, from): (&Inode, &Dentry),
        (to_dir, to): (&Inode, &Dentry),
        kind: RenameKind,
        owner: Owner,
    ) -> Result {
        let mount = mount_of(from_dir)?;
        let moved = from.inode().ok_or(ENOENT)?;
        let replaced = to.inode();
        check_places(to_dir, moved, replaced)?;
        let replaced_node = replaced.map(node).transpose()?;
        let whiteout = NewFile {
            kind: NewKind::Special(0),
            owner,
            xattrs: &[],
        };
        let (from_node, to_node, moved_node) = (node(from_dir)?, node(to_dir)?, node(moved)?);
        let last = replaced.zip(replaced_node);
        let changing = Changing([
            (from_dir, from_node),
            (to_dir, to_node),
            (moved, moved_node),
            last.unwrap_or((moved, moved_node)),
        ]);
        let whiteout = new(&whiteout, &changing);
        let target = replaced_node.map(|node| &*node.inode);
        let mode = match kind {
            RenameKind::Exchange => RenameMode::Exchange(target.ok_or(ENOENT)?),
            RenameKind::Whiteout | RenameKind::Replace => RenameMode::Move {
                replaced: target,
                whiteout: (kind == RenameKind::Whiteout).then_some(&whiteout),
            },
        };
        // What is replaced by nothing had nothing to lose.
        if kind != RenameKind::Exchange && replaced.is_some_and(|last| last.size() > Bytes::ZERO) {
            mount.replaced().add(moved);
        }
        let renamed = mount.fs().names().rename(&Rename {
            from: Side {
                dir: &from_node.inode,
                name: from.name(),
            },
            to: Side {
                dir: &to_node.inode,
                name: to.name(),
            },
            moved: &moved_node.inode,
            mode,
            now: &changing,
        });
        changing.show();
        if let Some(replaced) = replaced {
            mount.replaced().forget(replaced);
        }
        renamed?;
        mount.throttle();
        Ok(())
    }
}

/// Refuses to rename to, or from, the empty place of a subvolume that is gone.
fn check_places(to_dir: &Inode, moved: &Inode, replaced: Option<&Inode>) -> Result {
    if is_empty_place(to_dir) {
        return Err(EPERM);
    }
    // C does not tell the place of a subvolume from the subvolume here, but lets a directory replace it.
    match is_empty_place(moved) || replaced.is_some_and(is_empty_place) {
        true => Err(ENOTEMPTY),
        false => Ok(()),
    }
}

/// Changes the names of an inode in a directory, and shows what became of both.
fn change_names(
    dir: &Inode,
    inode: &Inode,
    change: impl FnOnce(fs::Names<'_>, &fs::Inode, &fs::Inode, &dyn Now) -> Result,
) -> Result {
    let (mount, this, dir_node) = (mount_of(dir)?, node(inode)?, node(dir)?);
    let names = mount.fs().names();
    let changing = Changing([(dir, dir_node), (inode, this)]);
    let changed = change(names, &dir_node.inode, &this.inode, &changing);
    changing.show();
    mount.replaced().forget(inode);
    changed?;
    mount.throttle();
    Ok(())
}

/// Whether this is the place of an absent subvolume.
fn is_empty_place(inode: &Inode) -> bool {
    inode.payload::<AbsentSubvolume>().is_some()
}

fn new<'a>(file: &NewFile<'a>, now: &'a dyn Now) -> New<'a> {
    let owner = file.owner;
    New {
        kind: match file.kind {
            NewKind::File => fs::NewKind::File,
            NewKind::Directory => fs::NewKind::Directory,
            NewKind::Symlink(target) => fs::NewKind::Symlink(target),
            NewKind::Special(rdev) => match FileType::of_mode(owner.mode) {
                Some(FileType::Fifo) => fs::NewKind::Fifo,
                Some(FileType::Socket) => fs::NewKind::Socket,
                _ => fs::NewKind::Device(rdev.into()),
            },
        },
        mode: owner.mode,
        uid: owner.uid,
        gid: owner.gid,
        now,
        xattrs: file.xattrs,
    }
}

/// `DT_*` of a type.
fn entry_kind(kind: FileType) -> EntryKind {
    match kind {
        FileType::Fifo => 1,
        FileType::CharDevice => 2,
        FileType::Directory => 4,
        FileType::BlockDevice => 6,
        FileType::Regular => 8,
        FileType::Symlink => 10,
        FileType::Socket => 12,
        FileType::Xattr => 0,
    }
}
