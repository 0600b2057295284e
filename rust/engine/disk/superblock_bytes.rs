// SPDX-License-Identifier: GPL-2.0
//! A superblock's bytes: made, read, changed through the values that they hold, sealed.

use super::corrupt::{ensure, Bug, Flaw};
use super::item::{put_front, size64};
use super::raw::{RawKey, RawRootBackup, RawSuperblock};
use super::{
    ChecksumKind, Checksums, ChunkItem, Generation, Logical, NewChunk, RootPointer, Superblock,
    SuperblockError, SystemChunks,
};
use core::cell::Cell;
use core::mem::MaybeUninit;
use latch::prelude::{KBox, Result as KernelResult, GFP_NOFAIL};
use zerocopy::little_endian::U32;
use zerocopy::{FromZeros, IntoBytes};

/// The bytes of a superblock, whatever they are: [`Superblock`] is what they say when they make sense.
pub struct SuperblockBytes(RawSuperblock);

impl SuperblockBytes {
    /// Zeroes.
    pub fn new() -> KernelResult<KBox<Self>> {
        Ok(Self::zeroed(KBox::new_uninit(GFP_NOFAIL)?))
    }

    /// Apart, so that the value's passage over the stack ends before anything else is called.
    #[inline(never)]
    fn zeroed(memory: KBox<MaybeUninit<Self>>) -> KBox<Self> {
        memory.write(Self(RawSuperblock::new_zeroed()))
    }

    /// All of them.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// All of them, to be read into.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        self.0.as_mut_bytes()
    }

    /// The generation that they name, whatever else they are.
    pub fn generation(&self) -> Generation {
        Generation::new(self.0.generation.get())
    }

    /// See [`Superblock::check`].
    pub fn check(
        &self,
        place: u64,
        checksums: &dyn Checksums,
    ) -> Result<Superblock, SuperblockError> {
        Superblock::check(&self.0, place, checksums)
    }

    /// See [`Superblock::check_to_write`].
    pub fn check_to_write(&self) -> Result<Superblock, SuperblockError> {
        Superblock::check_to_write(&self.0)
    }

    /// Makes them ready to go out as the copy that belongs at `place`.
    pub fn seal(&mut self, place: u64, kind: ChecksumKind, checksums: &dyn Checksums) {
        self.0.seal(place, kind, checksums);
    }

    /// The chunks that they list.
    pub fn system_chunks(&self) -> SystemChunks<'_> {
        self.0.system_chunks()
    }

    /// The roots of the last four commits, in no order.
    pub fn backups(&self) -> [RootBackup; 4] {
        self.0.backups.each_ref().map(RootBackup::from)
    }

    /// Writes what a commit may change: generation, roots, sizes, the device, and how far caches and UUIDs are kept.
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
        raw.total_bytes.set(superblock.total_bytes);
        raw.bytes_used.set(superblock.bytes_used);
        raw.num_devices.set(superblock.num_devices);
        superblock.device.fill(&mut raw.dev_item);
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

    /// Appends a chunk to the list; whether there was room for it.
    pub fn add_system_chunk(
        &mut self,
        logical: Logical,
        chunk: &NewChunk<'_>,
    ) -> Result<bool, Bug> {
        let raw = &mut self.0;
        let start = usize::try_from(raw.sys_chunk_array_size.get()).unwrap_or(usize::MAX);
        let end = start
            .saturating_add(RawKey::SIZE)
            .saturating_add(chunk.encoded_len());
        let (Some(entry), Ok(size)) = (raw.sys_chunk_array.get_mut(start..end), end.try_into())
        else {
            return Ok(false);
        };
        let key = RawKey::from(ChunkItem::key(logical));
        chunk.write_to(put_front(entry, &key)?)?;
        raw.sys_chunk_array_size = U32::new(size);
        Ok(true)
    }

    /// Takes the chunk at an address out of the list; whether it was there.
    pub fn remove_system_chunk(&mut self, logical: Logical) -> Result<bool, Flaw> {
        let mut chunks = self.0.system_chunks();
        let used = chunks.rest().len();
        let mut start = 0usize;
        while let Some(chunk) = chunks.next() {
            let (key, _) = chunk?;
            let end = used.saturating_sub(chunks.rest().len());
            if key.offset == logical.get() {
                return self.cut(start, end, used).map(|()| true);
            }
            start = end;
        }
        Ok(false)
    }

    /// Takes the entry from `start` to `end` out of a list of `used` bytes.
    fn cut(&mut self, start: usize, end: usize, used: usize) -> Result<(), Flaw> {
        let (len, rest) = (end.saturating_sub(start), used.saturating_sub(end));
        let tail = self.0.sys_chunk_array.get_mut(start..used);
        let fits = len.saturating_add(rest) == tail.as_ref().map_or(0, |tail| tail.len());
        let what = "system chunk's entry is not in the list";
        ensure(fits, what, size64(end), size64(used))?;
        if let Some(tail) = tail {
            let cells = Cell::from_mut(&mut *tail).as_slice_of_cells();
            for (to, from) in cells.iter().zip(cells.get(len..).unwrap_or(&[])) {
                to.set(from.get());
            }
            if let Some(unused) = tail.get_mut(rest..) {
                unused.fill(0);
            }
        }
        let left = u32::try_from(used.saturating_sub(len))
            .map_err(|_| Flaw::new(what, size64(end), size64(used)))?;
        self.0.sys_chunk_array_size.set(left);
        Ok(())
    }
}

/// Where the trees were after one of the last four commits (C: `struct btrfs_root_backup`). A tree that was not there
/// is at address zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootBackup {
    /// The tree of trees.
    pub root: RootPointer,
    /// The chunk tree.
    pub chunk: RootPointer,
    /// The extent tree.
    pub extent: RootPointer,
    /// The top level subvolume.
    pub files: RootPointer,
    /// The device tree.
    pub device: RootPointer,
    /// The checksum tree.
    pub checksum: RootPointer,
    /// As the superblock had it.
    pub total_bytes: u64,
    /// As the superblock had it.
    pub bytes_used: u64,
    /// As the superblock had it.
    pub num_devices: u64,
}

impl RootBackup {
    /// Whether a commit has written it.
    pub const fn is_used(&self) -> bool {
        self.root.generation.get() > 0
    }
}

impl From<&RawRootBackup> for RootBackup {
    fn from(raw: &RawRootBackup) -> Self {
        let pointer = |addr: u64, level, generation: u64| RootPointer {
            addr: Logical::new(addr),
            level,
            generation: Generation::new(generation),
        };
        Self {
            root: pointer(
                raw.tree_root.get(),
                raw.tree_root_level,
                raw.tree_root_generation.get(),
            ),
            chunk: pointer(
                raw.chunk_root.get(),
                raw.chunk_root_level,
                raw.chunk_root_generation.get(),
            ),
            extent: pointer(
                raw.extent_root.get(),
                raw.extent_root_level,
                raw.extent_root_generation.get(),
            ),
            files: pointer(
                raw.fs_root.get(),
                raw.fs_root_level,
                raw.fs_root_generation.get(),
            ),
            device: pointer(
                raw.dev_root.get(),
                raw.dev_root_level,
                raw.dev_root_generation.get(),
            ),
            checksum: pointer(
                raw.csum_root.get(),
                raw.csum_root_level,
                raw.csum_root_generation.get(),
            ),
            total_bytes: raw.total_bytes.get(),
            bytes_used: raw.bytes_used.get(),
            num_devices: raw.num_devices.get(),
        }
    }
}

impl From<&RootBackup> for RawRootBackup {
    fn from(backup: &RootBackup) -> Self {
        Self {
            tree_root: backup.root.addr.get().into(),
            tree_root_generation: backup.root.generation.get().into(),
            chunk_root: backup.chunk.addr.get().into(),
            chunk_root_generation: backup.chunk.generation.get().into(),
            extent_root: backup.extent.addr.get().into(),
            extent_root_generation: backup.extent.generation.get().into(),
            fs_root: backup.files.addr.get().into(),
            fs_root_generation: backup.files.generation.get().into(),
            dev_root: backup.device.addr.get().into(),
            dev_root_generation: backup.device.generation.get().into(),
            csum_root: backup.checksum.addr.get().into(),
            csum_root_generation: backup.checksum.generation.get().into(),
            total_bytes: backup.total_bytes.into(),
            bytes_used: backup.bytes_used.into(),
            num_devices: backup.num_devices.into(),
            unused_64: [0.into(); 4],
            tree_root_level: backup.root.level,
            chunk_root_level: backup.chunk.level,
            extent_root_level: backup.extent.level,
            fs_root_level: backup.files.level,
            dev_root_level: backup.device.level,
            csum_root_level: backup.checksum.level,
            unused_8: [0; 10],
        }
    }
}
