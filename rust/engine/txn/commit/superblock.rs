// SPDX-License-Identifier: GPL-2.0
//! What a commit puts into the superblock.

use crate::disk::{Generation, Logical, ObjectId, RootBackup, RootPointer, Superblock};
use crate::space::Keeping;
use crate::txn::handles::core::Core;
use crate::txn::transaction::Transaction;
use crate::volume::SuperblockImage;
use latch::prelude::*;

/// Brings the superblock in memory up to date with the closed transaction, and takes it as it is then: nobody changes
/// trees or makes chunks meanwhile, but many will before it is written.
pub(super) fn fill(shared: &Core, transaction: &Transaction) -> Result<SuperblockImage> {
    let backup = backup(shared)?;
    note_chunks(shared, transaction)?;
    shared.volume.superblocks().update(|superblock| {
        superblock.generation = transaction.generation;
        superblock.root = backup.root.addr;
        superblock.root_level = backup.root.level;
        superblock.chunk_root = backup.chunk.addr;
        superblock.chunk_root_level = backup.chunk.level;
        superblock.chunk_root_generation = backup.chunk.generation;
        superblock.log_root = Logical::new(0);
        superblock.log_root_level = 0;
        superblock.bytes_used = backup.bytes_used;
        match shared.space.keeping_caches() {
            Keeping::Now => superblock.cache_generation = transaction.generation.get(),
            // Before they are dropped, too: of groups that changed since they are not kept they are wrong.
            Keeping::NotNow => superblock.cache_generation = 0,
            Keeping::Never => {}
        }
        keep_uuid_tree_in_step(superblock, transaction.generation);
    });
    shared.volume.superblocks().push_backup(&backup);
    shared.volume.superblocks().take()
}

/// Enters system chunks, and how many bytes of each device are in chunks.
fn note_chunks(shared: &Core, transaction: &Transaction) -> Result {
    let changes = transaction.chunks.lock();
    for chunk in changes.system_added.iter() {
        shared.volume.superblocks().add_system_chunk(chunk)?;
    }
    for (&devid, &used) in changes.device_used.iter() {
        shared.volume.superblocks().set_device_used(devid, used);
    }
    Ok(())
}

/// The UUID tree is complete as long as its generation is the superblock's: C rescans all subvolumes when it is not.
/// What did not keep it up to date before must not say so now.
fn keep_uuid_tree_in_step(superblock: &mut Superblock, generation: Generation) {
    let last = generation.get().saturating_sub(1);
    if superblock.uuid_tree_generation == last {
        superblock.uuid_tree_generation = generation.get();
    }
}

/// What a backup has of a tree that is not there.
const NOWHERE: RootPointer = RootPointer {
    addr: Logical::new(0),
    level: 0,
    generation: Generation::new(0),
};

/// Where the trees are, for one of the four backups in the superblock.
fn backup(shared: &Core) -> Result<RootBackup> {
    let pointer = |id| -> Result<RootPointer> {
        let tree = shared.trees.get_optional(id)?;
        Ok(tree.map_or(NOWHERE, |tree| tree.root_pointer()))
    };
    let superblock = shared.volume.superblock();
    Ok(RootBackup {
        root: shared.trees.root().root_pointer(),
        chunk: shared.trees.chunk().root_pointer(),
        extent: pointer(ObjectId::EXTENT_TREE)?,
        files: pointer(ObjectId::FS_TREE)?,
        device: pointer(ObjectId::DEV_TREE)?,
        checksum: pointer(ObjectId::CSUM_TREE)?,
        total_bytes: superblock.total_bytes,
        bytes_used: shared.space.used(),
        num_devices: superblock.num_devices,
    })
}
