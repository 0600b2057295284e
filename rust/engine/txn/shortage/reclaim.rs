// SPDX-License-Identifier: GPL-2.0
//! Emptying block groups whose zones hold little that is in use.
//!
//! Every commit writes its blocks behind the last one and leaves the ones they replace dead. A zone can be written
//! again when all of it is dead, which a single old block prevents. So old blocks are rewritten: copy on write puts
//! them elsewhere, and no reference needs to be known but the one of the tree they are in.

use crate::btree::{Standing, Tree};
use crate::disk::{
    Bytes, ExtentFlags, ExtentItem, Flaw, Generation, InlineRef, Key, Kind, Logical, ObjectId,
    HIGHEST_LEVEL,
};
use crate::space::{Reclaim, Remains, Sparse, Urgency};
use crate::txn::handles::core::Core;
use crate::txn::handles::handle::{enter_now, run_refs};
use crate::txn::{Handle, Units};
use core::ops::{ControlFlow, Range};
use core::sync::atomic::Ordering;
use kernel::sync::Arc;
use latch::prelude::*;

/// Blocks that one handle rewrites, where there is space for so many.
const BATCH: u32 = 8;

/// A tree block as the extent tree has it.
struct InUse {
    addr: Logical,
    level: u8,
    generation: Generation,
    /// The only tree that has it; `None` if there are more.
    tree: Option<ObjectId>,
}

/// Rewrites the blocks of a group that is worth it. Blocks that a snapshot has, too, stay: when zones are needed now, the
/// next group is tried. No handle may be held.
pub(in crate::txn) fn reclaim(shared: &Arc<Core>, when: Reclaim) -> Result<Outcome> {
    let mut outcome = Outcome::Stays;
    if when == Reclaim::Now {
        // What is set aside for references comes back, and what they free is known: so more groups are worth it.
        run_refs(shared)?;
    }
    while let Some(sparse) = shared.space.next_sparse(when) {
        outcome = empty(shared, sparse)?;
        if outcome != Outcome::Stays || when != Reclaim::Now {
            break;
        }
    }
    Ok(outcome)
}

/// Rewrites the blocks of a group of the chunk tree that is worth it, before a chunk is made: each leaf that fills up keeps its
/// group, and the superblock has room for few. No handle may be held.
pub(in crate::txn) fn reclaim_chunk_tree(shared: &Arc<Core>) -> Result {
    if let Some(sparse) = shared.space.next_sparse_system() {
        empty(shared, sparse)?;
    }
    Ok(())
}

/// What became of the last group that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::txn) enum Outcome {
    /// Nothing is in use: its zones are free after the next commit.
    Emptied,
    /// Something is, and cannot be moved, or no group was worth it. The group is not chosen again as it is.
    Stays,
    /// Others need the space more.
    NoSpace,
}

fn empty(shared: &Arc<Core>, sparse: Sparse) -> Result<Outcome> {
    // So that the extent tree has all blocks of the group.
    run_refs(shared)?;
    match rewrite_all(shared, &sparse) {
        Ok(()) => {
            run_refs(shared)?;
            Ok(outcome(shared, sparse))
        }
        Err(error) if error == ENOSPC => Ok(Outcome::NoSpace),
        Err(error) => {
            shared.check_sending()?;
            pr_warn!(
                "block group {}: cannot be emptied ({})\n",
                sparse.start(),
                error.to_errno()
            );
            Ok(outcome(shared, sparse))
        }
    }
}

fn outcome(shared: &Core, sparse: Sparse) -> Outcome {
    match sparse.tried() {
        Remains::Nothing => {
            shared.groups_emptied.fetch_add(1, Ordering::Relaxed);
            Outcome::Emptied
        }
        Remains::Some => Outcome::Stays,
    }
}

/// Rewrites nothing if a block must stay: the others' copies would take space, and no zone would be free.
fn rewrite_all(shared: &Arc<Core>, sparse: &Sparse) -> Result {
    let all_may_move = each_block(shared, sparse, |handle, block| {
        Ok(match may_move(shared, handle, block)? {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        })
    })?;
    if all_may_move.is_break() {
        return Ok(());
    }
    shared.space.close_sparse(sparse)?;
    let rewritten = each_block(shared, sparse, |handle, block| {
        rewrite(shared, handle, block).map(ControlFlow::Continue)
    });
    rewritten.map(|_| ())
}

/// Gives the blocks in use to `each` until it breaks.
fn each_block(
    shared: &Arc<Core>,
    sparse: &Sparse,
    each: impl Fn(&Handle, &InUse) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let extents = shared.trees.required(ObjectId::EXTENT_TREE)?;
    let mut from = Some(sparse.start());
    while let Some(start) = from.filter(|_| sparse.is_as_found()) {
        // In one handle: before it ends the group's zones are not reset, and what was found can be read.
        let (handle, most) = start_rewrite(shared)?;
        let blocks = in_use(&extents, start..sparse.end(), most as usize)?;
        for block in blocks.iter() {
            if each(&handle, block)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        from = blocks
            .last()
            .map(|last| last.addr.saturating_add(Bytes::new(1)));
    }
    Ok(ControlFlow::Continue(()))
}

/// A handle that may rewrite so many blocks: fewer where little is left, for what it does gives space. `ENOSPC` if not one.
fn start_rewrite(shared: &Arc<Core>) -> Result<(Handle, u32)> {
    let ask = |most| {
        enter_now(shared, Units::updates(most), Urgency::Freeing).map(|handle| (handle, most))
    };
    match ask(BATCH) {
        // What was set aside for the references of the blocks before comes back.
        Err(error) if error == ENOSPC => run_refs(shared)?,
        entered => return entered,
    }
    match ask(BATCH / 4) {
        Err(error) if error == ENOSPC => ask(1),
        entered => entered,
    }
}

/// The first blocks in use of a range, `most` of them.
fn in_use(extents: &Tree, range: Range<Logical>, most: usize) -> Result<KVec<InUse>> {
    let mut blocks = KVec::with_capacity(most, GFP_NOFAIL)?;
    extents.scan(Key::at_addresses(range), |key, bytes| {
        if matches!(key.kind, Kind::EXTENT_ITEM | Kind::METADATA_ITEM) {
            blocks.push(InUse::parse(&key, bytes)?, GFP_NOFAIL)?;
        }
        Ok(match blocks.len() < most {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        })
    })?;
    Ok(blocks)
}

impl InUse {
    fn parse(key: &Key, bytes: &[u8]) -> Result<Self> {
        let broken = |flaw: Flaw| flaw.in_item(ObjectId::EXTENT_TREE, key).report();
        let item = ExtentItem::parse(key.kind, bytes).map_err(broken)?;
        if !item.flags.contains(ExtentFlags::TREE_BLOCK) {
            let what = "extent in a group of metadata is no tree block";
            return Err(broken(Flaw::new(what, item.flags.get(), 2)));
        }
        let level = match item.block_info {
            Some((_, level)) => level,
            None => u8::try_from(key.offset).map_err(|_| {
                broken(Flaw::new(
                    "block's level is too high",
                    key.offset,
                    HIGHEST_LEVEL.into(),
                ))
            })?,
        };
        Ok(Self {
            addr: Logical::new(key.objectid.get()),
            level,
            generation: item.generation,
            tree: holder(&item).map_err(broken)?,
        })
    }
}

/// The only tree that has a block; `None` if there are more, or it is not known as a tree's.
fn holder(item: &ExtentItem<'_>) -> Result<Option<ObjectId>, Flaw> {
    if item.refs > 1 || item.flags.contains(ExtentFlags::FULL_BACKREF) {
        return Ok(None);
    }
    let mut refs = item.inline_refs;
    Ok(match refs.next().transpose()? {
        Some(InlineRef::TreeBlock(tree)) => Some(tree),
        _ => None,
    })
}

/// Whether the block leaves its address when its tree is rewritten, or has left it, freed in this transaction.
fn may_move(shared: &Core, handle: &Handle, block: &InUse) -> Result<bool> {
    let standing = in_tree(shared, block, |tree| {
        stand(tree, handle, block).map(|(_, standing)| standing)
    })?;
    Ok(!matches!(standing, None | Some(Standing::Shared)))
}

fn rewrite(shared: &Core, handle: &Handle, block: &InUse) -> Result {
    let rewritten = in_tree(shared, block, |tree| match stand(tree, handle, block)? {
        (key, Standing::Alone) => tree.rewrite(handle, &key),
        _ => Ok(()),
    });
    rewritten.map(|_| ())
}

/// Does `work` with the tree that has a block; `None` if the tree is not alone, or half deleted.
fn in_tree<R>(
    shared: &Core,
    block: &InUse,
    work: impl FnOnce(&Tree) -> Result<R>,
) -> Result<Option<R>> {
    match block.tree {
        None => Ok(None),
        // These have no root items.
        Some(ObjectId::ROOT_TREE) => work(shared.trees.root()).map(Some),
        Some(ObjectId::CHUNK_TREE) => work(shared.trees.chunk()).map(Some),
        Some(id) => {
            let tree = shared.trees.get_optional(id)?;
            tree.map(|tree| work(&tree)).transpose()
        }
    }
}

/// How a block stands in a tree, and a key on its way.
fn stand(tree: &Tree, handle: &Handle, block: &InUse) -> Result<(Key, Standing)> {
    let key = tree.way_to(block.addr, block.level, block.generation)?;
    let standing = tree.standing(handle, &key, block.addr)?;
    Ok((key, standing))
}
