// SPDX-License-Identifier: GPL-2.0
//! Changing the bytes of tree blocks.
//!
//! All calls check first and change then: after an error nothing has moved. The blocks passed the gate, so what makes a
//! call fail is a [`Bug`] of the caller, or broken memory.
//!
//! | file   | what it has                                            |
//! |--------|--------------------------------------------------------|
//! | `leaf` | inserting, removing, resizing and moving a leaf's items |
//! | `node` | the same for a node's pointers                          |
//!
//! What both have in common, the header and whole contents, is here.

pub mod leaf;
pub mod node;

use super::raw::{RawHeader, HEADER_BACKREF_REVISION};
use super::{Bug, Header, Leaf, Node, ObjectId};
use core::mem::size_of_val;
use core::ops::Range;

const TOO_SHORT: Bug = Bug::new("block is shorter than its header");
const OUT_OF_AREA: Bug = Bug::new("bytes would move out of their block");
const OTHER_SIZE: Bug = Bug::new("block and its copy differ in size");
const TOO_MANY: Bug = Bug::new("block has more items than can be counted");

/// How many items or pointers the header says there are.
pub fn count(block: &[u8]) -> usize {
    RawHeader::split(block).map_or(0, |(header, _)| {
        usize::try_from(header.nritems.get()).unwrap_or(0)
    })
}

/// Makes `block` an empty one with this header. The header's flags are those of a block that was never written.
pub fn start(block: &mut [u8], header: &Header) -> Result<(), Bug> {
    *header_mut(block)? = RawHeader {
        checksum: [0; 32],
        fsid: header.fsid,
        addr: header.addr.get().into(),
        flags: HEADER_BACKREF_REVISION.into(),
        chunk_tree_uuid: header.chunk_tree_uuid,
        generation: header.generation.get().into(),
        owner: header.owner.get().into(),
        nritems: 0.into(),
        level: header.level,
    };
    Ok(())
}

/// Makes `block` an empty leaf of the tree `owner`, whatever it was.
pub fn abandon(block: &mut [u8], owner: ObjectId) -> Result<(), Bug> {
    let header = header_mut(block)?;
    header.level = 0;
    header.nritems.set(0);
    header.owner.set(owner.get());
    Ok(())
}

/// Copies all but the header, and how many items there are.
pub fn copy_contents(from: &[u8], to: &mut [u8]) -> Result<(), Bug> {
    let header = *header_mut(to)?;
    if from.len() != to.len() {
        return Err(OTHER_SIZE);
    }
    leaf::fill(to, from);
    let count = header_mut(to)?.nritems;
    *header_mut(to)? = header;
    header_mut(to)?.nritems = count;
    Ok(())
}

/// Fills with zeros what neither items nor their data take: bytes of other files may have stood there.
pub fn clear_unused(block: &mut [u8]) {
    let Some((header, area)) = RawHeader::split(block) else {
        return;
    };
    let unused = if header.level == 0 {
        let leaf = Leaf::new(block);
        size_of_val(leaf.raw_items())..leaf.data_start()
    } else {
        size_of_val(Node::new(block).raw_pointers())..area.len()
    };
    if let Some(unused) = area_mut(block).ok().and_then(|area| area.get_mut(unused)) {
        unused.fill(0);
    }
}

/// Sets the number of items or pointers.
fn set_count(block: &mut [u8], count: usize) -> Result<(), Bug> {
    let count = u32::try_from(count).map_err(|_| TOO_MANY)?;
    header_mut(block)?.nritems.set(count);
    Ok(())
}

/// Moves bytes within `area`; unlike `copy_within` it cannot panic.
fn shift(area: &mut [u8], from: Range<usize>, to: usize) -> Result<(), Bug> {
    let len = from.end.checked_sub(from.start).ok_or(OUT_OF_AREA)?;
    let room = area.len().checked_sub(len).ok_or(OUT_OF_AREA)?;
    if from.end > area.len() || to > room {
        return Err(OUT_OF_AREA);
    }
    area.copy_within(from.start..from.end, to);
    Ok(())
}

fn header_mut(block: &mut [u8]) -> Result<&mut RawHeader, Bug> {
    match RawHeader::split_mut(block) {
        Some((header, _)) => Ok(header),
        None => Err(TOO_SHORT),
    }
}

/// What stands behind a block's header.
fn area(block: &[u8]) -> Option<&[u8]> {
    RawHeader::split(block).map(|(_, area)| area)
}

/// What stands behind a block's header, to change.
fn area_mut(block: &mut [u8]) -> Result<&mut [u8], Bug> {
    match RawHeader::split_mut(block) {
        Some((_, area)) => Ok(area),
        None => Err(TOO_SHORT),
    }
}
