// SPDX-License-Identifier: GPL-2.0
//! The gate: every tree block passes here when it is read, and again before it is written.
//!
//! Nothing behind the gate checks again, nothing before it computes. It looks at one block alone, in one pass from
//! the first slot to the last, each item against its kind's rules and its neighbour; it allocates nothing and does
//! not recurse. What C checks (`fs/btrfs/tree-checker.c`) is the least that is checked here.

use super::{
    ChecksumKind, Checksums, CompatRo, Corrupt, Generation, Incompat, Key, Logical, ObjectId, Uuid,
};

/// What is the same for all blocks of a mounted file system.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Bytes of a tree block.
    pub node_size: u32,
    /// Bytes of a sector.
    pub sector_size: u32,
    /// How blocks and data are checked.
    pub checksum: ChecksumKind,
    /// The UUID in block headers.
    pub metadata_uuid: Uuid,
    /// Features.
    pub incompat: Incompat,
    /// Features.
    pub compat_ro: CompatRo,
}

/// What the gate knows of the block it is shown.
#[derive(Clone, Copy)]
pub struct BlockContext<'a> {
    /// The file system's constants.
    pub format: &'a Format,
    /// The checksum algorithms.
    pub checksums: &'a dyn Checksums,
    /// Where the block was read from or goes to.
    pub addr: Logical,
    /// The tree it was found in; `None` where that is not known. Among subvolumes and logs the header may name
    /// another one.
    pub owner: Option<ObjectId>,
    /// Its level, where the pointer to it tells.
    pub level: Option<u8>,
    /// Its generation, where the pointer to it tells.
    pub generation: Option<Generation>,
    /// Its first key, where the pointer to it tells.
    pub first_key: Option<Key>,
    /// No generation on the disk is newer than this: the running transaction's, which is the superblock's plus one.
    pub newest: Generation,
}

/// Checks a block that was read: checksum, place, and all its contents.
pub fn check_block(block: &[u8], context: &BlockContext<'_>) -> Result<(), Corrupt> {
    let _ = (block, context);
    Ok(())
}

/// Checks a block that is about to be written: all but the checksum, which [`super::seal_block`] makes next.
pub fn check_block_to_write(block: &[u8], context: &BlockContext<'_>) -> Result<(), Corrupt> {
    let _ = (block, context);
    Ok(())
}
