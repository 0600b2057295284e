// SPDX-License-Identifier: GPL-2.0
//! Where new data goes.

use crate::fixture::*;
use engine::disk::{BlockGroupFlags, Bytes, DeviceId, Logical, Physical};
use engine::volume::{Chunk, DeviceAddress, Volume, WriteTarget};
use harness::tools;
use harness::walker::walk;
use kernel::prelude::*;
use kernel::sync::Arc;

fn data_chunk(volume: &Volume) -> Arc<Chunk> {
    let mut at = Logical::new(0);
    loop {
        let chunk = volume.chunk_from(at).expect("mkfs makes a group for data");
        if chunk.flags.contains(BlockGroupFlags::DATA) {
            return chunk;
        }
        at = chunk.end();
    }
}

fn behind(start: Physical, offset: u64) -> DeviceAddress {
    DeviceAddress {
        devid: DeviceId::new(1),
        at: Physical::new(start.get() + offset),
    }
}

#[test]
fn data_goes_where_its_address_is() {
    let image = tools::mkfs(1 << 30, &[]);
    let walked = walk(&image);
    let volume = open_whole(&device(image), &walked);
    let chunk = data_chunk(&volume);
    let addr = Logical::new(chunk.logical.get() + 12288);
    let target = volume.data().target(addr, Bytes::new(8192)).unwrap();
    assert_eq!(target, WriteTarget::At(behind(chunk.stripes[0].at, 12288)));
    assert_eq!(volume.data().target(addr, chunk.len).unwrap_err(), EUCLEAN);
    assert_eq!(
        volume
            .data()
            .target(Logical::new(0), Bytes::new(4096))
            .unwrap_err(),
        EUCLEAN
    );
}

#[test]
fn on_sequential_zones_data_is_appended() {
    let (image, walked) = zoned_image();
    let volume = open_whole(&device(image), &walked);
    let chunk = data_chunk(&volume);
    let zone = chunk.stripes[0].at;
    let addr = Logical::new(chunk.logical.get() + 12288);
    let target = volume.data().target(addr, Bytes::new(8192)).unwrap();
    assert_eq!(target, WriteTarget::Append(behind(zone, 0)));
    // The device tells where it went: anywhere in the zone, and nowhere else.
    let appended = |at: u64, len| volume.data().appended_at(addr, len, Physical::new(at));
    let last = chunk.len.get() - 8192;
    for offset in [0, 4096, last] {
        let went = appended(zone.get() + offset, Bytes::new(8192)).unwrap();
        assert_eq!(went.get(), chunk.logical.get() + offset);
    }
    for (at, len) in [
        (zone.get() - 4096, 8192),
        (zone.get() + last + 4096, 8192),
        (zone.get() + last, u64::MAX),
    ] {
        assert_eq!(appended(at, Bytes::new(len)).unwrap_err(), EIO);
    }
}
