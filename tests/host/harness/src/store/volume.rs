// SPDX-License-Identifier: GPL-2.0
//! A store over a volume.

use super::Backing;
use engine::btree::Identity;
use engine::disk::{Bytes, DeviceId, Format, Generation, Logical, Physical, Uuid};
use engine::volume::device::Device;
use engine::volume::Volume;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::sync::OnceLock;

/// Reads and writes by a volume's chunk map.
pub struct OnVolume {
    volume: Arc<Volume>,
    chunk_tree_uuid: OnceLock<Uuid>,
}

/// Where a block's header has the chunk tree's UUID.
const CHUNK_TREE_UUID: std::ops::Range<usize> = 64..80;

impl OnVolume {
    /// Over an opened volume.
    pub fn new(volume: Arc<Volume>) -> Self {
        Self {
            volume,
            chunk_tree_uuid: OnceLock::new(),
        }
    }

    /// The root block of the chunk tree has it like any other.
    fn read_chunk_tree_uuid(&self) -> Result<Uuid> {
        let root = self.volume.superblock().chunk_root;
        let mut block = std::vec![0; self.volume.format().node_size as usize];
        let (device, at) = *self.places(root, block.len() as u64)?.first().ok_or(EIO)?;
        self.device(device).read(at, &mut block)?;
        Ok(Uuid(
            block[CHUNK_TREE_UUID].try_into().map_err(|_| EUCLEAN)?,
        ))
    }
}

impl Backing for OnVolume {
    fn format(&self) -> Format {
        *self.volume.format()
    }

    fn identity(&self) -> Identity {
        let chunk_tree_uuid = *self
            .chunk_tree_uuid
            .get_or_init(|| self.read_chunk_tree_uuid().unwrap_or(Uuid::NIL));
        Identity {
            fsid: self.format().metadata_uuid,
            chunk_tree_uuid,
        }
    }

    fn newest(&self) -> Generation {
        self.volume.superblock().generation.next()
    }

    fn places(&self, addr: Logical, len: u64) -> Result<std::vec::Vec<(DeviceId, Physical)>> {
        let mapping = self.volume.map(addr, Bytes::new(len))?;
        if mapping.len < Bytes::new(len) {
            pr_err!("block {addr} crosses the border of a chunk\n");
            return Err(EUCLEAN);
        }
        Ok(mapping
            .copies()
            .iter()
            .map(|place| (place.devid, place.at))
            .collect())
    }

    fn device(&self, devid: DeviceId) -> &dyn Device {
        &**self
            .volume
            .device(devid)
            .expect("the volume names its own devices")
    }

    fn check_sending(&self) -> Result {
        self.volume.check_sending()
    }

    fn is_ordered(&self, addr: Logical) -> bool {
        self.volume
            .chunk(addr)
            .is_ok_and(|chunk| self.volume.zones().is_ordered(&chunk))
    }
}
