// SPDX-License-Identifier: GPL-2.0
//! A mounted volume on simulated devices: the layers of the engine, all or those below the files.

use crate::checksums::HostChecksums;
use crate::device::{self, Image, SimDevice};
use crate::store::{HostStore, OnVolume};
use engine::btree::Store;
use engine::disk::{Bytes, Checksums, Key, Kind, Logical, ObjectId};
use engine::fs::{self, FileSystem, New, NewExtent, NewKind, Subvolume, Time};
use engine::space::Space;
use engine::txn::{self, Transactions, Units};
use engine::volume::device::Device;
use engine::volume::{self, Volume, WriteTarget, Writes};
use kernel::prelude::*;
use kernel::sync::Arc;
use std::vec::Vec;

/// Read-only or read-write.
pub use engine::txn::Access;

/// The layers below the files.
pub struct Layers {
    /// The devices.
    pub devices: std::vec::Vec<Arc<SimDevice>>,
    /// The volume on them.
    pub volume: Arc<Volume>,
    /// The block cache.
    pub store: Arc<HostStore<OnVolume>>,
    /// The transactions.
    pub txns: Arc<Transactions>,
}

/// A mounted volume.
pub struct Mounted {
    layers: Layers,
    /// The files.
    pub fs: Arc<FileSystem>,
    /// The top of the files.
    pub subvolume: Subvolume,
}

impl std::ops::Deref for Mounted {
    type Target = Layers;

    fn deref(&self) -> &Layers {
        &self.layers
    }
}

/// The time of changes, where it does not matter.
pub const NOW: Time = Time { sec: 1, nsec: 0 };

/// A new regular file.
pub const FILE: New<'static> = New {
    kind: NewKind::File,
    mode: 0o100644,
    uid: 1,
    gid: 2,
    now: &NOW,
    xattrs: &[],
};

/// A new directory.
pub const DIRECTORY: New<'static> = New {
    kind: NewKind::Directory,
    mode: 0o040755,
    ..FILE
};

/// Devices that hold `images`.
pub fn devices(images: std::vec::Vec<Image>) -> Result<std::vec::Vec<Arc<SimDevice>>> {
    let device = |image| SimDevice::new(image, device::Access::ReadWrite);
    images
        .into_iter()
        .map(|image| Ok(Arc::new(device(image), GFP_KERNEL)?))
        .collect()
}

impl Layers {
    /// Mounts the volume on devices, opened for no more than the options ask for.
    pub fn mount<S: Store + 'static>(
        devices: std::vec::Vec<Arc<SimDevice>>,
        options: txn::Options,
        wrap: impl FnOnce(Arc<HostStore<OnVolume>>) -> Result<Arc<S>>,
    ) -> Result<Self> {
        let writes = match options.access {
            Access::ReadOnly => Writes::Never,
            Access::ReadWrite => Writes::Now,
        };
        Self::mount_opened(devices, writes, options, wrap)
    }

    /// Mounts the volume on devices, opened for `writes`, with something between the transactions and the block cache.
    pub fn mount_opened<S: Store + 'static>(
        devices: std::vec::Vec<Arc<SimDevice>>,
        writes: Writes,
        options: txn::Options,
        wrap: impl FnOnce(Arc<HostStore<OnVolume>>) -> Result<Arc<S>>,
    ) -> Result<Self> {
        let mut dynamic = KVec::new();
        for device in &devices {
            let device: Arc<dyn Device> = device.clone();
            dynamic.push(device, GFP_KERNEL)?;
        }
        let checksums: Arc<dyn Checksums> = Arc::new(HostChecksums, GFP_KERNEL)?;
        let copies = volume::Copies::Primary;
        let volume = Volume::open(dynamic, checksums, volume::Options { writes, copies })?;
        let store = Arc::new(HostStore::new(OnVolume::new(volume.clone())), GFP_KERNEL)?;
        let wrapped: Arc<dyn Store> = wrap(store.clone())?;
        let txns = Transactions::open(volume.clone(), wrapped, options)?;
        store.attach(txns.space().write_order().clone());
        txns.keep_free_space_as_wanted()?;
        Ok(Self {
            devices,
            volume,
            store,
            txns,
        })
    }

    /// Its only device.
    pub fn device(&self) -> &Arc<SimDevice> {
        assert_eq!(self.devices.len(), 1);
        &self.devices[0]
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
}

impl Mounted {
    /// Mounts the volume on new devices with these contents.
    pub fn mount(images: std::vec::Vec<Image>, access: Access) -> Result<Self> {
        Self::mount_on(devices(images)?, access)
    }

    /// Mounts the volume on devices.
    pub fn mount_on(devices: std::vec::Vec<Arc<SimDevice>>, access: Access) -> Result<Self> {
        Self::mount_with(devices, txn::Options::new(access))
    }

    /// Mounts the volume on devices, with options.
    pub fn mount_with(
        devices: std::vec::Vec<Arc<SimDevice>>,
        options: txn::Options,
    ) -> Result<Self> {
        let access = options.access;
        let layers = Layers::mount(devices, options, Ok)?;
        let fs = FileSystem::open(layers.txns.clone(), fs::Options::new())?;
        let subvolume = fs.subvolumes().default()?;
        if access == Access::ReadWrite {
            // As at the edge: a subvolume that may not be written keeps its orphans.
            let _ = fs.inodes().clean_orphans(&subvolume);
        }
        Ok(Self {
            layers,
            fs,
            subvolume,
        })
    }

    /// Commits and unmounts; what the devices hold then.
    pub fn unmount(self) -> Result<std::vec::Vec<Image>> {
        self.layers.unmount()
    }

    /// Reads data, whole sectors, from any copy.
    pub fn read_data(&self, addr: Logical, buf: &mut [u8]) -> Result {
        self.volume.data().read(addr, buf)
    }

    /// Writes the data of a new extent: appended on sequential zones, else to all copies.
    pub fn put_data(&self, extent: &mut NewExtent, bytes: &[u8]) -> Result {
        let logical = extent.get().logical;
        let data = self.volume.data();
        match data.target(logical, Bytes::from(bytes.len()))? {
            WriteTarget::Append(_) => extent.move_to(data.write_extent(logical, bytes)?),
            WriteTarget::At(_) => self.write_data(logical, bytes)?,
        }
        Ok(())
    }

    /// Writes data, whole sectors, to all copies.
    pub fn write_data(&self, addr: Logical, bytes: &[u8]) -> Result {
        let mut begun = KVec::new();
        self.volume.data().begin_write(addr, bytes, &mut begun)?;
        begun.iter().try_for_each(|write| write.wait())
    }

    /// Leaves checksums of so many sectors from `start` on, none of them right, as the log replay of old kernels did.
    pub fn leave_stale_sums(&self, start: Logical, sectors: usize) {
        let tree = self.txns.required_tree(ObjectId::CSUM_TREE).unwrap();
        let handle = self.txns.start(Units::inserts(1)).unwrap();
        let key = Key::new(ObjectId::EXTENT_CSUM.get(), Kind::EXTENT_CSUM, start.get());
        let sum = self.volume.format().checksum.size();
        tree.insert(&handle, &key, &vec![0xee; sectors * sum])
            .unwrap();
    }
}

/// The ranges that are free, `[start, end)`, ascending. Reads where all groups are free.
pub fn free_ranges(space: &Space) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    space.each_free(|start, len| ranges.push((start.get(), start.get() + len.get())));
    ranges.sort_unstable();
    ranges
}
