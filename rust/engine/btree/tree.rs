// SPDX-License-Identifier: GPL-2.0
//! A tree: its root pointer.

use super::blocks::lock;
use super::{BlockRef, Expected, Store};
use crate::disk::{Generation, ObjectId, RootPointer, TreeId};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Latched, Rank, RwLock, TreeKind};

/// One tree. Shared by all who use it; every call latches the blocks that it needs and no more.
pub struct Tree {
    store: Arc<dyn Store>,
    id: TreeId,
    kind: TreeKind,
    // Set by who holds the latch of the root block.
    root: RwLock<Root>,
    // The root has moved since the root item was written. The latter while nobody changes the tree.
    ahead: AtomicBool,
    // A `Generation`. Set while nobody changes the tree.
    last_snapshot: AtomicU64,
}

struct Root {
    block: BlockRef,
    pointer: RootPointer,
}

impl Tree {
    /// The tree `id` whose root block is at `root`. `last_snapshot` is from the root item, zero for trees that are
    /// never shared: blocks not younger may be referenced by other trees. Reads the root block.
    pub fn open(
        store: Arc<dyn Store>,
        id: impl Into<TreeId>,
        root: RootPointer,
        last_snapshot: Generation,
    ) -> Result<Arc<Self>> {
        let id = id.into();
        let expected = Expected {
            owner: Some(id.objectid),
            level: root.level,
            generation: root.generation,
            first_key: None,
        };
        let block = store.read(root.addr, &expected)?;
        block
            .meta()
            .expect(root.addr, root.level, root.generation)?;
        Self::with_root(store, id, block, last_snapshot)
    }

    /// The tree `id` that starts at `block`.
    pub(super) fn with_root(
        store: Arc<dyn Store>,
        id: TreeId,
        block: BlockRef,
        last_snapshot: Generation,
    ) -> Result<Arc<Self>> {
        let root = RwLock::new(Root::at(block), Rank::TreeRoot)?;
        let tree = Self {
            store,
            id,
            kind: lock::kind(id.objectid),
            root,
            ahead: AtomicBool::new(false),
            last_snapshot: AtomicU64::new(last_snapshot.get()),
        };
        Ok(Arc::new(tree, GFP_NOFAIL)?)
    }

    /// The tree's identity.
    pub fn id(&self) -> TreeId {
        self.id
    }

    /// What its blocks and the references that it holds name it by.
    pub fn owner(&self) -> ObjectId {
        self.id.objectid
    }

    /// Where the tree starts now. Stable only while nothing changes the tree: in a commit.
    pub fn root_pointer(&self) -> RootPointer {
        self.root.read().pointer
    }

    /// Whether the tree starts elsewhere than its root item says, which a commit brings up to date: until then nobody finds
    /// it by that item.
    pub fn is_ahead(&self) -> bool {
        self.ahead.load(Ordering::Acquire)
    }

    /// Tells that the root item says where the tree starts now. The caller sees to it that nobody changes the tree.
    pub fn note_root_item(&self) {
        self.ahead.store(false, Ordering::Release);
    }

    /// The cache that the tree's blocks are in.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The generation of the tree's last snapshot: blocks not younger may be shared.
    pub fn last_snapshot(&self) -> Generation {
        Generation::new(self.last_snapshot.load(Ordering::Acquire))
    }

    pub(super) fn set_last_snapshot(&self, generation: Generation) {
        self.last_snapshot
            .store(generation.get(), Ordering::Release);
    }

    /// The lock class of the tree's blocks.
    pub(super) fn kind(&self) -> TreeKind {
        self.kind
    }

    /// The root block and its level, now.
    pub(super) fn root(&self) -> (BlockRef, u8) {
        let root = self.root.read();
        (root.block.clone(), root.pointer.level)
    }

    /// Whether `block` is the root. Stays so while the caller has it locked.
    pub(super) fn is_root(&self, block: &BlockRef) -> bool {
        Latched::is_same(&self.root.read().block, block)
    }

    /// Makes `block` the root. The caller has it and the old root locked for writing.
    pub(super) fn set_root(&self, block: &BlockRef) {
        self.ahead.store(true, Ordering::Release);
        *self.root.write() = Root::at(block.clone());
    }
}

impl Root {
    fn at(block: BlockRef) -> Self {
        let info = *block.meta();
        let pointer = RootPointer {
            addr: info.addr,
            level: info.level,
            generation: info.generation,
        };
        Self { block, pointer }
    }
}
