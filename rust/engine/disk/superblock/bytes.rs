// SPDX-License-Identifier: GPL-2.0
//! A superblock's bytes: made, read, changed through the values that they hold, sealed.

use super::{RootBackup, Superblock, SuperblockError, SystemChunks};
use crate::disk::raw::RawSuperblock;
use crate::disk::{
    ChecksumKind, Checksums, DevItem, Flaw, Generation, Logical, NewChunk, Physical,
};
use core::mem::MaybeUninit;
use latch::prelude::{KBox, Result as KernelResult, GFP_NOFAIL};
use zerocopy::{FromZeros, IntoBytes};

/// The bytes of a superblock, whatever they are: [`Superblock`] is what they say when they make sense.
pub struct SuperblockBytes(RawSuperblock);

impl SuperblockBytes {
    /// Makes a superblock of zeroes.
    pub fn new() -> KernelResult<KBox<Self>> {
        Ok(Self::zeroed(KBox::new_uninit(GFP_NOFAIL)?))
    }

    /// Apart, so that the value's passage over the stack ends before anything else is called.
    #[inline(never)]
    fn zeroed(memory: KBox<MaybeUninit<Self>>) -> KBox<Self> {
        memory.write(Self(RawSuperblock::new_zeroed()))
    }

    /// All bytes of the copy.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// All bytes of the copy, to be read into.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        self.0.as_mut_bytes()
    }

    /// The generation that they name, whatever else they are.
    pub fn generation(&self) -> Generation {
        Generation::new(self.0.generation.get())
    }

    /// Does what [`Superblock::check`] says.
    pub fn check(
        &self,
        place: Physical,
        checksums: &dyn Checksums,
    ) -> Result<Superblock, SuperblockError> {
        Superblock::check(&self.0, place, checksums)
    }

    /// Does what [`Superblock::check_to_write`] says.
    pub fn check_to_write(&self) -> Result<Superblock, SuperblockError> {
        Superblock::check_to_write(&self.0)
    }

    /// Makes them ready to go out as the copy that belongs at `place`.
    pub fn seal(&mut self, place: Physical, kind: ChecksumKind, checksums: &dyn Checksums) {
        self.0.seal(place, kind, checksums);
    }

    /// The name that users gave the volume, up to the first zero.
    pub fn label(&self) -> &[u8] {
        self.0.label()
    }

    /// Changes that name; what is too long is cut, a zero at the end stays.
    pub fn set_label(&mut self, label: &[u8]) {
        self.0.label.fill(0);
        let room = self.0.label.len().saturating_sub(1);
        let bytes = Iterator::zip(self.0.label.iter_mut().take(room), label);
        bytes.for_each(|(to, from)| *to = *from);
    }

    /// The chunks that they list.
    pub fn system_chunks(&self) -> SystemChunks<'_> {
        self.0.system_chunks()
    }

    /// The roots of the last four commits, in no order.
    pub fn backups(&self) -> [RootBackup; 4] {
        self.0.backups.each_ref().map(RootBackup::from)
    }

    /// The device that they stand on.
    pub fn device(&self) -> Result<DevItem, Flaw> {
        (&self.0.dev_item).try_into()
    }

    /// Makes them the superblock of this device.
    pub fn set_device(&mut self, device: &DevItem) {
        device.fill(&mut self.0.dev_item);
    }

    /// Writes what a commit may change: generation, roots, sizes, how far caches and UUIDs are kept, and whether the free
    /// space tree is valid.
    pub fn write(&mut self, superblock: &Superblock) {
        let raw = &mut self.0;
        raw.generation.set(superblock.generation.get());
        raw.root.set(superblock.root.get());
        raw.root_level = superblock.root_level;
        raw.chunk_root.set(superblock.chunk_root.get());
        raw.chunk_root_level = superblock.chunk_root_level;
        raw.chunk_root_generation
            .set(superblock.chunk_root_generation.get());
        raw.log_root.set(superblock.log_root.get());
        raw.log_root_level = superblock.log_root_level;
        raw.total_bytes.set(superblock.total_bytes.get());
        raw.bytes_used.set(superblock.bytes_used.get());
        raw.num_devices.set(superblock.num_devices);
        raw.compat_ro_flags.set(superblock.compat_ro.get());
        raw.cache_generation.set(superblock.cache_generation);
        raw.uuid_tree_generation
            .set(superblock.uuid_tree_generation);
    }

    /// Writes a backup over the oldest of the four.
    pub fn push_backup(&mut self, backup: &RootBackup) {
        let oldest = self
            .0
            .backups
            .iter_mut()
            .min_by_key(|old| old.tree_root_generation.get());
        if let Some(oldest) = oldest {
            *oldest = backup.into();
        }
    }

    /// How many more chunks like this one the list has room for.
    pub fn room_for_system_chunks(&self, chunk: &NewChunk<'_>) -> usize {
        self.0.room_for_system_chunks(chunk)
    }

    /// Appends a chunk to the list. `EFBIG` when there is no room for it.
    pub fn add_system_chunk(&mut self, logical: Logical, chunk: &NewChunk<'_>) -> KernelResult {
        self.0.add_system_chunk(logical, chunk)
    }
}
