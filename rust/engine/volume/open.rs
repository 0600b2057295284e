// SPDX-License-Identifier: GPL-2.0
//! From devices to a volume.

use super::chunk_map::ChunkMap;
use super::device::{Device, SECTOR};
use super::hal::{Hal, Regular, Zoned};
use super::members::{Member, Members};
use super::superblock::{find, join, InMemory, Places, SuperblockWriter};
use super::writes::State;
use super::{Chunk, Options, Volume, Writes, NO_DEVICE};
use crate::disk::{
    Bytes, Checksums, CompatRo, DevItem, Flaw, Incompat, Logical, Site, Superblock,
    SUPERBLOCK_PLACES,
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
        let mut writer = SuperblockWriter {
            places: KVec::new(),
        };
        let mut superblock = None;
        for device in devices.iter() {
            let mut places = Places::of(&**device)?;
            let found = find(&**device, &mut places, options.copies, &*checksums)?;
            writer.places.push(places, GFP_KERNEL)?;
            superblock = Some(match superblock {
                None => found,
                Some(before) => join(before, found)?,
            });
        }
        let superblock = superblock.ok_or(EINVAL)?;
        let checked = &superblock.checked;
        if checked.num_devices != u64::try_from(devices.len())? {
            // Who mounts cannot find the others.
            let count = checked.num_devices;
            pr_err!("volumes of {count} devices are not supported\n");
            return Err(EOPNOTSUPP);
        }
        for (device, item) in devices.iter().zip(superblock.devices.iter()) {
            check_device(&**device, item, checked)?;
        }
        let writes = choose_writes(&devices, checked, options.writes);
        let volume = Volume {
            members: members(devices, &superblock)?,
            format: checked.format(),
            checksums,
            writes: State::new(writes),
            writer: Mutex::new(writer, Rank::SuperblockWriter)?,
            superblock: Mutex::new(superblock, Rank::Superblock)?,
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
        self.superblocks().read(|bytes| {
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
    flaw.at(Site::Superblock(SUPERBLOCK_PLACES[0])).report()
}

/// The devices, with what the superblocks say of them.
#[inline(never)]
fn members(devices: KVec<Arc<dyn Device>>, superblock: &InMemory) -> Result<Members> {
    let mut first = None;
    let mut others = KVec::new();
    for (device, item) in devices.into_iter().zip(superblock.devices.iter()) {
        let member = Member {
            hal: choose_hal(&device, item, &superblock.checked)?,
            device,
            devid: item.devid,
            uuid: item.uuid,
        };
        match first {
            None => first = Some(member),
            Some(_) => others.push(member, GFP_KERNEL)?,
        }
    }
    let first = first.ok_or(NO_DEVICE)?;
    Ok(Members { first, others })
}

/// Whether this code can use the volume on this device.
fn check_device(device: &dyn Device, item: &DevItem, superblock: &Superblock) -> Result {
    if Bytes::from(superblock.sector_size) != SECTOR {
        pr_err!(
            "sectors of {} bytes are not supported\n",
            superblock.sector_size
        );
        return Err(EOPNOTSUPP);
    }
    let (needed, size) = (item.total_bytes, device.size());
    if needed > size {
        pr_err!(
            "device {} has {} bytes, the file system needs {}\n",
            item.devid,
            size,
            needed
        );
        return Err(EINVAL);
    }
    if device.zones().is_some() && !superblock.incompat.contains(Incompat::ZONED) {
        pr_err!(
            "device {} has zones, the file system was not made for them\n",
            item.devid
        );
        return Err(EINVAL);
    }
    Ok(())
}

fn choose_writes(devices: &[Arc<dyn Device>], superblock: &Superblock, asked: Writes) -> Writes {
    if asked == Writes::Never || devices.iter().any(|device| device.is_read_only()) {
        return Writes::Never;
    }
    if superblock.format().is_read_only() {
        let unknown = superblock.compat_ro.without(CompatRo::SUPPORTED);
        pr_warn!("read-only, because of features: {}\n", unknown);
        return Writes::Never;
    }
    asked
}

/// The one place that asks what kind of volume it is.
#[inline(never)]
fn choose_hal(
    device: &Arc<dyn Device>,
    item: &DevItem,
    superblock: &Superblock,
) -> Result<KBox<dyn Hal>> {
    if superblock.incompat.contains(Incompat::ZONED) {
        let zoned = Zoned::new(device.clone(), item)?;
        return Ok(KBox::new(zoned, GFP_KERNEL)?);
    }
    Ok(KBox::new(
        Regular {
            total_bytes: item.total_bytes,
        },
        GFP_KERNEL,
    )?)
}
