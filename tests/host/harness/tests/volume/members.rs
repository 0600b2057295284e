// SPDX-License-Identifier: GPL-2.0
//! Volumes of two devices: which are taken, and how a superblock goes to all.

use crate::fixture::*;
use engine::disk::raw::RawSuperblock;
use engine::disk::{Bytes, ChecksumKind, DeviceId, Physical, Uuid, SUPERBLOCK_PLACES};
use engine::volume::device::Device;
use engine::volume::Volume;
use harness::checksums::HostChecksums;
use harness::device::faults::Request;
use harness::device::{Fate, Image, Recorder, SimDevice};
use harness::random::Random;
use harness::tools;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::vec::Vec;
use zerocopy::{FromZeros, IntoBytes};

const SIZE: u64 = 1 << 30;
/// Where no superblock is.
const ELSEWHERE: u64 = 512 << 20;

/// Changes all superblocks of an image.
fn change(image: &mut Image, change: impl Fn(&mut RawSuperblock)) {
    for &place in &SUPERBLOCK_PLACES[..2] {
        let mut raw = RawSuperblock::new_zeroed();
        image.pages.read(place.get(), raw.as_mut_bytes());
        change(&mut raw);
        raw.seal(place, ChecksumKind::Crc32c, &HostChecksums);
        image.pages.write(place.get(), raw.as_bytes());
    }
}

/// A volume of `mkfs.btrfs` with a second device, which has nothing but superblocks.
fn pair() -> [Image; 2] {
    let mut first = tools::mkfs(SIZE, &[]);
    change(&mut first, |raw| {
        raw.num_devices.set(2);
        raw.total_bytes.set(2 * SIZE);
    });
    let mut second = Image::new(SIZE, None);
    for &place in &SUPERBLOCK_PLACES[..2] {
        let mut bytes = [0; 4096];
        first.pages.read(place.get(), &mut bytes);
        second.pages.write(place.get(), &bytes);
    }
    change(&mut second, |raw| {
        raw.dev_item.devid.set(2);
        raw.dev_item.bytes_used.set(0);
        raw.dev_item.uuid = Uuid([7; 16]);
    });
    [first, second]
}

fn open_all(devices: &[Arc<SimDevice>]) -> Result<Arc<Volume>> {
    let mut given: KVec<Arc<dyn Device>> = KVec::new();
    for device in devices {
        given.push(device.clone(), GFP_KERNEL)?;
    }
    Volume::open(given, Arc::new(HostChecksums, GFP_KERNEL)?, READ_WRITE)
}

/// What the copy at a place says: the generation, the device, and its bytes in chunks.
fn says(image: &Image, place: u64) -> (u64, u64, u64) {
    superblock_at(image, place, place).expect("a good superblock");
    let mut raw = RawSuperblock::new_zeroed();
    image.pages.read(place, raw.as_mut_bytes());
    let item = &raw.dev_item;
    (
        raw.generation.get(),
        item.devid.get(),
        item.bytes_used.get(),
    )
}

#[test]
fn a_superblock_goes_to_every_device_with_the_item_of_its_own() {
    let devices = pair().map(device);
    let volume = open_all(&devices).unwrap();
    assert_eq!(volume.devices(), 2);
    assert_eq!(volume.superblocks().total_bytes(), Bytes::new(2 * SIZE));
    let next = volume.superblock().generation.next();
    volume
        .superblocks()
        .update(|superblock| superblock.generation = next);
    volume
        .superblocks()
        .set_device_used(DeviceId::new(1), Bytes::new(1 << 20));
    volume
        .superblocks()
        .set_device_used(DeviceId::new(2), Bytes::new(2 << 20));
    let image = volume.superblocks().take().unwrap();
    volume
        .superblocks()
        .set_device_used(DeviceId::new(2), Bytes::new(3 << 20));
    volume.superblocks().write(image).unwrap();
    for (device, devid) in devices.iter().zip(1u64..) {
        assert_eq!(device.violations(), Vec::<String>::new());
        for &place in &SUPERBLOCK_PLACES[..2] {
            let expected = (next.get(), devid, devid << 20);
            assert_eq!(says(&device.image(), place.get()), expected);
        }
        let cut = device.after_power_cut(&mut Random::new(1));
        assert_eq!(says(&cut, 65536).0, next.get(), "it was durable on return");
    }
}

/// The first superblock that is durable leads to what all devices were given before.
#[test]
fn all_devices_are_flushed_before_the_first_superblock() {
    let images = pair();
    let devices = images.clone().map(device);
    let volume = open_all(&devices).unwrap();
    let recorder = Recorder::default();
    for (index, device) in devices.iter().enumerate() {
        device.record(&recorder, index);
        let at = Physical::new(ELSEWHERE);
        device.write(at, &[0x5a; 4096]).unwrap();
    }
    let next = volume.superblock().generation.next();
    volume
        .superblocks()
        .update(|superblock| superblock.generation = next);
    write_superblocks(&volume).unwrap();
    let mut replay = recorder.replay(images.to_vec());
    let mut led = 0;
    while replay.step() {
        let cut = replay.power_cut_with(Fate::Lost, &mut Random::new(1));
        let leads = |image: &Image| {
            let superblock = superblock_at(image, 65536, 65536);
            superblock.is_some_and(|superblock| superblock.generation == next)
        };
        if cut.iter().any(leads) {
            led += 1;
            for image in &cut {
                let mut bytes = [0; 4096];
                image.pages.read(ELSEWHERE, &mut bytes);
                assert!(bytes == [0x5a; 4096], "after event {}", replay.position());
            }
        }
    }
    assert!(led > 0);
}

#[test]
fn a_primary_that_fails_on_any_device_is_an_error() {
    for failing in 0..2 {
        let devices = pair().map(device);
        let volume = open_all(&devices).unwrap();
        let primary = 65536..65536 + 4096;
        devices[failing].faults(|faults| faults.fail_range(Request::Write, primary));
        assert_eq!(write_superblocks(&volume), Err(EIO));
    }
}

#[test]
fn the_newest_superblock_of_all_devices_is_taken() {
    for lagging in 0..2 {
        let mut images = pair();
        let (newest, _, _) = says(&images[0], 65536);
        change(&mut images[lagging], |raw| raw.generation.set(newest - 1));
        change(&mut images[lagging], |raw| raw.chunk_root_generation.set(1));
        let volume = open_all(&images.map(device)).unwrap();
        assert_eq!(volume.superblock().generation.get(), newest);
        assert_eq!(
            volume.device_ids().collect::<Vec<_>>(),
            [1, 2].map(DeviceId::new)
        );
    }
}

#[test]
fn devices_that_are_not_one_volume_are_refused() {
    let [first, second] = pair().map(device);
    assert_eq!(open_all(&[]).err(), Some(EINVAL));
    assert_eq!(
        open_all(std::slice::from_ref(&first)).err(),
        Some(EOPNOTSUPP)
    );
    let twice = [first.clone(), first.clone()];
    assert_eq!(open_all(&twice).err(), Some(EINVAL));
    let [other, _] = pair().map(device);
    assert_eq!(open_all(&[other, second]).err(), Some(EINVAL));
}
