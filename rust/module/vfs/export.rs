// SPDX-License-Identifier: GPL-2.0

//! File handles with the words of C btrfs (`struct btrfs_fid`), so that those which either of the two gave out are good
//! with the other.
//!
//! | word   | what it is                                                               |
//! |--------|--------------------------------------------------------------------------|
//! | 0..2   | the inode's number, the low half first                                   |
//! | 2..4   | its subvolume                                                            |
//! | 4      | its generation; where it is 0 in a handle that comes back, any           |
//! | 5..7   | the number of the directory it was found in, if the handle tells that    |
//! | 7      | that directory's generation                                              |
//! | 8..10  | that directory's subvolume, if it is another                             |

use super::mount::mount;
use super::node::key;
use super::{node, Mount, Rbtrfs};
use crate::linux::attributes::Attributes;
use crate::linux::export::{Export, FileHandle};
use crate::linux::inode::{Found, InodeKey};
use crate::linux::{Inode, SuperBlock};
use engine::disk::{FileType, ObjectId};
use kernel::ffi::c_int;
use kernel::sync::aref::ARef;
use latch::prelude::*;

/// The type that C calls `FILEID_BTRFS_WITHOUT_PARENT`.
const ALONE: c_int = 0x4d;
/// The type that C calls `FILEID_BTRFS_WITH_PARENT`.
const WITH_PARENT: c_int = 0x4e;
/// The type that C calls `FILEID_BTRFS_WITH_PARENT_ROOT`.
const WITH_FOREIGN_PARENT: c_int = 0x4f;

/// Which inode is meant.
#[derive(Clone, Copy)]
struct Wanted {
    key: InodeKey,
    generation: u32,
}

impl Wanted {
    fn of(inode: &Inode) -> Self {
        Self {
            // No subvolume has the number 0: the place of an absent subvolume is never found again.
            key: inode.key().unwrap_or(InodeKey {
                subvolume: 0,
                number: inode.number(),
            }),
            generation: inode.generation(),
        }
    }

    /// The inode that a handle is for. `ESTALE` where it is too short for its type, or has no type of ours.
    fn by(handle: &FileHandle) -> Result<Self> {
        let words = handle.words();
        let needed = match handle.kind {
            ALONE => 5,
            WITH_PARENT => 8,
            WITH_FOREIGN_PARENT => 10,
            _ => return Err(ESTALE),
        };
        if words.len() < needed {
            return Err(ESTALE);
        }
        let [a, b, c, d, generation, ..] = *words else {
            return Err(ESTALE);
        };
        Ok(Self {
            key: InodeKey {
                subvolume: long(c, d),
                number: long(a, b),
            },
            generation,
        })
    }

    /// The directory that a handle tells.
    fn parent_by(handle: &FileHandle) -> Result<Self> {
        let this = Self::by(handle)?;
        let [_, _, _, _, _, a, b, generation, ref rest @ ..] = *handle.words() else {
            return Err(ESTALE);
        };
        let subvolume = match (handle.kind, rest) {
            (WITH_PARENT, _) => this.key.subvolume,
            (WITH_FOREIGN_PARENT, &[c, d]) => long(c, d),
            _ => return Err(ESTALE),
        };
        Ok(Self {
            key: InodeKey {
                subvolume,
                number: long(a, b),
            },
            generation,
        })
    }
}

fn long(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

impl Mount {
    /// The inode that is meant. One that lost its last name is found only as long as somebody uses it: on disk it is an
    /// orphan, which nobody may begin to use.
    fn wanted(&self, sb: &SuperBlock, wanted: Wanted) -> Result<ARef<Inode>> {
        let number = ObjectId::new(wanted.key.number);
        if !number.is_free() {
            return Err(ESTALE);
        }
        let id = ObjectId::new(wanted.key.subvolume);
        let subvolume = self.fs().subvolumes().get(id);
        let view = self.view(sb, subvolume.map_err(absent)?)?;
        let inode = match sb.inode(key(&view, number))? {
            Found::Cached(inode) => inode,
            Found::New(new) => {
                let inode = self.fs().inodes().get(&view.subvolume, number)?;
                if inode.attributes().nlink == 0 {
                    return Err(ESTALE);
                }
                self.fill(new, inode, &view)?.publish()
            }
        };
        match wanted.generation == 0 || wanted.generation == inode.generation() {
            true => Ok(inode),
            false => Err(ESTALE),
        }
    }
}

/// What is not there is stale to who has a handle of it.
fn absent(error: Error) -> Error {
    match error == ENOENT {
        true => ESTALE,
        false => error,
    }
}

/// `ESTALE` for what cannot have names in it.
fn directory(inode: ARef<Inode>) -> Result<ARef<Inode>> {
    match FileType::of_mode(inode.mode()) {
        Some(FileType::Directory) => Ok(inode),
        _ => Err(ESTALE),
    }
}

impl Export for Rbtrfs {
    fn encode(inode: &Inode, parent: Option<&Inode>) -> FileHandle {
        let this = Wanted::of(inode);
        let ([a, b], [c, d]) = (halves(this.key.number), halves(this.key.subvolume));
        let Some(parent) = parent.map(Wanted::of) else {
            return FileHandle::new(ALONE, [a, b, c, d, this.generation]);
        };
        let ([e, f], [g, h]) = (halves(parent.key.number), halves(parent.key.subvolume));
        let words = [a, b, c, d, this.generation, e, f, parent.generation, g, h];
        match parent.key.subvolume == this.key.subvolume {
            true => FileHandle::new(WITH_PARENT, words.into_iter().take(8)),
            false => FileHandle::new(WITH_FOREIGN_PARENT, words),
        }
    }

    fn find(sb: &SuperBlock, handle: &FileHandle) -> Result<ARef<Inode>> {
        mount(sb)?.wanted(sb, Wanted::by(handle)?)
    }

    fn find_parent(sb: &SuperBlock, handle: &FileHandle) -> Result<ARef<Inode>> {
        let found = mount(sb)?.wanted(sb, Wanted::parent_by(handle)?)?;
        directory(found)
    }

    fn parent(dir: &Inode) -> Result<ARef<Inode>> {
        let (sb, this) = (dir.super_block(), node(dir)?);
        let mount = mount(sb)?;
        let (subvolume, number) = match mount.fs().inodes().parent(&this.inode)? {
            Some(number) => (this.subvolume.subvolume.id(), number),
            None if this.inode.is_subvolume_root() => {
                let subvolumes = mount.fs().subvolumes();
                let place = subvolumes.place_of(this.subvolume.subvolume.id());
                let place = place.map_err(absent)?;
                (place.subvolume, place.dir)
            }
            None => return Err(ESTALE),
        };
        let wanted = Wanted {
            key: InodeKey {
                subvolume: subvolume.get(),
                number: number.get(),
            },
            generation: 0,
        };
        directory(mount.wanted(sb, wanted)?)
    }

    fn commit(inode: &Inode) -> Result {
        <Self as Attributes>::sync(inode)
    }

    fn name(dir: &Inode, child: &Inode) -> Result<KVec<u8>> {
        let (mount, dir, child) = (mount(dir.super_block())?, node(dir)?, node(child)?);
        mount.fs().names().name_in(&dir.inode, &child.inode)
    }
}
