// SPDX-License-Identifier: GPL-2.0

//! fiemap of regular files: the engine's mappings in the words of the VFS.

use super::mount::mount_of;
use super::{node, Rbtrfs};
use crate::linux::file::{fiemap_flags as flags, Extents, Found, Piece};
use crate::linux::Inode;
use engine::disk::{FileOffset, Logical};
use engine::fs::{Compressed, CompressedData, MappingKind};
use engine::txn::Sharing;
use latch::prelude::*;

/// The address of what is in the tree.
const NOWHERE: Logical = Logical::new(0);

impl Extents for Rbtrfs {
    fn find(inode: &Inode, pos: FileOffset, end: FileOffset) -> Result<Found> {
        let (mount, this) = (mount_of(inode)?, node(inode)?);
        let max_len = end.saturating_since(pos);
        let mappings = mount.fs().mappings();
        let found = mappings.report(&this.inode, pos, max_len)?;
        let len = found.mapping.len;
        let next = pos.saturating_add(len);
        let (address, kind) = match found.mapping.kind {
            MappingKind::Hole => return Ok(Found::HoleUntil(next)),
            // In whole blocks, as C has it.
            MappingKind::Inline(_) => (NOWHERE, flags::INLINE),
            MappingKind::Prealloc { logical } => (logical, flags::UNWRITTEN),
            MappingKind::Data { logical } => (logical, 0),
            MappingKind::Compressed(packed) => place_of(&packed),
        };
        let shared = match found.sharing {
            Sharing::Alone => 0,
            Sharing::Shared => flags::SHARED,
        };
        let flags = kind | shared;
        Ok(Found::Piece(
            Piece {
                pos,
                len,
                address,
                flags,
            },
            next,
        ))
    }
}

/// Address and flags of packed bytes: a piece has the address of all of its extent.
fn place_of(packed: &Compressed) -> (Logical, u32) {
    match &packed.data {
        CompressedData::Inline(_) => (NOWHERE, flags::INLINE | flags::ENCODED),
        CompressedData::Extent { logical, .. } => (*logical, flags::ENCODED),
    }
}
