// SPDX-License-Identifier: GPL-2.0

//! fiemap of regular files: the engine's mappings in the words of the VFS.

use super::mount::mount_of;
use super::{node, Rbtrfs};
use crate::linux::file::{fiemap_flags as flags, Extents, Found, Piece};
use crate::linux::Inode;
use engine::disk::{Bytes, FileOffset};
use engine::fs::{Compressed, CompressedData, MappingKind};
use engine::txn::Sharing;
use latch::prelude::*;

impl Extents for Rbtrfs {
    fn find(inode: &Inode, pos: u64, end: u64) -> Result<Found> {
        let (mount, this) = (mount_of(inode)?, node(inode)?);
        let max_len = Bytes::new(end.saturating_sub(pos));
        let data = mount.fs().data();
        let found = data.report(&this.inode, FileOffset::new(pos), max_len)?;
        let len = found.mapping.len.get();
        let next = pos.saturating_add(len);
        let (address, kind) = match found.mapping.kind {
            MappingKind::Hole => return Ok(Found::HoleUntil(next)),
            // In whole blocks, as C has it.
            MappingKind::Inline(_) => (0, flags::INLINE),
            MappingKind::Prealloc { logical } => (logical.get(), flags::UNWRITTEN),
            MappingKind::Data { logical } => (logical.get(), 0),
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
fn place_of(packed: &Compressed) -> (u64, u32) {
    match &packed.data {
        CompressedData::Inline(_) => (0, flags::INLINE | flags::ENCODED),
        CompressedData::Extent { logical, .. } => (logical.get(), flags::ENCODED),
    }
}
