// SPDX-License-Identifier: GPL-2.0
//! A volume mounted on a simulated device, up to the transactions.

use engine::btree::Store;
use engine::disk::Timespec;
use engine::txn::{Access, Clock, Options};
use harness::device::zones::ZoneLayout;
use harness::device::Image;
use harness::mount::{devices, Layers};
use harness::store::{HostStore, OnVolume};
use harness::tools;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::vec;
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

    fn real_time(&self) -> Timespec {
        Timespec::default()
    }
}

/// Mounts what a device holds.
pub(crate) fn mount(image: Image) -> Result<Layers> {
    mount_with(image, Options::new(Access::ReadWrite))
}

/// Mounts what a device holds, with options.
pub(crate) fn mount_with(image: Image, options: Options) -> Result<Layers> {
    mount_over(image, options, Ok)
}

/// Mounts what a device holds, with something between the transactions and the store.
pub(crate) fn mount_over<S: Store + 'static>(
    image: Image,
    mut options: Options,
    wrap: impl FnOnce(Arc<HostStore<OnVolume>>) -> Result<Arc<S>>,
) -> Result<Layers> {
    let clock: Arc<dyn Clock> = Arc::new(HostClock(std::time::Instant::now()), GFP_KERNEL)?;
    options.clock = Some(clock);
    Layers::mount(devices(vec![image])?, options, wrap)
}

/// The last commit; what the device holds then.
pub(crate) fn unmount(mounted: Layers) -> Image {
    mounted.txns.close().expect("the last commit");
    assert_eq!(mounted.store.dirty(), 0, "blocks left behind");
    assert_eq!(mounted.violations(), Vec::<String>::new());
    mounted.txns.space().audit().unwrap();
    mounted.device().image()
}
