// SPDX-License-Identifier: GPL-2.0
//! The open trees and their root items.

use super::refs::Context;
use super::transaction::Touched;
use crate::btree::{RootPointer, Store, Tree};
use crate::disk::raw::{RawRootItem, OLD_ROOT_ITEM_SIZE};
use crate::disk::{Generation, Key, Kind, Logical, ObjectId};
use crate::map::OrdMap;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};
use zerocopy::{FromBytes, IntoBytes};

/// All trees that somebody asked for. They stay open.
pub(super) struct Registry {
    store: Arc<dyn Store>,
    root: Arc<Tree>,
    chunk: Arc<Tree>,
    open: Mutex<OrdMap<ObjectId, Opened>>,
}

/// A tree and where its root item is.
#[derive(Clone)]
struct Opened {
    tree: Arc<Tree>,
    root_item: Key,
}

/// What a root item says of where a tree is.
struct Rooted {
    key: Key,
    pointer: RootPointer,
    last_snapshot: Generation,
    used: u64,
    refs: u32,
}

impl Registry {
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
    pub(super) fn get(&self, id: ObjectId) -> Result<Arc<Tree>> {
        match id {
            ObjectId::ROOT_TREE => return Ok(self.root.clone()),
            ObjectId::CHUNK_TREE => return Ok(self.chunk.clone()),
            _ => (),
        }
        if let Some(opened) = self.open.lock().get(&id) {
            return Ok(opened.tree.clone());
        }
        let rooted = self.look_up(id)?.ok_or(ENOENT)?;
        if rooted.refs == 0 {
            return Err(ENOENT);
        }
        let tree = Tree::open(self.store.clone(), id, rooted.pointer, rooted.last_snapshot)?;
        self.keep(
            id,
            Opened {
                tree,
                root_item: rooted.key,
            },
        )
    }

    /// As [`Self::get`], where the format may do without the tree.
    pub(super) fn get_optional(&self, id: ObjectId) -> Result<Option<Arc<Tree>>> {
        match self.get(id) {
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
    fn keep(&self, id: ObjectId, opened: Opened) -> Result<Arc<Tree>> {
        let mut open = self.open.lock();
        if let Some(first) = open.get(&id) {
            return Ok(first.tree.clone());
        }
        let tree = opened.tree.clone();
        open.insert(id, opened)?;
        Ok(tree)
    }

    /// The root item of `id` with the highest offset: the newest.
    fn look_up(&self, id: ObjectId) -> Result<Option<Rooted>> {
        let last = Key {
            objectid: id,
            kind: Kind::ROOT_ITEM,
            offset: u64::MAX,
        };
        let found = self.root.floor(&last, |key, bytes| {
            let is_it = key.objectid == id && key.kind == Kind::ROOT_ITEM;
            is_it.then(|| parse(key, bytes))
        })?;
        found.flatten().transpose()
    }

    /// Bytes of the blocks of a tree by its root item; zero if there is none.
    pub(super) fn used(&self, id: ObjectId) -> Result<u64> {
        Ok(self.look_up(id)?.map_or(0, |rooted| rooted.used))
    }

    /// Writes where a tree is now into its root item.
    pub(super) fn write_root_item(
        &self,
        context: &Context<'_>,
        id: ObjectId,
        touched: Touched,
    ) -> Result {
        // A snapshot was made without being opened.
        self.get(id)
            .inspect_err(|_| pr_err!("tree {} changed and has no root item\n", id))?;
        let found = self.open.lock().get(&id).cloned();
        let opened = found.ok_or(EUCLEAN)?;
        let pointer = opened.tree.root_pointer();
        let written = self.root.update(context, &opened.root_item, |bytes| {
            let Ok((item, _)) = RawRootItem::mut_from_prefix(bytes) else {
                return grown(bytes).map(Some);
            };
            fill(item, pointer, touched.used);
            Ok(None)
        })??;
        match written {
            None => Ok(()),
            Some(mut item) => {
                fill(&mut item, pointer, touched.used);
                self.root
                    .replace(context, &opened.root_item, item.as_bytes())
            }
        }
    }
}

/// A root item of the old size as one of today's. What old ones lack is zero.
fn grown(old: &[u8]) -> Result<RawRootItem> {
    let mut item: RawRootItem = zerocopy::FromZeros::new_zeroed();
    let front = old.get(..OLD_ROOT_ITEM_SIZE).ok_or(EUCLEAN)?;
    item.as_mut_bytes()
        .get_mut(..OLD_ROOT_ITEM_SIZE)
        .ok_or(EUCLEAN)?
        .copy_from_slice(front);
    Ok(item)
}

fn parse(key: Key, bytes: &[u8]) -> Result<Rooted> {
    // The members read here are in old items too.
    let item = grown(bytes)?;
    Ok(Rooted {
        key,
        pointer: RootPointer {
            addr: Logical::new(item.addr.get()),
            level: item.level,
            generation: Generation::new(item.generation.get()),
        },
        last_snapshot: Generation::new(item.last_snapshot.get()),
        used: item.bytes_used.get(),
        refs: item.refs.get(),
    })
}

fn fill(item: &mut RawRootItem, pointer: RootPointer, used: i64) {
    item.addr.set(pointer.addr.get());
    item.level = pointer.level;
    item.generation.set(pointer.generation.get());
    item.generation_v2.set(pointer.generation.get());
    item.bytes_used
        .set(item.bytes_used.get().saturating_add_signed(used));
}
