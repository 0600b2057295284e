// SPDX-License-Identifier: GPL-2.0
//! A mounted volume on simulated devices: all layers of the engine.

use crate::checksums::HostChecksums;
use crate::device::{self, Image, SimDevice};
use crate::store::{HostStore, OnVolume};
use engine::disk::{Checksums, Logical};
use engine::fs::{self, FileSystem, Subvolume};
use engine::txn::{self, Transactions};
use engine::volume::device::Device;
use engine::volume::{self, Volume};
use kernel::prelude::*;
use kernel::sync::Arc;

/// Read-only or read-write.
pub use engine::txn::Access;

/// A mounted volume.
pub struct Mounted {
    /// The devices.
    pub devices: std::vec::Vec<Arc<SimDevice>>,
    /// The volume on them.
    pub volume: Arc<Volume>,
    /// The block cache.
    pub store: Arc<HostStore<OnVolume>>,
    /// The transactions.
    pub txns: Arc<Transactions>,
    /// The files.
    pub fs: Arc<FileSystem>,
    /// The top of the files.
    pub subvolume: Arc<Subvolume>,
    /// Held from the allocation of file data to the end of its write: on sequential zones data goes where the write
    /// pointer is, and here nobody appends.
    pub data_order: std::sync::Mutex<()>,
}

/// Devices that hold `images`.
pub fn devices(images: std::vec::Vec<Image>) -> std::vec::Vec<Arc<SimDevice>> {
    let device = |image| SimDevice::new(image, device::Access::ReadWrite);
    images
        .into_iter()
        .map(|image| Arc::new(device(image), GFP_KERNEL).expect("memory"))
        .collect()
}

impl Mounted {
    /// Mounts the volume on new devices with these contents.
    pub fn mount(images: std::vec::Vec<Image>, access: Access) -> Result<Self> {
        Self::mount_on(devices(images), access)
    }

    /// Mounts the volume on devices.
    pub fn mount_on(devices: std::vec::Vec<Arc<SimDevice>>, access: Access) -> Result<Self> {
        let (for_volume, for_files) = match access {
            Access::ReadOnly => (volume::Access::ReadOnly, fs::Access::ReadOnly),
            Access::ReadWrite => (volume::Access::ReadWrite, fs::Access::ReadWrite),
        };
        let mut dynamic = KVec::new();
        for device in &devices {
            let device: Arc<dyn Device> = device.clone();
            dynamic.push(device, GFP_KERNEL)?;
        }
        let checksums: Arc<dyn Checksums> = Arc::new(HostChecksums, GFP_KERNEL)?;
        let options = volume::Options {
            access: for_volume,
            copies: volume::Copies::Primary,
        };
        let volume = Volume::open(dynamic, checksums, options)?;
        let store = Arc::new(HostStore::new(OnVolume::new(volume.clone())), GFP_KERNEL)?;
        let txns = Transactions::open(volume.clone(), store.clone(), txn::Options::new(access))?;
        store.attach(txns.space().write_order().clone());
        let options = fs::Options {
            access: for_files,
            max_inline: 2048,
            checksums: true,
        };
        let fs = FileSystem::open(txns.clone(), options)?;
        let subvolume = fs.subvolumes().default()?;
        if access == Access::ReadWrite {
            fs.inodes().clean_orphans(&subvolume)?;
        }
        Ok(Self {
            devices,
            volume,
            store,
            txns,
            fs,
            subvolume,
            data_order: std::sync::Mutex::new(()),
        })
    }

    /// Commits and unmounts; what the devices hold then.
    pub fn unmount(self) -> Result<std::vec::Vec<Image>> {
        self.txns.close()?;
        Ok(self.images())
    }

    /// What the devices hold now.
    pub fn images(&self) -> std::vec::Vec<Image> {
        self.devices.iter().map(|device| device.image()).collect()
    }

    /// What the devices were asked for that no driver may ask.
    pub fn violations(&self) -> std::vec::Vec<String> {
        self.devices
            .iter()
            .flat_map(|device| device.violations())
            .collect()
    }

    fn device(&self, devid: u64) -> Result<&Arc<dyn Device>> {
        self.volume.device(devid).ok_or(ENODEV)
    }

    /// Reads data, whole sectors, from any copy.
    pub fn read_data(&self, addr: Logical, buf: &mut [u8]) -> Result {
        let mut at = addr;
        let mut rest = buf;
        while !rest.is_empty() {
            let mapping = self.volume.map(at, rest.len() as u64)?;
            let (now, later) = rest.split_at_mut(mapping.len as usize);
            let read = |place: &volume::Place| self.device(place.devid)?.read(place.at, now);
            let mut results = mapping.copies().iter().map(read);
            results.find(Result::is_ok).unwrap_or(Err(EIO))?;
            at = at.saturating_add(mapping.len);
            rest = later;
        }
        Ok(())
    }

    /// Writes data, whole sectors, to all copies.
    pub fn write_data(&self, addr: Logical, bytes: &[u8]) -> Result {
        let mut at = addr;
        let mut rest = bytes;
        while !rest.is_empty() {
            let mapping = self.volume.map(at, rest.len() as u64)?;
            let (now, later) = rest.split_at(mapping.len as usize);
            for place in mapping.copies() {
                self.device(place.devid)?.write(place.at, now)?;
            }
            at = at.saturating_add(mapping.len);
            rest = later;
        }
        Ok(())
    }
}
