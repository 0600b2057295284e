// SPDX-License-Identifier: GPL-2.0
//! What a volume's superblocks say, and how that changes and goes out.

use super::SuperblockImage;
use crate::disk::{Bytes, DeviceId, RootBackup, Superblock, SuperblockBytes};
use crate::volume::{Chunk, Volume};
use latch::prelude::*;

/// The superblocks of a volume, in memory and on its devices: [`Volume::superblocks`].
#[derive(Clone, Copy)]
pub struct Superblocks<'a>(&'a Volume);

impl Volume {
    /// The superblocks, to be read, changed and written.
    pub fn superblocks(&self) -> Superblocks<'_> {
        Superblocks(self)
    }
}

impl Superblocks<'_> {
    /// Bytes of all devices that may be used (C: `total_rw_bytes`).
    pub fn total_bytes(&self) -> Bytes {
        let superblock = self.0.superblock.lock();
        let bytes = superblock.devices.iter().map(|device| device.total_bytes);
        bytes.fold(Bytes::ZERO, Bytes::saturating_add)
    }

    /// Bytes of a device that may be used, as its superblock says.
    pub fn device_bytes(&self, devid: DeviceId) -> Option<Bytes> {
        let superblock = self.0.superblock.lock();
        superblock.device(devid).map(|device| device.total_bytes)
    }

    /// Reads what [`Superblock`] leaves out of the superblock in memory: backups, system chunks.
    pub fn read<R>(&self, read: impl FnOnce(&SuperblockBytes) -> R) -> R {
        read(&self.0.superblock.lock().bytes)
    }

    /// Changes the superblock in memory, as far as [`SuperblockBytes::write`] goes. It goes out with the next
    /// [`Self::take`].
    pub fn update(&self, change: impl FnOnce(&mut Superblock)) {
        self.0.superblock.lock().change(change);
    }

    /// Changes in memory what the superblocks of a device say of its bytes in chunks.
    pub fn set_device_used(&self, devid: DeviceId, used: Bytes) {
        self.0.superblock.lock().set_device_used(devid, used);
    }

    /// The volume's label with the zeroes behind it, one at least (C: `BTRFS_LABEL_SIZE`).
    pub fn label(&self) -> [u8; 256] {
        let mut label = [0; 256];
        self.read(|bytes| {
            let shown = Iterator::zip(label.iter_mut().take(255), bytes.label());
            shown.for_each(|(to, from)| *to = *from);
        });
        label
    }

    /// Changes the volume's label in memory, in the same way.
    pub fn set_label(&self, label: &[u8]) {
        self.0.superblock.lock().bytes.set_label(label);
    }

    /// Puts a backup in the place of the oldest one.
    pub fn push_backup(&self, backup: &RootBackup) {
        self.0.superblock.lock().bytes.push_backup(backup);
    }

    /// The superblock in memory as it is now, to be written later.
    pub fn take(&self) -> Result<SuperblockImage> {
        let mut image = SuperblockImage::new(self.0.devices())?;
        image.copy(&self.0.superblock.lock())?;
        Ok(image)
    }

    /// Writes a superblock to all its places on all devices.
    ///
    /// All metadata it leads to must have been written (not necessarily flushed): before the first goes out the devices are
    /// flushed, and the primary of each is durable on return. An error means that one may not be. Other copies that fail
    /// are logged.
    pub fn write(&self, image: SuperblockImage) -> Result {
        self.0.check_sending()?;
        let mut writer = self.0.writer.lock();
        self.0.members.flush_others()?;
        let devices = self.0.members.iter().map(|member| &*member.device);
        writer.write(devices, image, &*self.0.checksums)
    }

    /// How many more system chunks like this one the superblock in memory has room for.
    pub fn room_for_system_chunks(&self, chunk: &Chunk) -> usize {
        self.0.superblock.lock().room_for(chunk)
    }

    /// Adds a system chunk to the superblock in memory (C: `btrfs_add_system_chunk`). `EFBIG` when there is no room.
    pub fn add_system_chunk(&self, chunk: &Chunk) -> Result {
        self.0.superblock.lock().add_chunk(chunk)
    }
}
