// SPDX-License-Identifier: GPL-2.0
//! What a commit puts into the superblock.

use crate::btree::RootPointer;
use crate::disk::raw::{RawRootBackup, RawSuperblock};
use crate::disk::{Generation, Logical, ObjectId};
use crate::txn::shared::Shared;
use crate::txn::transaction::Running;
use crate::volume::SuperblockImage;
use latch::prelude::*;

/// Brings the superblock in memory up to date with the closed transaction, and takes it as it is then: nobody changes
/// trees or makes chunks meanwhile, but many will before it is written.
pub(super) fn fill(shared: &Shared, running: &Running) -> Result<SuperblockImage> {
    let backup = Backup::collect(shared)?;
    let device_used = enter_chunks(shared, running)?;
    let bytes_used = shared.space.statistics().bytes_used;
    shared.volume.update_superblock(|raw| {
        raw.generation.set(running.generation.get());
        raw.root.set(backup.root.addr.get());
        raw.root_level = backup.root.level;
        raw.chunk_root.set(backup.chunk.addr.get());
        raw.chunk_root_level = backup.chunk.level;
        raw.chunk_root_generation.set(backup.chunk.generation.get());
        raw.log_root.set(0);
        raw.log_root_level = 0;
        raw.bytes_used.set(bytes_used);
        if let Some(used) = device_used {
            raw.dev_item.bytes_used.set(used);
        }
        keep_uuid_tree_in_step(raw, running.generation);
        backup.push(raw);
    });
    shared.volume.take_superblock()
}

/// Enters and takes out system chunks. Returns the bytes in chunks on the device, if they changed.
fn enter_chunks(shared: &Shared, running: &Running) -> Result<Option<u64>> {
    let changes = running.chunks.lock();
    for chunk in changes.system_added.iter() {
        shared.volume.add_system_chunk(chunk)?;
    }
    Ok(changes.device_used)
}

/// The UUID tree is complete as long as its generation is the superblock's: C rescans all subvolumes when it is not.
/// What did not keep it up to date before must not say so now.
fn keep_uuid_tree_in_step(raw: &mut RawSuperblock, generation: Generation) {
    let last = generation.get().saturating_sub(1);
    if raw.uuid_tree_generation.get() == last {
        raw.uuid_tree_generation.set(generation.get());
    }
}

/// Where the trees are, for one of the four places in the superblock.
struct Backup {
    root: RootPointer,
    chunk: RootPointer,
    extent: RootPointer,
    device: RootPointer,
    checksum: RootPointer,
    files: RootPointer,
}

/// A tree that is not there.
const NOWHERE: RootPointer = RootPointer {
    addr: Logical::new(0),
    level: 0,
    generation: Generation::new(0),
};

impl Backup {
    fn collect(shared: &Shared) -> Result<Self> {
        let pointer = |id| -> Result<RootPointer> {
            let tree = shared.registry.get_optional(id)?;
            Ok(tree.map_or(NOWHERE, |tree| tree.root_pointer()))
        };
        Ok(Self {
            root: shared.registry.root().root_pointer(),
            chunk: shared.registry.chunk().root_pointer(),
            extent: pointer(ObjectId::EXTENT_TREE)?,
            device: pointer(ObjectId::DEV_TREE)?,
            checksum: pointer(ObjectId::CSUM_TREE)?,
            files: pointer(ObjectId::FS_TREE)?,
        })
    }

    /// Replaces the oldest of the four.
    fn push(&self, raw: &mut RawSuperblock) {
        let mut new: RawRootBackup = zerocopy::FromZeros::new_zeroed();
        new.tree_root.set(self.root.addr.get());
        new.tree_root_generation.set(self.root.generation.get());
        new.tree_root_level = self.root.level;
        new.chunk_root.set(self.chunk.addr.get());
        new.chunk_root_generation.set(self.chunk.generation.get());
        new.chunk_root_level = self.chunk.level;
        new.extent_root.set(self.extent.addr.get());
        new.extent_root_generation.set(self.extent.generation.get());
        new.extent_root_level = self.extent.level;
        new.fs_root.set(self.files.addr.get());
        new.fs_root_generation.set(self.files.generation.get());
        new.fs_root_level = self.files.level;
        new.dev_root.set(self.device.addr.get());
        new.dev_root_generation.set(self.device.generation.get());
        new.dev_root_level = self.device.level;
        new.csum_root.set(self.checksum.addr.get());
        new.csum_root_generation.set(self.checksum.generation.get());
        new.csum_root_level = self.checksum.level;
        new.total_bytes = raw.total_bytes;
        new.bytes_used = raw.bytes_used;
        new.num_devices = raw.num_devices;
        if let Some(oldest) = raw
            .backups
            .iter_mut()
            .min_by_key(|old| old.tree_root_generation.get())
        {
            *oldest = new;
        }
    }
}
