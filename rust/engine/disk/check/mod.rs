// SPDX-License-Identifier: GPL-2.0
//! The gate: every tree block passes here when it is read, and again before it is written.
//!
//! | module    | what it has                                                                      |
//! |-----------|----------------------------------------------------------------------------------|
//! | `block`   | the block around the items: header, order of keys, places of the bytes, pointers |
//! | `files`   | items of subvolumes, and the checksums of data                                   |
//! | `extents` | items of the extent tree                                                         |
//! | `space`   | items of chunks, devices, block groups and free space                            |
//! | `trees`   | items of the tree of trees, of quotas, and of the volume as a whole              |
//! | `item`    | what every item is checked with                                                  |
//!
//! Nothing behind the gate checks again, nothing before it computes. It looks at one block alone, in one pass from
//! the first slot to the last, each item against its kind's rules and its neighbour; it allocates nothing and does
//! not recurse. What C checks (`fs/btrfs/tree-checker.c`) is the least that is checked here.
//!
//! Kinds that are not known pass: a volume with compat_ro features that are not known can be mounted read-only.

mod block;
mod extents;
mod files;
mod item;
mod space;
mod trees;

use super::{
    check_seal, ChecksumKind, Checksums, CompatRo, Corrupt, Flaw, Generation, Incompat, Key,
    Logical, ObjectId, Uuid,
};
use item::{Item, Occasion};

use super::Kind;

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
    /// The incompatible features of the volume.
    pub incompat: Incompat,
    /// The features that only a writer must know.
    pub compat_ro: CompatRo,
}

impl Format {
    /// Whether a feature forbids writing.
    pub const fn is_read_only(&self) -> bool {
        !CompatRo::SUPPORTED.contains(self.compat_ro)
    }
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
    /// The block's level, where the pointer to it tells.
    pub level: Option<u8>,
    /// The block's generation, where the pointer to it tells.
    pub generation: Option<Generation>,
    /// The block's first key, where the pointer to it tells.
    pub first_key: Option<Key>,
    /// No generation on the disk is newer than this: the running transaction's, which is the superblock's plus one.
    pub newest: Generation,
}

/// Checks a block that was read: checksum, place, and all its contents.
pub fn check_block(block: &[u8], context: &BlockContext<'_>) -> Result<(), Corrupt> {
    check_seal(block, context.format.checksum, context.checksums)
        .map_err(|flaw| flaw.in_block(context.addr))?;
    block::check(block, context, Occasion::Read)
}

/// Checks a block that is about to be written: all but the checksum, which [`super::seal_block`] makes next.
///
/// What several items must agree on is checked when a block is read, not here: an operation that changes them one
/// after another may be under way, and the block of the commit will be another one.
pub fn check_block_to_write(block: &[u8], context: &BlockContext<'_>) -> Result<(), Corrupt> {
    block::check(block, context, Occasion::Write)
}

/// Checks an item by its kind.
fn check_item(item: &Item<'_>) -> Result<(), Flaw> {
    match item.key.kind {
        Kind::INODE_ITEM => files::inode(item),
        Kind::INODE_REF => files::inode_ref(item),
        Kind::INODE_EXTREF => files::inode_extref(item),
        Kind::XATTR_ITEM | Kind::DIR_ITEM | Kind::DIR_INDEX => files::directory(item),
        Kind::DIR_LOG_ITEM | Kind::DIR_LOG_INDEX => files::directory_log(item),
        Kind::ORPHAN_ITEM => files::orphan(item),
        Kind::VERITY_DESC_ITEM => files::verity(item),
        Kind::EXTENT_DATA => files::file_extent(item),
        Kind::EXTENT_CSUM => files::checksums(item),
        Kind::ROOT_ITEM => trees::root(item),
        Kind::ROOT_REF | Kind::ROOT_BACKREF => trees::root_ref(item),
        Kind::EXTENT_ITEM | Kind::METADATA_ITEM => extents::extent(item),
        Kind::TREE_BLOCK_REF
        | Kind::SHARED_BLOCK_REF
        | Kind::EXTENT_DATA_REF
        | Kind::SHARED_DATA_REF => extents::keyed_reference(item),
        Kind::BLOCK_GROUP_ITEM => space::block_group(item),
        Kind::FREE_SPACE_INFO => space::free_space_info(item),
        Kind::FREE_SPACE_EXTENT | Kind::FREE_SPACE_BITMAP => space::free_space(item),
        Kind::CHUNK_ITEM => space::chunk(item),
        Kind::DEV_ITEM => space::device(item),
        Kind::DEV_EXTENT => space::device_extent(item),
        Kind::QGROUP_STATUS | Kind::QGROUP_INFO | Kind::QGROUP_LIMIT | Kind::QGROUP_RELATION => {
            trees::qgroup(item)
        }
        Kind::UUID_SUBVOL | Kind::UUID_RECEIVED_SUBVOL => trees::uuid(item),
        Kind::TEMPORARY_ITEM => trees::temporary(item),
        Kind::PERSISTENT_ITEM => trees::persistent(item),
        Kind::DEV_REPLACE => trees::replace(item),
        kind if needs_refused_feature(kind) => Err(Flaw::new(
            "item needs a feature that is not set",
            kind.get().into(),
            0,
        )),
        // Those of free space caches among them, which are hints: what is wrong with one is found where it is read.
        _ => Ok(()),
    }
}

/// Kinds of features without which they cannot be, and with which no volume is mounted.
const fn needs_refused_feature(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::EXTENT_OWNER_REF
            | Kind::RAID_STRIPE
            | Kind::IDENTITY_REMAP
            | Kind::REMAP
            | Kind::REMAP_BACKREF
    )
}
