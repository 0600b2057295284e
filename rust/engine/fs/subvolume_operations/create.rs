// SPDX-License-Identifier: GPL-2.0
//! Making subvolumes, empty or as snapshots: a tree, its root item, its place in both directions and in a directory, and
//! its UUID.
//!
//! A snapshot is made inside the commit: nobody has a handle there, so it holds no change by half.

use super::Subvolumes;
use crate::btree::{Allocate, Tree, Writer};
use crate::disk::{
    self, Bytes, FileType, Flaw, Generation, InodeItem, InodeRef, Key, Kind, ObjectId,
};
use crate::disk::{RootExtension, RootItem, RootRef, Site, Uuid, UuidItem};
use crate::fs::filesystem::or_abort;
use crate::fs::items::entries::{self, NewEntry};
use crate::fs::items::place;
use crate::fs::{items, Inode, Subvolume, Time};
use crate::txn::{AtCommit, Handle, OpenTree, Units};
use core::sync::atomic::Ordering;
use kernel::sync::Arc;
use latch::prelude::*;

/// A subvolume to be made.
#[derive(Clone, Copy)]
pub struct NewSubvolume<'a> {
    /// The directory that its name goes to. The caller has it locked.
    pub dir: &'a Arc<Inode>,
    /// The subvolume's name there.
    pub name: &'a [u8],
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
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
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
        let (handle, making) = self.begin(new)?;
        or_abort(&handle, making.create(&handle, topmost))?;
        handle.commit()?;
        Ok(making.id)
    }

    /// Makes a subvolume that has all that `source` has in its tree when this commits: each change of others as a whole or
    /// not at all. What is written to a file and not finished is not among it: an ioctl that takes a snapshot has to write
    /// out the source's dirty pages before, as C does, and to wait for them. `EBUSY` where some of them are promised to be
    /// written where their preallocated space is ([`Subvolume::promised`]): the snapshot would have that space, too. All
    /// other errors are those of [`Self::create`].
    pub fn snapshot(&self, source: &Subvolume, new: &NewSubvolume<'_>) -> Result<ObjectId> {
        let _none_new = source.promise_no_more();
        if source.promised() > Bytes::ZERO {
            return Err(EBUSY);
        }
        let (handle, making) = self.begin(new)?;
        let id = making.id;
        let source = source.clone();
        handle.commit_with(KBox::new(Snapshot { source, making }, GFP_NOFAIL)?)?;
        self.fs.moved.snapshots.fetch_add(1, Ordering::Relaxed);
        Ok(id)
    }

    /// Refuses what cannot be made, before anything is changed.
    fn begin(&self, new: &NewSubvolume<'_>) -> Result<(Handle, Making)> {
        let NewSubvolume { dir, name, .. } = *new;
        entries::check_name(name)?;
        let uuids = match self.fs.transactions().tree(ObjectId::UUID_TREE) {
            Err(error) if error == ENOENT => None,
            tree => Some(tree?),
        };
        let handle = self.fs.start(dir.subvolume(), units())?;
        entries::check_room(dir.subvolume().tree(), dir.number(), name)?;
        let mut copy = KVec::new();
        copy.extend_from_slice(name, GFP_NOFAIL)?;
        let making = Making {
            root_tree: self.fs.root_tree().clone(),
            uuids,
            id: self.take_id()?,
            dir: dir.clone(),
            name: copy,
            index: dir.take_index()?,
            uuid: new.uuid,
            now: new.now,
        };
        Ok((handle, making))
    }

    /// Takes an id. `ENOSPC` after the last.
    fn take_id(&self) -> Result<ObjectId> {
        let id = self
            .fs
            .transactions()
            .space()
            .take_number(self.fs.root_tree())?;
        if id.is_subvolume() {
            Ok(id)
        } else {
            Err(ENOSPC)
        }
    }
}

/// A subvolume that is being made, with all that this takes.
struct Making {
    root_tree: Arc<Tree>,
    /// Where the volume keeps UUIDs, if it does.
    uuids: Option<OpenTree>,
    id: ObjectId,
    dir: Arc<Inode>,
    name: KVec<u8>,
    /// The entry's index in the directory.
    index: u64,
    uuid: Uuid,
    now: Time,
}

/// A snapshot that waits for the commit.
struct Snapshot {
    source: Subvolume,
    making: Making,
}

impl AtCommit for Snapshot {
    fn run(&self, txn: &dyn Allocate) -> Result {
        let Self { source, making } = self;
        let root = source.tree().snapshot(txn, making.id)?;
        let (of_source, bytes) = making.note_snapshot(txn, source.id())?;
        let mut extension = making.extension(txn);
        if let Some(of_source) = &of_source.extended {
            // It was changed when its source was.
            extension.parent_uuid = of_source.uuid;
            extension.ctransid = of_source.ctransid;
            extension.ctime = of_source.ctime;
        }
        let node_size = Bytes::from(making.root_tree.store().node_size());
        let item = RootItem {
            generation: root.generation,
            addr: root.addr,
            level: root.level,
            // The commit adds the copied root.
            bytes_used: of_source.bytes_used.saturating_sub(node_size),
            flags: 0,
            refs: 1,
            drop_progress: None,
            extended: Some(extension),
            ..of_source
        };
        making.record(txn, txn.generation().get(), &item, bytes)
    }
}

impl Making {
    /// Makes an empty one.
    fn create(&self, txn: &dyn Allocate, topmost: &Topmost) -> Result {
        let store = self.root_tree.store();
        let tree = Tree::create(store.clone(), self.id, txn)?;
        insert_topmost(&tree, txn, topmost, self.now)?;
        let root = tree.root_pointer();
        let item = RootItem {
            generation: root.generation,
            root_dir: ObjectId::FIRST_FREE,
            addr: root.addr,
            level: root.level,
            // The commit adds the block.
            bytes_used: Bytes::ZERO,
            last_snapshot: Generation::new(0),
            flags: 0,
            refs: 1,
            drop_progress: None,
            extended: Some(self.extension(txn)),
        };
        let blank = RootItem::blank(store.node_size())?;
        // As C, by whose tools the key of a snapshot alone has its transaction.
        self.record(txn, 0, &item, blank)
    }

    /// Writes into the source's root item when its last snapshot was, and gives the item.
    fn note_snapshot(&self, txn: &dyn Allocate, source: ObjectId) -> Result<(RootItem, RootBytes)> {
        let tree = &self.root_tree;
        let mut writer = Writer::new(tree, txn);
        writer.seek_floor(&Key::new(source.get(), Kind::ROOT_ITEM, u64::MAX))?;
        let (key, bytes) = items::here(&mut writer)?;
        if (key.objectid, key.kind) != (source, Kind::ROOT_ITEM) {
            let flaw = Flaw::missing("subvolume has no root item");
            return Err(flaw.at(Site::Tree(source.into())).report());
        }
        let mut item = RootItem::parse(bytes).map_err(items::flawed(tree, &key))?;
        item.last_snapshot = txn.generation();
        // An item of the old size grows; what it lacked is zero.
        let bytes = writer.resize_here(RootItem::SIZE)?;
        item.write_to(bytes)?;
        let mut copy = [0; RootItem::SIZE];
        for (to, from) in copy.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok((item, copy))
    }

    /// Enters the subvolume everywhere: its root item, its place and its UUID.
    fn record(
        &self,
        txn: &dyn Allocate,
        key_offset: u64,
        item: &RootItem,
        mut bytes: RootBytes,
    ) -> Result {
        item.write_to(&mut bytes)?;
        let key = Key::new(self.id.get(), Kind::ROOT_ITEM, key_offset);
        self.root_tree.insert(txn, &key, &bytes)?;
        self.place(txn)?;
        let Some(uuids) = &self.uuids else {
            return Ok(());
        };
        let fill = |item: &mut [u8]| UuidItem(self.id).write_to(item);
        items::append(uuids, txn, &UuidItem::key(&self.uuid), UuidItem::SIZE, fill)
    }

    /// Gives the subvolume its place.
    fn place(&self, txn: &dyn Allocate) -> Result {
        let (dir, name) = (&self.dir, &self.name[..]);
        let (tree, parent) = (dir.subvolume().tree(), dir.subvolume().id());
        let reference = RootRef {
            dir: dir.number(),
            sequence: self.index,
            name,
        };
        place::add(&self.root_tree, txn, (parent, self.id), &reference)?;
        let entry = NewEntry {
            dir: dir.number(),
            name,
            index: self.index,
            target: disk::EntryTarget::Subvolume(self.id),
            file_type: FileType::Directory,
        };
        entries::add(tree, txn, &entry)?;
        dir.change_names(txn, |size| entries::grown(size, name), &self.now)
    }

    /// The extension of a new subvolume without a source.
    fn extension(&self, txn: &dyn Allocate) -> RootExtension {
        let never = Generation::new(0);
        RootExtension {
            uuid: self.uuid,
            parent_uuid: Uuid::NIL,
            received_uuid: Uuid::NIL,
            ctransid: txn.generation(),
            otransid: txn.generation(),
            stransid: never,
            rtransid: never,
            ctime: self.now,
            otime: self.now,
            stime: Time::default(),
            rtime: Time::default(),
        }
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
