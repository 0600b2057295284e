// SPDX-License-Identifier: GPL-2.0
//! Making subvolumes, empty or as snapshots: a tree, its root item, its place in both directions and in a directory, and
//! its UUID.

use super::{Subvolume, Subvolumes};
use crate::btree::{Allocate, Tree, Writer};
use crate::disk::{self, FileType, Flaw, Generation, InodeItem, InodeRef, Key, Kind, ObjectId};
use crate::disk::{Place, RootExtension, RootItem, RootRef, Uuid, UuidItem};
use crate::fs::filesystem::or_abort;
use crate::fs::names::entries::{self, NewEntry};
use crate::fs::{items, Side, Time};
use crate::txn::{Handle, Units};
use latch::prelude::*;

/// A subvolume to be made.
#[derive(Clone, Copy)]
pub struct NewSubvolume<'a> {
    /// Where its name goes. The caller has the directory locked.
    pub place: Side<'a>,
    /// A UUID that no other subvolume has.
    pub uuid: Uuid,
    /// The time of its making, and the directory's mtime and ctime.
    pub now: Time,
}

/// The owner and the permissions of a new subvolume's topmost directory.
#[derive(Clone, Copy)]
pub struct Topmost {
    /// Type, which is that of a directory, and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The bytes of a root item, with what no member of [`RootItem`] is.
type RootBytes = [u8; RootItem::SIZE];

/// The copied root with the references to what it points to, the root item of each, both places, the entry by name and
/// by index, the UUID; for an empty one the topmost directory too.
fn units() -> Units {
    Units::inserts(20).and(Units::updates(3))
}

impl Subvolumes<'_> {
    /// Makes an empty subvolume and commits. `EEXIST`, `EOVERFLOW`, `ENOSPC`, `EROFS`; `EINVAL` for a mode that is no
    /// directory's.
    pub fn create(&self, new: &NewSubvolume<'_>, topmost: &Topmost) -> Result<ObjectId> {
        if FileType::of_mode(topmost.mode) != Some(FileType::Directory) {
            return Err(EINVAL);
        }
        let handle = self.begin(new)?;
        let id = self.take_id()?;
        or_abort(&handle, self.create_in(&handle, id, new, topmost))?;
        self.make_durable(handle)?;
        Ok(id)
    }

    /// Makes a subvolume that has all that `source` has in its tree now, and commits; what is written to a file and not
    /// finished is not among it. Nobody may have a handle that changes `source` meanwhile, not even to finish a write:
    /// half of that change would be in the snapshot for good. Errors as of [`Self::create`].
    pub fn snapshot(&self, source: &Subvolume, new: &NewSubvolume<'_>) -> Result<ObjectId> {
        let handle = self.begin(new)?;
        let id = self.take_id()?;
        or_abort(&handle, self.snapshot_in(&handle, id, source, new))?;
        self.make_durable(handle)?;
        Ok(id)
    }

    /// Refuses what cannot be made, before anything is changed.
    fn begin(&self, new: &NewSubvolume<'_>) -> Result<Handle> {
        let Side { dir, name } = new.place;
        entries::check_name(name)?;
        let handle = self.fs.start(dir.subvolume(), units())?;
        entries::check_room(dir.subvolume().tree(), dir.number(), name)?;
        Ok(handle)
    }

    /// Takes an id. `ENOSPC` after the last.
    fn take_id(&self) -> Result<ObjectId> {
        let id = self.fs.opened.ids.take(self.fs.root_tree())?;
        if id.is_subvolume() {
            Ok(id)
        } else {
            Err(ENOSPC)
        }
    }

    fn make_durable(&self, handle: Handle) -> Result {
        drop(handle);
        self.fs.transactions().commit()
    }

    fn create_in(
        &self,
        handle: &Handle,
        id: ObjectId,
        new: &NewSubvolume<'_>,
        topmost: &Topmost,
    ) -> Result {
        let txns = self.fs.transactions();
        let tree = Tree::create(txns.store().clone(), id, handle)?;
        insert_topmost(&tree, handle, topmost, new.now)?;
        let item = RootItem {
            generation: handle.generation(),
            root_dir: ObjectId::FIRST_FREE,
            addr: tree.root_pointer().addr,
            level: tree.root_pointer().level,
            // The commit adds the block.
            bytes_used: 0,
            last_snapshot: Generation::new(0),
            flags: 0,
            refs: 1,
            drop_progress: None,
            extended: Some(extension(handle, new, Uuid::NIL)),
        };
        let blank = RootItem::blank(self.fs.format().node_size)?;
        // As C, by whose tools the key of a snapshot alone has its transaction.
        let key = Key::new(id.get(), Kind::ROOT_ITEM, 0);
        self.insert_root(handle, &key, &item, blank)?;
        self.place(handle, id, new)
    }

    fn snapshot_in(
        &self,
        handle: &Handle,
        id: ObjectId,
        source: &Subvolume,
        new: &NewSubvolume<'_>,
    ) -> Result {
        let root = source.tree().snapshot(handle, id)?;
        let (of_source, bytes) = self.note_snapshot(handle, source)?;
        let source_uuid = of_source.extended.map_or(Uuid::NIL, |it| it.uuid);
        let node_size = u64::from(self.fs.format().node_size);
        let item = RootItem {
            generation: handle.generation(),
            addr: root.addr,
            level: root.level,
            // The commit adds the copied root.
            bytes_used: of_source.bytes_used.saturating_sub(node_size),
            flags: 0,
            refs: 1,
            drop_progress: None,
            extended: Some(extension(handle, new, source_uuid)),
            ..of_source
        };
        let key = Key::new(id.get(), Kind::ROOT_ITEM, handle.generation().get());
        self.insert_root(handle, &key, &item, bytes)?;
        self.place(handle, id, new)
    }

    /// Writes into the source's root item when its last snapshot was, and gives the item.
    fn note_snapshot(&self, handle: &Handle, source: &Subvolume) -> Result<(RootItem, RootBytes)> {
        let tree = self.fs.root_tree();
        let mut writer = Writer::new(tree, handle);
        writer.seek_floor(&Key::new(source.id().get(), Kind::ROOT_ITEM, u64::MAX))?;
        let (key, bytes) = items::here(&mut writer)?;
        if (key.objectid, key.kind) != (source.id(), Kind::ROOT_ITEM) {
            let flaw = Flaw::missing("subvolume has no root item");
            return Err(flaw.at(Place::Tree(source.id().into())).report());
        }
        let mut item = RootItem::parse(bytes).map_err(items::flawed(tree, &key))?;
        item.last_snapshot = handle.generation();
        // An item of the old size grows; what it lacked is zero.
        let bytes = writer.resize_here(RootItem::SIZE)?;
        item.write_to(bytes)?;
        let mut copy = [0; RootItem::SIZE];
        for (to, from) in copy.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok((item, copy))
    }

    /// Inserts the root item of a new subvolume.
    fn insert_root(
        &self,
        handle: &Handle,
        key: &Key,
        item: &RootItem,
        mut bytes: RootBytes,
    ) -> Result {
        item.write_to(&mut bytes)?;
        self.fs.root_tree().insert(handle, key, &bytes)
    }

    /// Gives a new subvolume its place.
    fn place(&self, handle: &Handle, id: ObjectId, new: &NewSubvolume<'_>) -> Result {
        let Side { dir, name } = new.place;
        let (tree, parent) = (dir.subvolume().tree(), dir.subvolume().id());
        let index = dir.take_index()?;
        let reference = RootRef {
            dir: dir.number(),
            sequence: index,
            name,
        };
        let to_child = Key::new(parent.get(), Kind::ROOT_REF, id.get());
        let to_parent = Key::new(id.get(), Kind::ROOT_BACKREF, parent.get());
        for key in [to_child, to_parent] {
            let fill = |item: &mut [u8]| reference.write_to(item);
            let len = reference.encoded_len();
            self.fs.root_tree().insert_with(handle, &key, len, fill)??;
        }
        let entry = NewEntry {
            dir: dir.number(),
            name,
            index,
            target: disk::Target::Subvolume(id),
            file_type: FileType::Directory,
        };
        entries::add(tree, handle, &entry)?;
        dir.change_names(handle, |size| entries::grown(size, name), new.now)?;
        self.note_uuid(handle, id, &new.uuid)
    }

    /// Enters the UUID, where the volume has a tree for them.
    fn note_uuid(&self, handle: &Handle, id: ObjectId, uuid: &Uuid) -> Result {
        let tree = match self.fs.transactions().tree(ObjectId::UUID_TREE) {
            Ok(tree) => tree,
            Err(error) if error == ENOENT => return Ok(()),
            Err(error) => return Err(error),
        };
        let fill = |item: &mut [u8]| UuidItem(id).write_to(item);
        items::append(&tree, handle, &UuidItem::key(uuid), UuidItem::SIZE, fill)
    }
}

fn extension(handle: &Handle, new: &NewSubvolume<'_>, parent_uuid: Uuid) -> RootExtension {
    let never = Generation::new(0);
    RootExtension {
        uuid: new.uuid,
        parent_uuid,
        received_uuid: Uuid::NIL,
        ctransid: handle.generation(),
        otransid: handle.generation(),
        stransid: never,
        rtransid: never,
        ctime: new.now,
        otime: new.now,
        stime: Time::default(),
        rtime: Time::default(),
    }
}

/// Inserts the topmost directory of an empty subvolume, which is its own parent.
fn insert_topmost(tree: &Tree, txn: &dyn Allocate, topmost: &Topmost, now: Time) -> Result {
    let inode = InodeItem {
        generation: txn.generation(),
        transid: txn.generation(),
        nlink: 1,
        uid: topmost.uid,
        gid: topmost.gid,
        mode: topmost.mode,
        atime: now,
        ctime: now,
        mtime: now,
        otime: now,
        ..InodeItem::default()
    };
    let number = ObjectId::FIRST_FREE.get();
    let key = Key::new(number, Kind::INODE_ITEM, 0);
    let fill = |item: &mut [u8]| inode.write_to(item);
    tree.insert_with(txn, &key, InodeItem::SIZE, fill)??;
    let own = InodeRef {
        index: 0,
        name: b"..",
    };
    let key = Key::new(number, Kind::INODE_REF, number);
    let fill = |item: &mut [u8]| own.write_to(item);
    Ok(tree.insert_with(txn, &key, own.encoded_len(), fill)??)
}
