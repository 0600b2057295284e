// SPDX-License-Identifier: GPL-2.0
//! A volume mounted on a simulated device, up to the transactions.

use engine::btree::Store;
use engine::txn::{Access, Clock, Options, Transactions};
use engine::volume::device::Device;
use engine::volume::{self, Volume};
use harness::checksums::HostChecksums;
use harness::device::zones::ZoneLayout;
use harness::device::{Access as DeviceAccess, Image, SimDevice};
use harness::store::{HostStore, OnVolume};
use harness::tools;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::vec::Vec;

/// A file system on a device with so many zones, of which as many are active as C wants at least and some more.
pub(crate) fn zoned_image(zones: u64, capacity: u64) -> Image {
    let layout = ZoneLayout {
        max_active: Some(14),
        ..tools::zone_layout(capacity)
    };
    tools::mkfs_zoned(zones, &["-m", "single", "-d", "single"], layout)
}

struct HostClock(std::time::Instant);

impl Clock for HostClock {
    fn now_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// The layers of a mount below the files.
pub(crate) struct Mounted {
    pub device: Arc<SimDevice>,
    pub store: Arc<HostStore<OnVolume>>,
    pub txns: Arc<Transactions>,
}

impl Mounted {
    /// Mounts what a device holds.
    pub(crate) fn mount(image: Image) -> Result<Self> {
        Self::mount_with(image, Options::new(Access::ReadWrite))
    }

    /// The same, with options.
    pub(crate) fn mount_with(image: Image, options: Options) -> Result<Self> {
        Self::mount_over(image, options, Ok)
    }

    /// The same, with something between the transactions and the store.
    pub(crate) fn mount_over<S: Store + 'static>(
        image: Image,
        mut options: Options,
        wrap: impl FnOnce(Arc<HostStore<OnVolume>>) -> Result<Arc<S>>,
    ) -> Result<Self> {
        let device = Arc::new(SimDevice::new(image, DeviceAccess::ReadWrite), GFP_KERNEL)?;
        let as_dyn: Arc<dyn Device> = device.clone();
        let mut devices = KVec::new();
        devices.push(as_dyn, GFP_KERNEL)?;
        let access = match options.access {
            Access::ReadOnly => volume::Access::ReadOnly,
            Access::ReadWrite => volume::Access::ReadWrite,
        };
        let copies = volume::Copies::Primary;
        let checksums = Arc::new(HostChecksums, GFP_KERNEL)?;
        let volume = Volume::open(devices, checksums, volume::Options { access, copies })?;
        let store = Arc::new(HostStore::new(OnVolume::new(volume.clone())), GFP_KERNEL)?;
        let clock: Arc<dyn Clock> = Arc::new(HostClock(std::time::Instant::now()), GFP_KERNEL)?;
        options.clock = Some(clock);
        let as_dyn: Arc<dyn Store> = wrap(store.clone())?;
        let txns = Transactions::open(volume, as_dyn, options)?;
        store.attach(txns.space().write_order().clone());
        Ok(Self {
            device,
            store,
            txns,
        })
    }

    /// The last commit; what the device holds then.
    pub(crate) fn unmount(self) -> Image {
        self.txns.close().expect("the last commit");
        assert_eq!(self.store.dirty(), 0, "blocks left behind");
        assert_eq!(self.device.violations(), Vec::<String>::new());
        self.txns.space().audit().unwrap();
        self.device.image()
    }
}
