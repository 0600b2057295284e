// SPDX-License-Identifier: GPL-2.0
//! The open trees and their root items.
//!
//! A subvolume's tree is open as long as somebody has an [`OpenTree`] of it, and longer while it is ahead of its root item:
//! whoever opened it by that item would find the tree as it was. The commit that writes the item is then its last user.
//! Trees that every volume has one of stay open.

use super::transaction::Touched;
use crate::btree::{Allocate, Store, Tree};
use crate::disk::{
    Bytes, Flaw, Generation, Key, Kind, ObjectId, RootItem, RootPointer, Site, TreeId,
};
use crate::registry::{Registered, Registry};
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// All trees that somebody uses.
pub(super) struct OpenTrees {
    store: Arc<dyn Store>,
    root: Arc<Tree>,
    chunk: Arc<Tree>,
    open: Registry<TreeId, Opened>,
    /// Held from reading a root item until its tree is among the open ones.
    opening: Mutex<()>,
}

/// A tree and where its root item is.
struct Opened {
    tree: Arc<Tree>,
    root_item: Key,
    /// There is no such tree any more.
    is_gone: AtomicBool,
}

impl Opened {
    /// Whether the tree may be closed when nobody uses it.
    fn may_go(&self) -> bool {
        let is_one_of_many = self.tree.owner().is_subvolume() || self.tree.id().offset != 0;
        self.is_gone.load(Ordering::Relaxed) || (is_one_of_many && !self.tree.is_ahead())
    }
}

/// A tree in use. It is open at least as long as this.
#[derive(Clone)]
pub struct OpenTree(Registered<TreeId, Opened>);

impl OpenTree {
    /// The tree, for whoever has one that stays open: not a subvolume's.
    pub(super) fn to_arc(&self) -> Arc<Tree> {
        self.0.tree.clone()
    }
}

impl Deref for OpenTree {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        &self.0.tree
    }
}

impl OpenTrees {
    /// The open trees of a mount, with the two that the superblock leads to.
    pub(super) fn new(store: Arc<dyn Store>, root: Arc<Tree>, chunk: Arc<Tree>) -> Result<Self> {
        Ok(Self {
            store,
            root,
            chunk,
            open: Registry::new(Rank::OpenTrees, Opened::may_go)?,
            opening: Mutex::new((), Rank::TreeOpening)?,
        })
    }

    /// The tree of trees.
    pub(super) fn root(&self) -> &Arc<Tree> {
        &self.root
    }

    /// The chunk tree.
    pub(super) fn chunk(&self) -> &Arc<Tree> {
        &self.chunk
    }

    /// How many are open, but for these two.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// The tree `id`, which has a root item in the tree of trees. `ENOENT` if it has none or is half deleted.
    pub(super) fn get(&self, id: TreeId) -> Result<OpenTree> {
        let open = |(): &mut ()| self.open_now(id);
        let found = self.open.get_or_make(id, &self.opening, open);
        found.map(OpenTree)
    }

    fn open_now(&self, id: TreeId) -> Result<Opened> {
        let (root_item, item) = self.root_item(id)?;
        let tree = Tree::open(self.store.clone(), id, item.pointer(), item.last_snapshot)?;
        Ok(Opened {
            tree,
            root_item,
            is_gone: AtomicBool::new(false),
        })
    }

    /// The root item of `id`, and where it is. `ENOENT` if it has none or is half deleted.
    pub(super) fn root_item(&self, id: TreeId) -> Result<(Key, RootItem)> {
        // Only subvolumes are deleted by halves; others may count nobody (a quota tree by mkfs.btrfs).
        let is_whole = |item: &RootItem| item.refs > 0 || !id.objectid.is_subvolume();
        let found = self.look_up(id)?;
        found.filter(|(_, item)| is_whole(item)).ok_or(ENOENT)
    }

    /// Where the root item of `id` is, if there is one: of several the one with the highest offset.
    pub(super) fn key_of(&self, id: TreeId) -> Result<Option<Key>> {
        Ok(self.look_up(id)?.map(|(key, _)| key))
    }

    /// Finds a tree that no volume does without, and that stays open. Where there is none the volume is corrupt, and the log
    /// says which tree is missing: to the caller `ENOENT` would mean a file.
    pub(super) fn required(&self, id: ObjectId) -> Result<Arc<Tree>> {
        match id {
            ObjectId::ROOT_TREE => return Ok(self.root.clone()),
            ObjectId::CHUNK_TREE => return Ok(self.chunk.clone()),
            _ => (),
        }
        let found = self.get_optional(id)?.ok_or_else(|| {
            let flaw = Flaw::missing("tree has no root item");
            flaw.at(Site::Tree(id.into())).report()
        })?;
        Ok(found.to_arc())
    }

    /// Closes a tree that has no root item any more, and that nobody uses.
    pub(super) fn close(&self, id: TreeId) -> Result {
        self.get(id)?.0.is_gone.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Finds a tree that the format may do without.
    pub(super) fn get_optional(&self, id: impl Into<TreeId>) -> Result<Option<OpenTree>> {
        match self.get(id.into()) {
            Ok(tree) => Ok(Some(tree)),
            Err(error) if error == ENOENT => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The root item of `id`; of a tree that is the only one of its objectid the one with the highest offset, the newest.
    fn look_up(&self, id: TreeId) -> Result<Option<(Key, RootItem)>> {
        let highest = match id.offset {
            0 => u64::MAX,
            offset => offset,
        };
        let last = Key::new(id.objectid.get(), Kind::ROOT_ITEM, highest);
        let found = self.root.floor(&last, |key, bytes| {
            let is_of = key.objectid == id.objectid && key.kind == Kind::ROOT_ITEM;
            let is_it = is_of && (id.offset == 0 || key.offset == id.offset);
            is_it.then(|| match RootItem::parse(bytes) {
                Ok(item) => Ok((key, item)),
                Err(flaw) => Err(self.broken(&key, flaw)),
            })
        })?;
        found.flatten().transpose()
    }

    /// Bytes of the blocks of a tree by its root item; zero if there is none.
    pub(super) fn used(&self, id: ObjectId) -> Result<Bytes> {
        Ok(self
            .look_up(id.into())?
            .map_or(Bytes::ZERO, |(_, item)| item.bytes_used))
    }

    /// Writes where a tree is now into its root item. Nobody changes the tree.
    pub(super) fn write_root_item(
        &self,
        txn: &dyn Allocate,
        id: TreeId,
        touched: Touched,
    ) -> Result {
        // A subvolume may have been made without being opened.
        let open = self
            .get(id)
            .inspect_err(|_| pr_err!("tree {} changed and has no root item\n", id))?;
        let Opened {
            tree, root_item, ..
        } = &*open.0;
        let pointer = tree.root_pointer();
        let written = self.root.update(txn, root_item, |bytes| {
            let broken = |flaw| self.broken(root_item, flaw);
            write_root(bytes, pointer, touched, txn.generation(), broken)
        })?;
        if let Some(grown) = written? {
            self.root.replace(txn, root_item, &grown)?;
        }
        tree.note_root_item();
        Ok(())
    }

    #[cold]
    fn broken(&self, key: &Key, flaw: Flaw) -> Error {
        flaw.in_item(self.root.id(), key).report()
    }
}

/// Writes where a tree is now, and when its inodes were written, into its root item, in place; or gives the item that
/// replaces it, where an old kernel made it shorter.
fn write_root(
    bytes: &mut [u8],
    pointer: RootPointer,
    touched: Touched,
    generation: Generation,
    broken: impl Fn(Flaw) -> Error,
) -> Result<Option<[u8; RootItem::SIZE]>> {
    let item = RootItem::parse(bytes).map_err(&broken)?;
    let used = item.bytes_used.get().saturating_add_signed(touched.used);
    let write = |bytes: &mut [u8]| -> Result {
        RootItem::write_root(bytes, pointer, Bytes::new(used))?;
        if let Some(time) = touched.inodes {
            RootItem::write_changed(bytes, generation, time)?;
        }
        Ok(())
    };
    if bytes.len() == RootItem::SIZE {
        write(bytes)?;
        return Ok(None);
    }
    let mut grown = RootItem::grown(bytes).map_err(broken)?;
    write(&mut grown)?;
    Ok(Some(grown))
}
