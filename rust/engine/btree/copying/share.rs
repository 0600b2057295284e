// SPDX-License-Identifier: GPL-2.0
//! Blocks that several trees share, and who then references their children.
//!
//! A block's children (a node's blocks, the data extents of a leaf) are referenced once for every block that points
//! at them. Those of an ordinary block are held by the tree that the block belongs to; those of a block with the
//! full-backref flag by the block's address. A tree that copies a shared block leaves the old one to the others:
//!
//! | the old block          | references of its children                                                     |
//! |------------------------|--------------------------------------------------------------------------------|
//! | only ours, plain       | the copy takes them over: nothing to do                                         |
//! | only ours, full        | each: add one of the tree, drop the one of the block                            |
//! | shared, owned, plain   | the copy takes them over; each: add one of the block, and flag it               |
//! | shared, else           | each: add one of the tree                                                       |
//!
//! C has this in `update_ref_for_cow`.

use crate::btree::blocks::lock::Writing;
use crate::btree::bugs::NO_CHILD;
use crate::btree::tree::Tree;
use crate::btree::{Allocate, BlockRefs, DataRef, Holder};
use crate::disk::{
    Bug, FileExtent, FileOffset, Flaw, Header, Kind, Leaf, Node, ObjectId, Site, TreeId,
};
use latch::prelude::*;

/// A block was looked at whose bytes are fewer than its header.
pub(in crate::btree) const NO_HEADER: Bug = Bug::new("block is shorter than its header");

/// A change of one reference.
#[derive(Clone, Copy)]
enum Change {
    Share,
    Release,
}

impl Tree {
    /// Drops this tree's reference to a locked block, of which it has made a copy or whose contents it has taken
    /// over. After an error nothing has changed, or the transaction is poisoned.
    pub(in crate::btree) fn retire(&self, txn: &dyn Allocate, old: &Writing) -> Result {
        let header = Header::new(old.bytes()).ok_or(NO_HEADER)?;
        let refs = self.block_refs(txn, old, &header)?;
        let passed = self.pass_on(txn, old, &header, refs)?;
        if let Err(error) = self.release(txn, old, &header) {
            if passed == Passed::Some {
                txn.poison(error);
            }
            return Err(error);
        }
        if refs.count == 1 && header.generation == txn.generation() && !header.is_written() {
            self.store().forget(old.latched());
        }
        Ok(())
    }

    /// Drops the tree's reference to a block without children.
    pub(in crate::btree) fn discard(&self, txn: &dyn Allocate, old: &Writing) -> Result {
        let header = Header::new(old.bytes()).ok_or(NO_HEADER)?;
        self.release(txn, old, &header)?;
        if header.generation == txn.generation() && !header.is_written() {
            self.store().forget(old.latched());
        }
        Ok(())
    }

    fn release(&self, txn: &dyn Allocate, old: &Writing, header: &Header) -> Result {
        let addr = old.latched().meta().addr;
        let holder = Holder::Tree(self.owner());
        txn.release_block(addr, header.level, self.id(), holder)
    }

    fn block_refs(&self, txn: &dyn Allocate, old: &Writing, header: &Header) -> Result<BlockRefs> {
        let addr = old.latched().meta().addr;
        if !self.may_be_shared(old.latched(), header) {
            return Ok(BlockRefs {
                count: 1,
                full_backref: false,
            });
        }
        let refs = txn.block_refs(addr, header.level)?;
        if refs.count == 0 {
            return Err(Flaw::missing("block of a tree has no references")
                .at(Site::Extent(addr))
                .report());
        }
        if header.owner == ObjectId::TREE_RELOC && !refs.full_backref {
            return Err(
                Flaw::missing("block of a relocation tree does not hold its children")
                    .at(Site::Extent(addr))
                    .report(),
            );
        }
        Ok(refs)
    }

    /// Changes the children's references as the table above has it.
    fn pass_on(
        &self,
        txn: &dyn Allocate,
        old: &Writing,
        header: &Header,
        refs: BlockRefs,
    ) -> Result<Passed> {
        let addr = old.latched().meta().addr;
        let (tree, block) = (Holder::Tree(self.owner()), Holder::Parent(addr));
        let mut changes = Changes {
            tree: self.id(),
            txn,
            header: *header,
            done: Passed::None,
        };
        let bytes = old.bytes();
        let result = match (refs.count > 1, refs.full_backref) {
            (false, false) => Ok(()),
            (false, true) => changes
                .all(bytes, Change::Share, tree)
                .and_then(|()| changes.all(bytes, Change::Release, block)),
            (true, false) if header.owner == self.owner() => changes
                .all(bytes, Change::Share, block)
                .and_then(|()| txn.set_full_backref(addr, header.level))
                .inspect(|()| changes.done = Passed::Some),
            (true, _) => changes.all(bytes, Change::Share, tree),
        };
        match result {
            Ok(()) => Ok(changes.done),
            Err(error) => {
                if changes.done == Passed::Some {
                    txn.poison(error);
                }
                Err(error)
            }
        }
    }

    /// Adds references of `holder` to the children of a block that is a copy.
    pub(super) fn share_children(
        &self,
        txn: &dyn Allocate,
        bytes: &[u8],
        holder: Holder,
    ) -> Result {
        let header = Header::new(bytes).ok_or(NO_HEADER)?;
        let tree = match holder {
            Holder::Tree(id) => id.into(),
            Holder::Parent(_) => self.id(),
        };
        let mut changes = Changes {
            tree,
            txn,
            header,
            done: Passed::None,
        };
        changes
            .all(bytes, Change::Share, holder)
            .inspect_err(|&error| {
                if changes.done == Passed::Some {
                    txn.poison(error);
                }
            })
    }
}

/// Whether references of children have been changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Passed {
    None,
    Some,
}

/// Changes of the references of one block's children.
struct Changes<'a> {
    tree: TreeId,
    txn: &'a dyn Allocate,
    header: Header,
    done: Passed,
}

impl Changes<'_> {
    fn all(&mut self, bytes: &[u8], change: Change, holder: Holder) -> Result {
        match self.header.level.checked_sub(1) {
            Some(below) => self.blocks(bytes, below, change, holder),
            None => self.extents(bytes, change, holder),
        }
    }

    fn blocks(&mut self, bytes: &[u8], level: u8, change: Change, holder: Holder) -> Result {
        let node = Node::new(bytes);
        for slot in 0..node.nritems() {
            let child = node.child(slot).ok_or(NO_CHILD)?;
            match change {
                Change::Share => self.txn.share_block(child.addr, level, holder)?,
                Change::Release => {
                    self.txn
                        .release_block(child.addr, level, self.tree, holder)?;
                }
            }
            self.done = Passed::Some;
        }
        Ok(())
    }

    fn extents(&mut self, bytes: &[u8], change: Change, holder: Holder) -> Result {
        let root = self.tree.objectid;
        if !root.is_subvolume() {
            return Ok(());
        }
        let leaf = Leaf::new(bytes);
        for slot in 0..leaf.nritems() {
            let Some(data) = data_ref(&leaf, slot, root, holder)? else {
                continue;
            };
            match change {
                Change::Share => self.txn.share_data(&data)?,
                Change::Release => self.txn.release_data(&data)?,
            }
            self.done = Passed::Some;
        }
        Ok(())
    }
}

/// The reference that the item in `slot` makes to a data extent, if it makes one.
fn data_ref(
    leaf: &Leaf<'_>,
    slot: usize,
    root: ObjectId,
    holder: Holder,
) -> Result<Option<DataRef>> {
    let Some((key, bytes)) = leaf.item(slot) else {
        return Ok(None);
    };
    if key.kind != Kind::EXTENT_DATA {
        return Ok(None);
    }
    let extent = match FileExtent::parse(bytes) {
        Ok(FileExtent::Regular(extent)) if !extent.is_hole() => extent,
        Ok(_) => return Ok(None),
        Err(flaw) => return Err(flaw.in_item(root, &key).report()),
    };
    Ok(Some(DataRef {
        addr: extent.disk_addr,
        len: extent.disk_len,
        holder,
        root,
        inode: key.objectid,
        offset: extent.extent_start(FileOffset::new(key.offset)),
    }))
}
