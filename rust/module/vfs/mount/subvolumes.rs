// SPDX-License-Identifier: GPL-2.0

//! The subvolumes in use: what the VFS shows of each, and their orphans.

use super::Mount;
use crate::linux::super_block::AnonymousDevice;
use crate::linux::time::monotonic_ns;
use crate::linux::SuperBlock;
use crate::vfs::node::{SubvolumeView, ViewInUse};
use engine::disk::ObjectId;
use engine::fs::Subvolume;
use engine::map::OrdMap;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// How long who makes a volume writable waits for what was left of inodes to be removed, in nanoseconds.
const CLEANING: u64 = 1_000_000_000;

/// The device numbers that the VFS shows for subvolumes. They stay until the end of the mount: by them programs tell
/// files apart whose inodes are not in memory any more.
pub(super) struct SubvolumeDevices(Mutex<OrdMap<ObjectId, AnonymousDevice>>);

impl SubvolumeDevices {
    pub(super) fn new() -> Result<Self> {
        let devices = Mutex::new(OrdMap::new(), Rank::SubvolumeDevices)?;
        Ok(Self(devices))
    }

    /// The number of a subvolume.
    fn of(&self, id: ObjectId) -> Result<u32> {
        let mut devices = self.0.lock();
        if let Some(device) = devices.get(&id) {
            return Ok(device.number());
        }
        let device = AnonymousDevice::new()?;
        let number = device.number();
        devices.insert(id, device)?;
        Ok(number)
    }
}

impl Mount {
    /// The subvolume with what the VFS shows of it.
    pub(in crate::vfs) fn view(&self, sb: &SuperBlock, subvolume: Subvolume) -> Result<ViewInUse> {
        let id = subvolume.id();
        if let Some(view) = self.views.get(&id) {
            return Ok(view);
        }
        // A frozen volume's orphans are cleaned by the thaw, or before an inode of the subvolume loses its last name.
        if let Some(_unfrozen) = sb.hold_unfrozen() {
            // One that may not be written has no use for it.
            let _ = self.fs.inodes().clean_orphans(&subvolume);
        }
        let device = self.devices.of(id)?;
        self.views.add(id, SubvolumeView { subvolume, device })
    }

    /// Finishes what a crash cut in all subvolumes in use: they came into it while nothing could be written. It also
    /// removes what was left of inodes that nobody has open any more.
    pub(super) fn clean_all_orphans(&self) {
        // The committer goes on with it.
        let until = monotonic_ns().saturating_add(CLEANING);
        let _ = self.fs.inodes().clean_left(&|| monotonic_ns() < until);
        let mut next = Some(ObjectId::new(0));
        while let Some(view) = next.and_then(|from| self.views.ceiling(&from)) {
            let _ = self.fs.inodes().clean_orphans(&view.subvolume);
            next = view.key().next();
        }
    }
}
