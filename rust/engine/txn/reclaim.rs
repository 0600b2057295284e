// SPDX-License-Identifier: GPL-2.0
//! Emptying block groups whose zones hold little that is in use.
//!
//! Every commit writes its blocks behind the last one and leaves the ones they replace dead. A zone can be written
//! again when all of it is dead, which a single old block prevents. So old blocks are rewritten: copy on write puts
//! them elsewhere, and no reference needs to be known but the one of the tree they are in.

use super::reserve;
use super::shared::Shared;
use super::{Handle, Units};
use crate::btree::{way_to, Expected, Tree};
use crate::disk::{ExtentFlags, ExtentItem, Generation, Key, Kind, Logical, ObjectId};
use crate::space::{Need, Sparse, Urgency};
use core::ops::ControlFlow;
use core::sync::atomic::Ordering;
use kernel::sync::Arc;
use latch::prelude::*;

/// Blocks that one handle rewrites.
const BATCH: usize = 8;
const BATCH_UNITS: Units = Units::updates(BATCH as u32);

/// A tree block as the extent tree has it.
struct InUse {
    addr: Logical,
    level: u8,
    generation: Generation,
}

/// Rewrites the blocks of one group that is worth it; whether there was one. Its zones are free after the next commit,
/// unless a snapshot has some of the blocks, too. No handle may be held.
pub(super) fn reclaim(shared: &Arc<Shared>, need: Need) -> Result<bool> {
    let Some(sparse) = shared.space.next_sparse(need) else {
        return Ok(false);
    };
    // So that the extent tree has all blocks of the group.
    reserve::run_refs(shared)?;
    match rewrite_all(shared, &sparse) {
        Ok(()) => {
            reserve::run_refs(shared)?;
            sparse.rewritten();
            shared.groups_emptied.fetch_add(1, Ordering::Relaxed);
            Ok(true)
        }
        // Others need the space more.
        Err(error) if error == ENOSPC || error == ENOMEM => Ok(false),
        Err(error) => {
            let errno = error.to_errno();
            pr_warn!(
                "block group {}: cannot be emptied ({})\n",
                sparse.start(),
                errno
            );
            sparse.give_up();
            shared.check_writable().map(|()| false)
        }
    }
}

fn rewrite_all(shared: &Arc<Shared>, sparse: &Sparse) -> Result {
    let extents = shared.registry.get(ObjectId::EXTENT_TREE)?;
    let mut from = sparse.start();
    loop {
        // What is found can be read as long as the handle lives: before that ends no zone is reset.
        // In one handle: before it ends the group's zones are not reset, and what was found can be read.
        let last = reserve::with_handle(shared, BATCH_UNITS, Urgency::Freeing, |handle| {
            let blocks = in_use(&extents, from, sparse.end())?;
            for block in blocks.iter() {
                rewrite(shared, handle, block)?;
            }
            Ok(blocks.last().map(|block| block.addr))
        })?;
        match last {
            Some(last) => from = last.saturating_add(1),
            None => return Ok(()),
        }
    }
}

/// The first blocks in use from `from` to `end`.
fn in_use(extents: &Tree, from: Logical, end: Logical) -> Result<KVec<InUse>> {
    let mut blocks = KVec::with_capacity(BATCH, GFP_KERNEL)?;
    let first = Key::new(from.get(), Kind::new(0), 0);
    let last = Key::new(end.get().saturating_sub(1), Kind::new(u8::MAX), u64::MAX);
    extents.scan(first..=last, |key, bytes| {
        if matches!(key.kind, Kind::EXTENT_ITEM | Kind::METADATA_ITEM) {
            blocks.push(InUse::parse(&key, bytes)?, GFP_KERNEL)?;
        }
        Ok(match blocks.len() < BATCH {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        })
    })?;
    Ok(blocks)
}

impl InUse {
    fn parse(key: &Key, bytes: &[u8]) -> Result<Self> {
        let item = ExtentItem::parse(key.kind, bytes).map_err(|_| EUCLEAN)?;
        if !item.flags.contains(ExtentFlags::TREE_BLOCK) {
            return Err(EUCLEAN);
        }
        let level = match item.block_info {
            Some((_, level)) => level,
            None => u8::try_from(key.offset).map_err(|_| EUCLEAN)?,
        };
        Ok(Self {
            addr: Logical::new(key.objectid.get()),
            level,
            generation: item.generation,
        })
    }
}

fn rewrite(shared: &Shared, handle: &Handle, block: &InUse) -> Result {
    let expected = Expected {
        owner: None,
        level: block.level,
        generation: block.generation,
        first_key: None,
    };
    let (owner, key) = way_to(&*shared.store, block.addr, &expected)?;
    match shared.registry.get(owner) {
        Ok(tree) => tree.rewrite(handle, &key),
        // Of a subvolume that was deleted, and kept by a snapshot of it.
        Err(error) if error == ENOENT => Ok(()),
        Err(error) => Err(error),
    }
}
