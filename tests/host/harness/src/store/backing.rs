// SPDX-License-Identifier: GPL-2.0
//! What a [`super::HostStore`] reads from and writes to.

use crate::device::{Access, Image, SimDevice};
use engine::btree::Identity;
use engine::disk::{
    ChecksumKind, CompatRo, DeviceId, Format, Generation, Incompat, Logical, Physical, Uuid,
};
use engine::volume::device::Device;
use kernel::prelude::Result;
use std::sync::Arc;

/// The devices under a store and the way to them.
pub trait Backing: Send + Sync {
    /// The file system's constants.
    fn format(&self) -> Format;
    /// What block headers say of the file system.
    fn identity(&self) -> Identity;
    /// The newest generation that may be met.
    fn newest(&self) -> Generation;
    /// Where the copies of a block are: device and address.
    fn places(&self, addr: Logical, len: u64) -> Result<Vec<(DeviceId, Physical)>>;
    /// A device.
    fn device(&self, devid: DeviceId) -> &dyn Device;
    /// Whether blocks at the address go out in the order of their addresses.
    fn is_ordered(&self, addr: Logical) -> bool;

    /// `EROFS` where no block is sent any more.
    fn check_sending(&self) -> Result {
        Ok(())
    }

    /// Whether a bad copy may be written over.
    fn may_repair(&self, device: DeviceId, at: Physical) -> bool {
        let _ = at;
        let device = self.device(device);
        !device.is_read_only() && device.zones().is_none()
    }
}

/// One device, logical addresses as they are; no superblock. For tests of single trees.
#[derive(Clone)]
pub struct Flat {
    device: Arc<SimDevice>,
    format: Format,
}

impl Flat {
    /// A device of `size` zeros with tree blocks of `node_size`.
    pub fn new(size: u64, node_size: u32) -> Self {
        let format = Format {
            node_size,
            sector_size: 4096,
            checksum: ChecksumKind::Crc32c,
            metadata_uuid: Uuid([7; 16]),
            incompat: Incompat::MIXED_BACKREF
                .with(Incompat::BIG_METADATA)
                .with(Incompat::EXTENDED_IREF)
                .with(Incompat::SKINNY_METADATA)
                .with(Incompat::NO_HOLES),
            compat_ro: CompatRo::NONE,
        };
        let device = Arc::new(SimDevice::new(Image::new(size, None), Access::ReadWrite));
        Self { device, format }
    }
}

impl Backing for Flat {
    fn format(&self) -> Format {
        self.format
    }

    fn identity(&self) -> Identity {
        Identity {
            fsid: self.format.metadata_uuid,
            chunk_tree_uuid: Uuid([8; 16]),
        }
    }

    fn newest(&self) -> Generation {
        Generation::new(u64::MAX)
    }

    fn places(&self, addr: Logical, _len: u64) -> Result<Vec<(DeviceId, Physical)>> {
        Ok(vec![(DeviceId::new(0), Physical::new(addr.get()))])
    }

    fn device(&self, _devid: DeviceId) -> &dyn Device {
        &*self.device
    }

    fn is_ordered(&self, _addr: Logical) -> bool {
        false
    }
}
