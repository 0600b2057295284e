// SPDX-License-Identifier: GPL-2.0
//! The superblock and its gate.
//!
//! | module          | what it has                                       |
//! |-----------------|---------------------------------------------------|
//! | `bytes`         | a superblock's bytes: made, read, changed, sealed |
//! | `filler`        | what stands behind one that was cut off           |
//! | `system_chunks` | the chunks that it lists                          |
//! | `backup`        | where the trees were after the last commits       |
//! | `error`         | why a superblock is not taken                     |

mod backup;
mod bytes;
mod error;
mod filler;
mod system_chunks;

pub use backup::RootBackup;
pub use bytes::SuperblockBytes;
pub use error::SuperblockError;
pub use system_chunks::SystemChunks;

use super::corrupt::{ensure, ensure_aligned, ensure_eq, ensure_max, Flaw, Site};
use super::ids::{HIGHEST_LEVEL, MAX_LEVELS, MAX_NODE_SIZE, MIN_BLOCK_SIZE};
use super::packing::size64;
use super::raw::RawSuperblock;
use super::{
    check_seal, seal, BlockGroupFlags, Bytes, ChecksumKind, Checksums, CompatRo, DevItem, Format,
    Generation, Incompat, Logical, Physical, RootPointer, SuperFlags, Uuid,
};
use zerocopy::IntoBytes;

/// Bytes of a superblock (C: `BTRFS_SUPER_INFO_SIZE`).
pub const SUPERBLOCK_SIZE: Bytes = Bytes::new(4096);
/// The bytes `_BHRfS_M`, as a number.
pub const SUPERBLOCK_MAGIC: u64 = 0x4d5f_5366_5248_425f;
/// Where the copies stand: 64 KiB, 64 MiB, 256 GiB (C: `btrfs_sb_offset`). On zoned devices these are names only.
pub const SUPERBLOCK_PLACES: [Physical; 3] = places([1 << 16, 1 << 26, 1 << 38]);
/// Where the logs of the copies are on zoned devices: at the start, 512 GiB, 4 TiB (C: `BTRFS_SB_LOG_*_OFFSET`).
pub const SUPERBLOCK_LOG_PLACES: [Physical; 3] = places([0, 1 << 39, 1 << 42]);

const fn places([first, second, third]: [u64; 3]) -> [Physical; 3] {
    [
        Physical::new(first),
        Physical::new(second),
        Physical::new(third),
    ]
}

/// What the superblocks of all devices say alike, checked (C: `struct btrfs_super_block`). Which device one stands on is
/// what [`SuperblockBytes::device`] says.
#[derive(Clone, Copy, Debug)]
pub struct Superblock {
    /// The file system's UUID, as users see it.
    pub fsid: Uuid,
    /// The UUID in tree blocks; mostly the same.
    pub metadata_uuid: Uuid,
    /// The flags of the volume.
    pub flags: SuperFlags,
    /// The last committed transaction.
    pub generation: Generation,
    /// Root block of the tree of trees. Its generation is `generation`.
    pub root: Logical,
    /// Level of the tree of trees.
    pub root_level: u8,
    /// Root block of the chunk tree.
    pub chunk_root: Logical,
    /// Level of the chunk tree.
    pub chunk_root_level: u8,
    /// Generation of the chunk tree's root.
    pub chunk_root_generation: Generation,
    /// Root block of the log root tree, or zero. Its generation is `generation` plus one.
    pub log_root: Logical,
    /// Level of the log root tree.
    pub log_root_level: u8,
    /// Bytes of all devices.
    pub total_bytes: Bytes,
    /// Bytes in extents.
    pub bytes_used: Bytes,
    /// How many devices.
    pub num_devices: u64,
    /// Bytes of a sector.
    pub sector_size: u32,
    /// Bytes of a tree block.
    pub node_size: u32,
    /// The checksums' algorithm.
    pub checksum: ChecksumKind,
    /// Features that must be known.
    pub incompat: Incompat,
    /// Features that must be known to write.
    pub compat_ro: CompatRo,
    /// Generation of the free space cache (v1); all ones for none.
    pub cache_generation: u64,
    /// Generation of the UUID tree.
    pub uuid_tree_generation: u64,
}

impl Superblock {
    /// Checks a superblock that was read, of the copy that belongs at `place`: magic, checksum, every member.
    pub fn check(
        raw: &RawSuperblock,
        place: Physical,
        checksums: &dyn Checksums,
    ) -> Result<Superblock, SuperblockError> {
        if raw.magic.get() != SUPERBLOCK_MAGIC {
            return Err(SuperblockError::NotBtrfs);
        }
        let corrupt = |flaw: Flaw| SuperblockError::Corrupt(flaw.at(Site::Superblock(place)));
        let kind = ChecksumKind::try_from(raw.csum_type.get()).map_err(corrupt)?;
        if !checksums.has(kind) {
            return Err(SuperblockError::NoChecksum(kind));
        }
        check_seal(raw.as_bytes(), kind, checksums).map_err(corrupt)?;
        ensure_eq(
            "superblock is for another place",
            raw.addr.get(),
            place.get(),
        )
        .map_err(corrupt)?;
        Self::check_to_write(raw)
    }

    /// Checks a superblock that is about to be written: all but what sealing sets.
    pub fn check_to_write(raw: &RawSuperblock) -> Result<Superblock, SuperblockError> {
        if raw.magic.get() != SUPERBLOCK_MAGIC {
            return Err(SuperblockError::NotBtrfs);
        }
        // Features first: with unknown ones, nothing else has to make sense.
        let unsupported = Incompat::new(raw.incompat_flags.get()).without(Incompat::SUPPORTED);
        if !unsupported.is_empty() {
            return Err(SuperblockError::Unsupported(unsupported));
        }
        let state = SuperFlags::new(raw.flags.get()).without(SuperFlags::SUPPORTED);
        if !state.is_empty() {
            return Err(SuperblockError::UnsupportedState(state));
        }
        let place = Physical::new(raw.addr.get());
        let corrupt = |flaw: Flaw| SuperblockError::Corrupt(flaw.at(Site::Superblock(place)));
        let superblock = Self::from_raw(raw).map_err(corrupt)?;
        superblock.check_sizes(raw).map_err(corrupt)?;
        superblock.check_roots().map_err(corrupt)?;
        superblock.check_device(raw).map_err(corrupt)?;
        superblock.check_system_chunks(raw).map_err(corrupt)?;
        Ok(superblock)
    }

    /// Where the tree of trees starts.
    pub const fn root_pointer(&self) -> RootPointer {
        RootPointer {
            addr: self.root,
            level: self.root_level,
            generation: self.generation,
        }
    }

    /// Where the chunk tree starts.
    pub const fn chunk_root_pointer(&self) -> RootPointer {
        RootPointer {
            addr: self.chunk_root,
            level: self.chunk_root_level,
            generation: self.chunk_root_generation,
        }
    }

    /// The constants for the gate of tree blocks.
    pub const fn format(&self) -> Format {
        Format {
            node_size: self.node_size,
            sector_size: self.sector_size,
            checksum: self.checksum,
            metadata_uuid: self.metadata_uuid,
            incompat: self.incompat,
            compat_ro: self.compat_ro,
        }
    }

    /// Whether it says that there are free space caches (v1), or shall be. Its number says so where there can be none, too: beside
    /// a free space tree, or what needs one.
    pub const fn has_caches(&self) -> bool {
        let has_tree = self.compat_ro.contains(CompatRo::FREE_SPACE_TREE)
            || self.compat_ro.contains(CompatRo::BLOCK_GROUP_TREE)
            || self.incompat.contains(Incompat::ZONED);
        !has_tree && self.cache_generation != 0
    }

    fn from_raw(raw: &RawSuperblock) -> Result<Self, Flaw> {
        let incompat = Incompat::new(raw.incompat_flags.get());
        let differs = incompat.contains(Incompat::METADATA_UUID);
        Ok(Self {
            fsid: raw.fsid,
            metadata_uuid: if differs { raw.metadata_uuid } else { raw.fsid },
            flags: SuperFlags::new(raw.flags.get()),
            generation: Generation::new(raw.generation.get()),
            root: Logical::new(raw.root.get()),
            root_level: raw.root_level,
            chunk_root: Logical::new(raw.chunk_root.get()),
            chunk_root_level: raw.chunk_root_level,
            chunk_root_generation: Generation::new(raw.chunk_root_generation.get()),
            log_root: Logical::new(raw.log_root.get()),
            log_root_level: raw.log_root_level,
            total_bytes: Bytes::new(raw.total_bytes.get()),
            bytes_used: Bytes::new(raw.bytes_used.get()),
            num_devices: raw.num_devices.get(),
            sector_size: raw.sector_size.get(),
            node_size: raw.node_size.get(),
            checksum: raw.csum_type.get().try_into()?,
            incompat,
            compat_ro: CompatRo::new(raw.compat_ro_flags.get()),
            cache_generation: raw.cache_generation.get(),
            uuid_tree_generation: raw.uuid_tree_generation.get(),
        })
    }

    fn check_sizes(&self, raw: &RawSuperblock) -> Result<(), Flaw> {
        let (sector, node) = (self.sector_size, self.node_size);
        let fits = |size: u32, least: u32| {
            size.is_power_of_two() && size >= least && size <= MAX_NODE_SIZE
        };
        ensure(
            fits(sector, MIN_BLOCK_SIZE),
            "sector size is wrong",
            sector.into(),
            4096,
        )?;
        ensure(
            fits(node, sector),
            "node size is wrong",
            node.into(),
            sector.into(),
        )?;
        ensure_eq(
            "leaf size is not the node size",
            raw.leaf_size.get().into(),
            node.into(),
        )?;
        let stripe = raw.stripe_size.get();
        ensure(
            stripe.is_power_of_two(),
            "stripe size is wrong",
            stripe.into(),
            sector.into(),
        )?;
        let least = Bytes::from(node).saturating_mul(6);
        ensure(
            self.bytes_used >= least,
            "too few bytes are used",
            self.bytes_used.get(),
            least.get(),
        )
    }

    fn check_roots(&self) -> Result<(), Flaw> {
        for (addr, level) in [
            (self.root, self.root_level),
            (self.chunk_root, self.chunk_root_level),
            (self.log_root, self.log_root_level),
        ] {
            ensure(
                level < MAX_LEVELS,
                "root's level is too high",
                level.into(),
                HIGHEST_LEVEL.into(),
            )?;
            ensure_aligned(
                "root's address is not aligned",
                addr.get(),
                self.sector_size,
            )?;
        }
        ensure(self.root.get() > 0, "tree of trees has no root", 0, 1)?;
        ensure(self.chunk_root.get() > 0, "chunk tree has no root", 0, 1)?;
        let generation = self.generation.get();
        // The next transactions count on from here.
        ensure_max("generation is out of range", generation, u64::MAX >> 1)?;
        let chunk = self.chunk_root_generation.get();
        ensure_max("chunk tree is newer than the superblock", chunk, generation)
    }

    fn check_device(&self, raw: &RawSuperblock) -> Result<(), Flaw> {
        ensure(self.num_devices > 0, "there are no devices", 0, 1)?;
        let device = DevItem::try_from(&raw.dev_item)?;
        let (found, _) = device.fsid.key_halves();
        let (expected, _) = self.metadata_uuid.key_halves();
        let ours = device.fsid == self.metadata_uuid;
        ensure(ours, "device is of another file system", found, expected)
    }

    fn check_system_chunks(&self, raw: &RawSuperblock) -> Result<(), Flaw> {
        let size = raw.sys_chunk_array_size.get();
        let room = size64(raw.sys_chunk_array.len());
        ensure_max("system chunks are too long", size.into(), room)?;
        ensure(size > 0, "there are no system chunks", 0, 1)?;
        for chunk in raw.system_chunks() {
            let (key, chunk) = chunk?;
            chunk.check_place(&key, self.sector_size)?;
            let system = chunk.flags.contains(BlockGroupFlags::SYSTEM);
            ensure(system, "system chunk is none", chunk.flags.get(), 2)?;
        }
        Ok(())
    }
}

impl RawSuperblock {
    /// The name that users gave, up to the first zero.
    pub fn label(&self) -> &[u8] {
        self.label.split(|&byte| byte == 0).next().unwrap_or(&[])
    }

    /// Makes it ready to go out as the copy that belongs at `place`: its address, the flag and the checksum.
    pub fn seal(&mut self, place: Physical, kind: ChecksumKind, checksums: &dyn Checksums) {
        self.addr.set(place.get());
        self.flags.set(
            SuperFlags::new(self.flags.get())
                .with(SuperFlags::WRITTEN)
                .get(),
        );
        seal(self.as_mut_bytes(), kind, checksums);
    }
}
