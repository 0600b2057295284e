// SPDX-License-Identifier: GPL-2.0
//! The open trees and their root items.

use super::transaction::Touched;
use crate::btree::{Allocate, Store, Tree};
use crate::disk::{Bug, Flaw, Key, Kind, ObjectId, Place, RootItem, RootPointer, TreeId};
use crate::map::OrdMap;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// All trees that somebody asked for. They stay open.
pub(super) struct OpenTrees {
    store: Arc<dyn Store>,
    root: Arc<Tree>,
    chunk: Arc<Tree>,
    open: Mutex<OrdMap<TreeId, Opened>>,
}

/// A tree and where its root item is.
#[derive(Clone)]
struct Opened {
    tree: Arc<Tree>,
    root_item: Key,
}

impl OpenTrees {
    /// With the two trees that the superblock leads to.
    pub(super) fn new(store: Arc<dyn Store>, root: Arc<Tree>, chunk: Arc<Tree>) -> Result<Self> {
        let open = Mutex::new(OrdMap::new(), Rank::OpenTrees)?;
        Ok(Self {
            store,
            root,
            chunk,
            open,
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

    /// The tree `id`. `ENOENT` if there is none or it is half deleted.
    pub(super) fn get(&self, id: TreeId) -> Result<Arc<Tree>> {
        match id.objectid {
            ObjectId::ROOT_TREE => return Ok(self.root.clone()),
            ObjectId::CHUNK_TREE => return Ok(self.chunk.clone()),
            _ => (),
        }
        if let Some(opened) = self.open.lock().get(&id) {
            return Ok(opened.tree.clone());
        }
        let (root_item, item) = self.look_up(id)?.ok_or(ENOENT)?;
        if item.refs == 0 {
            return Err(ENOENT);
        }
        let tree = Tree::open(self.store.clone(), id, item.pointer(), item.last_snapshot)?;
        self.keep(id, Opened { tree, root_item })
    }

    /// Finds a tree that no volume does without. Where there is none the volume is corrupt, and the log says which tree is
    /// missing: to the caller `ENOENT` would mean a file.
    pub(super) fn required(&self, id: ObjectId) -> Result<Arc<Tree>> {
        self.get_optional(id)?.ok_or_else(|| {
            let flaw = Flaw::missing("tree has no root item");
            flaw.at(Place::Tree(id.into())).report()
        })
    }

    /// Finds a tree that the format may do without.
    pub(super) fn get_optional(&self, id: impl Into<TreeId>) -> Result<Option<Arc<Tree>>> {
        match self.get(id.into()) {
            Ok(tree) => Ok(Some(tree)),
            Err(error) if error == ENOENT => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Enters a tree that was created now.
    pub(super) fn add(&self, tree: Arc<Tree>, root_item: Key) -> Result {
        let id = tree.id();
        self.keep(id, Opened { tree, root_item }).map(|_| ())
    }

    /// Several tasks may have opened the tree: the first one's is kept.
    fn keep(&self, id: TreeId, opened: Opened) -> Result<Arc<Tree>> {
        let mut open = self.open.lock();
        if let Some(first) = open.get(&id) {
            return Ok(first.tree.clone());
        }
        let tree = opened.tree.clone();
        open.insert(id, opened)?;
        Ok(tree)
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
    pub(super) fn used(&self, id: ObjectId) -> Result<u64> {
        Ok(self
            .look_up(id.into())?
            .map_or(0, |(_, item)| item.bytes_used))
    }

    /// Writes where a tree is now into its root item.
    pub(super) fn write_root_item(
        &self,
        txn: &dyn Allocate,
        id: TreeId,
        touched: Touched,
    ) -> Result {
        // A snapshot was made without being opened.
        self.get(id)
            .inspect_err(|_| pr_err!("tree {} changed and has no root item\n", id))?;
        let found = self.open.lock().get(&id).cloned();
        let Opened { tree, root_item } = found.ok_or(NOT_OPEN)?;
        let pointer = tree.root_pointer();
        let written = self.root.update(txn, &root_item, |bytes| {
            write_root(bytes, pointer, touched.used, |flaw| {
                self.broken(&root_item, flaw)
            })
        })?;
        match written? {
            None => Ok(()),
            Some(grown) => self.root.replace(txn, &root_item, &grown),
        }
    }

    #[cold]
    fn broken(&self, key: &Key, flaw: Flaw) -> Error {
        flaw.in_item(self.root.id(), key).report()
    }
}

const NOT_OPEN: Bug = Bug::new("a tree that changed is not open");

/// Writes where a tree is now into its root item, in place; or gives the item that replaces it, where an old kernel
/// made it shorter.
fn write_root(
    bytes: &mut [u8],
    pointer: RootPointer,
    used: i64,
    broken: impl Fn(Flaw) -> Error,
) -> Result<Option<[u8; RootItem::SIZE]>> {
    let item = RootItem::parse(bytes).map_err(&broken)?;
    let used = item.bytes_used.saturating_add_signed(used);
    if bytes.len() == RootItem::SIZE {
        RootItem::write_root(bytes, pointer, used)?;
        return Ok(None);
    }
    let mut grown = RootItem::grown(bytes).map_err(broken)?;
    RootItem::write_root(&mut grown, pointer, used)?;
    Ok(Some(grown))
}
