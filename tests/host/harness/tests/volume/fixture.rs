// SPDX-License-Identifier: GPL-2.0
//! Images of `mkfs.btrfs`, and volumes opened on them.

use engine::disk::raw::RawSuperblock;
use engine::disk::{ChunkItem, DevExtent, Kind, Logical, ObjectId, Physical, Superblock};
use engine::volume::device::Device;
use engine::volume::{Chunk, Copies, DeviceRange, Options, Volume, Writes};
use harness::checksums::HostChecksums;
use harness::device::zones::ZoneLayout;
use harness::device::{Access as DeviceAccess, Image, SimDevice};
use harness::tools;
use harness::walker::{walk, Walked};
use kernel::prelude::*;
use kernel::sync::Arc;
use std::vec::Vec;
use zerocopy::{FromZeros, IntoBytes};

pub(crate) const READ_WRITE: Options = Options {
    writes: Writes::Now,
    copies: Copies::Primary,
};
pub(crate) const DEFERRED: Options = Options {
    writes: Writes::Later,
    copies: Copies::Primary,
};
pub(crate) const RESCUE: Options = Options {
    writes: Writes::Never,
    copies: Copies::Any,
};

/// Writes the superblock as it is in memory now.
pub(crate) fn write_superblocks(volume: &Volume) -> Result {
    volume.superblocks().write(volume.superblocks().take()?)
}

pub(crate) fn device(image: Image) -> Arc<SimDevice> {
    Arc::new(SimDevice::new(image, DeviceAccess::ReadWrite), GFP_KERNEL).unwrap()
}

pub(crate) fn open(device: &Arc<SimDevice>, options: Options) -> Result<Arc<Volume>> {
    let mut devices: KVec<Arc<dyn Device>> = KVec::new();
    devices.push(device.clone(), GFP_KERNEL)?;
    Volume::open(devices, Arc::new(HostChecksums, GFP_KERNEL)?, options)
}

/// Opens an image and adds the chunks that its chunk tree has.
pub(crate) fn open_whole(device: &Arc<SimDevice>, walked: &Walked) -> Arc<Volume> {
    open_whole_with(device, walked, READ_WRITE)
}

/// Opens an image with options, and adds the chunks that its chunk tree has.
pub(crate) fn open_whole_with(
    device: &Arc<SimDevice>,
    walked: &Walked,
    options: Options,
) -> Arc<Volume> {
    let volume = open(device, options).unwrap();
    for (key, data) in walked.items(ObjectId::CHUNK_TREE, Kind::CHUNK_ITEM) {
        let item = ChunkItem::parse(&data[..]).unwrap();
        volume
            .add_chunk(Chunk::from_item(Logical::new(key.offset), &item).unwrap())
            .unwrap();
    }
    if volume.zones().lack_size() {
        volume
            .zones()
            .set_emulated_size(used(walked)[0].len)
            .unwrap();
    }
    volume
}

pub(crate) fn used(walked: &Walked) -> Vec<DeviceRange> {
    let extents = walked.items(ObjectId::DEV_TREE, Kind::DEV_EXTENT);
    let range = |(key, data): &(engine::disk::Key, Vec<u8>)| {
        let extent = DevExtent::parse(key, data).unwrap();
        DeviceRange {
            start: extent.start,
            len: extent.len,
        }
    };
    extents.iter().map(range).collect()
}

pub(crate) fn zoned_image() -> (Image, Walked) {
    zoned_image_of(4096)
}

/// A zoned image on a device with such logical blocks.
pub(crate) fn zoned_image_of(block: u64) -> (Image, Walked) {
    let flat = tools::mkfs(16 * tools::ZONE_SIZE, &["-O", "zoned"]);
    let walked = walk(&flat);
    let layout = ZoneLayout {
        block,
        ..tools::zone_layout(8 << 20)
    };
    (tools::as_zoned(flat, layout), walked)
}

pub(crate) fn superblock_at(image: &Image, at: u64, place: u64) -> Option<Superblock> {
    let mut raw = RawSuperblock::new_zeroed();
    image.pages.read(at, raw.as_mut_bytes());
    Superblock::check(&raw, Physical::new(place), &HostChecksums).ok()
}

/// What a volume asks for when it resets stray zones.
pub(crate) fn in_use(used: &[DeviceRange]) -> Result<KVVec<DeviceRange>> {
    let mut ranges = KVVec::new();
    ranges.extend_from_slice(used, GFP_KERNEL)?;
    Ok(ranges)
}
