// SPDX-License-Identifier: GPL-2.0

//! Where regular files have bytes: the engine's mappings, and what is not in the trees yet, in the words of the VFS.
//!
//! The caller keeps write(2) out, and nobody else: the order is what makes the answer right. First what is dirty or on its
//! way, then the trees. Bytes are on their way until the trees have them, so what is not found there first is found here.

use crate::io::data::FileIo;
use crate::linux::file::{fiemap_flags as flags, Content, Extents, Found, Piece};
use crate::linux::iomap::{first_stray, may_have_strays};
use crate::linux::Inode;
use crate::vfs::mount::mount_of;
use crate::vfs::{node, Node, Rbtrfs};
use core::ops::Range;
use engine::disk::{FileOffset, Logical};
use engine::fs::{Compressed, CompressedData, Mapping, MappingKind};
use engine::txn::Sharing;
use latch::prelude::*;

/// The address of what has none.
const NOWHERE: Logical = Logical::new(0);

impl Extents for Rbtrfs {
    fn find(inode: &Inode, pos: FileOffset, end: FileOffset) -> Result<Found> {
        let (mount, this) = (mount_of(inode)?, node(inode)?);
        let pending = pending(inode, &(pos..end));
        let max_len = end.saturating_since(pos);
        let found = mount.fs().mappings().report(&this.inode, pos, max_len)?;
        let (mapping, until) = (&found.mapping, pos.saturating_add(found.mapping.len));
        let (newest, next) = newest(&mapping.kind, &(pos..until), pending);
        let (address, kind) = match (&newest, &mapping.kind) {
            (Newest::Cache, _) => (NOWHERE, flags::DELAYED),
            (Newest::Trees, MappingKind::Hole) => return Ok(Found::HoleUntil(next)),
            // In whole blocks, as C has it.
            (Newest::Trees, MappingKind::Inline(_)) => (NOWHERE, flags::INLINE),
            (Newest::Trees, MappingKind::Prealloc { logical }) => (*logical, flags::UNWRITTEN),
            (Newest::Trees, MappingKind::Data { logical }) => (*logical, 0),
            (Newest::Trees, MappingKind::Compressed(packed)) => place_of(packed),
        };
        let shared = match (newest, found.sharing) {
            (Newest::Trees, Sharing::Shared) => flags::SHARED,
            (Newest::Cache, _) | (_, Sharing::Alone) => 0,
        };
        let piece = Piece {
            pos,
            len: next.saturating_since(pos),
            address,
            flags: kind | shared,
        };
        Ok(Found::Piece(piece, next))
    }

    fn look(inode: &Inode, pos: FileOffset, end: FileOffset) -> Result<(Content, FileOffset)> {
        let (mut end, mut stray) = (end, None);
        if may_have_strays::<FileIo<Node>>(inode)? {
            let stored = stored(inode, pos, end)?;
            if is_empty(&stored.kind) {
                // The trees are asked again for this, once the page cache was.
                end = pos.saturating_add(stored.len);
                stray = first_stray(inode, &(pos..end));
            }
        }
        let pending = pending(inode, &(pos..end));
        let stored = stored(inode, pos, end)?;
        let until = pos.saturating_add(stored.len);
        let (newest, until) = newest(&stored.kind, &(pos..until), earlier(pending, stray));
        Ok(match newest {
            Newest::Trees if is_empty(&stored.kind) => (Content::Hole, until),
            Newest::Trees | Newest::Cache => (Content::Data, until),
        })
    }
}

/// What the trees have at `pos`, as far as `end`.
fn stored(inode: &Inode, pos: FileOffset, end: FileOffset) -> Result<Mapping> {
    let (mount, this) = (mount_of(inode)?, node(inode)?);
    let max_len = end.saturating_since(pos);
    mount.fs().mappings().find(&this.inode, pos, max_len)
}

/// The first bytes of `range` that are dirty or on their way.
fn pending(inode: &Inode, range: &Range<FileOffset>) -> Option<Range<FileOffset>> {
    inode.payload::<FileIo<Node>>()?.pending(range)
}

fn earlier(
    one: Option<Range<FileOffset>>,
    other: Option<Range<FileOffset>>,
) -> Option<Range<FileOffset>> {
    match (one, other) {
        (Some(one), Some(other)) if other.start < one.start => Some(other),
        (one, other) => one.or(other),
    }
}

/// Whether what the trees have reads as zeroes.
fn is_empty(kind: &MappingKind) -> bool {
    matches!(kind, MappingKind::Hole | MappingKind::Prealloc { .. })
}

/// Who has the newest of what a file has somewhere.
enum Newest {
    Trees,
    /// The trees have nothing there, or space for it.
    Cache,
}

/// Who has the newest at the front of `range`, where the trees have `kind`; and as far as that goes. Bytes that are written
/// over count as the trees' until they are there.
fn newest(
    kind: &MappingKind,
    range: &Range<FileOffset>,
    pending: Option<Range<FileOffset>>,
) -> (Newest, FileOffset) {
    let pending = pending.filter(|pending| is_empty(kind) && pending.start < range.end);
    match pending {
        Some(pending) if pending.start <= range.start => {
            (Newest::Cache, pending.end.min(range.end))
        }
        Some(pending) => (Newest::Trees, pending.start),
        None => (Newest::Trees, range.end),
    }
}

/// Address and flags of packed bytes: a piece has the address of all of its extent.
fn place_of(packed: &Compressed) -> (Logical, u32) {
    match &packed.data {
        CompressedData::Inline(_) => (NOWHERE, flags::INLINE | flags::ENCODED),
        CompressedData::Extent { logical, .. } => (*logical, flags::ENCODED),
    }
}
