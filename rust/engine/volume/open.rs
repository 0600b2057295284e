// SPDX-License-Identifier: GPL-2.0
//! From devices to a volume.

use super::chunk_map::ChunkMap;
use super::device::{Device, SECTOR};
use super::hal::{Hal, Regular, Zoned};
use super::members::{Member, Members};
use super::superblock::{find, Places, Writer};
use super::writes::State;
use super::{Chunk, Options, Volume, Writes};
use crate::disk::{
    Checksums, CompatRo, Flaw, Incompat, Logical, Place, Superblock, SUPERBLOCK_PLACES,
};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank, RwLock};

impl Volume {
    /// Finds the newest valid superblock, checks it, and maps the chunks it lists (those of the chunk tree).
    ///
    /// `EINVAL` where there is no btrfs, `EOPNOTSUPP` for features that are not supported, or it is corrupt,
    /// each with one line in the log.
    pub fn open(
        devices: KVec<Arc<dyn Device>>,
        checksums: Arc<dyn Checksums>,
        options: Options,
    ) -> Result<Arc<Volume>> {
        let [device] = devices.as_slice() else {
            pr_err!("volumes of {} devices are not supported\n", devices.len());
            return Err(EOPNOTSUPP);
        };
        let device = device.clone();
        let mut places = Places::of(&*device)?;
        let found = find(&*device, &mut places, options.copies, &*checksums)?;
        let superblock = &found.checked;
        check_device(&*device, superblock)?;
        let writes = settle_writes(&*device, superblock, options.writes);
        let volume = Volume {
            members: Members {
                first: Member {
                    hal: choose_hal(&device, superblock)?,
                    device,
                    devid: superblock.device.devid,
                    uuid: superblock.device.uuid,
                },
            },
            format: superblock.format(),
            checksums,
            writes: State::new(writes),
            writer: Mutex::new(Writer { places }, Rank::SuperblockWriter)?,
            superblock: Mutex::new(found, Rank::Superblock)?,
            chunks: RwLock::new(ChunkMap::new(), Rank::ChunkMap)?,
        };
        volume.add_system_chunks()?;
        if writes == Writes::Now {
            volume.members.flush()?;
        }
        Ok(Arc::new(volume, GFP_KERNEL)?)
    }

    /// Maps the chunks that the superblock lists: enough to read the chunk tree.
    #[inline(never)]
    fn add_system_chunks(&self) -> Result {
        self.with_superblock(|bytes| {
            for chunk in bytes.system_chunks() {
                let (key, item) = chunk.map_err(in_superblock)?;
                self.add_chunk(Chunk::from_item(Logical::new(key.offset), &item)?)?;
            }
            Ok(())
        })
    }
}

/// The gate has read the list before.
#[cold]
fn in_superblock(flaw: Flaw) -> Error {
    flaw.at(Place::Superblock(SUPERBLOCK_PLACES[0])).report()
}

/// Whether this code can use the volume on this device.
fn check_device(device: &dyn Device, superblock: &Superblock) -> Result {
    if superblock.num_devices != 1 {
        pr_err!(
            "volumes of {} devices are not supported\n",
            superblock.num_devices
        );
        return Err(EOPNOTSUPP);
    }
    if u64::from(superblock.sector_size) != SECTOR {
        pr_err!(
            "sectors of {} bytes are not supported\n",
            superblock.sector_size
        );
        return Err(EOPNOTSUPP);
    }
    let (needed, size) = (superblock.device.total_bytes, device.size());
    if needed > size {
        pr_err!(
            "the device has {} bytes, the file system needs {}\n",
            size,
            needed
        );
        return Err(EINVAL);
    }
    if device.zones().is_some() && !superblock.incompat.contains(Incompat::ZONED) {
        pr_err!("the device has zones, the file system was not made for them\n");
        return Err(EINVAL);
    }
    Ok(())
}

fn settle_writes(device: &dyn Device, superblock: &Superblock, asked: Writes) -> Writes {
    if asked == Writes::Never || device.is_read_only() {
        return Writes::Never;
    }
    if superblock.format().is_read_only() {
        let unknown = superblock.compat_ro.without(CompatRo::SUPPORTED);
        pr_warn!("read-only, because of features: {}\n", unknown);
        return Writes::Never;
    }
    if asked == Writes::Later && superblock.compat_ro.has_stale_free_space() {
        // Free space is not known, and not needed by who only reads.
        return Writes::Never;
    }
    asked
}

/// The one place that asks what kind of volume it is.
#[inline(never)]
fn choose_hal(device: &Arc<dyn Device>, superblock: &Superblock) -> Result<KBox<dyn Hal>> {
    let total_bytes = superblock.device.total_bytes;
    if superblock.incompat.contains(Incompat::ZONED) {
        let zoned = Zoned::new(device.clone(), total_bytes)?;
        return Ok(KBox::new(zoned, GFP_KERNEL)?);
    }
    Ok(KBox::new(Regular { total_bytes }, GFP_KERNEL)?)
}
