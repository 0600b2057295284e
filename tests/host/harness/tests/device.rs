// SPDX-License-Identifier: GPL-2.0
//! The simulated devices do to their contents what they say.

use engine::disk::{Bytes, Physical};
use engine::volume::device::{Device, ZoneAction, ZoneCondition};
use harness::device::faults::{Extent, Request};
use harness::device::zones::ZoneLayout;
use harness::device::{Access, Image, Pace, Recorder, SimDevice};
use harness::random::Random;
use kernel::prelude::{EIO, GFP_KERNEL};
use std::collections::HashSet;

const MIB: u64 = 1 << 20;

fn page(byte: u8) -> [u8; 4096] {
    [byte; 4096]
}

fn read(image: &Image, at: u64) -> u8 {
    let mut buf = page(0);
    image.pages.read(at, &mut buf);
    assert!(buf.iter().all(|byte| *byte == buf[0]));
    buf[0]
}

fn zoned() -> SimDevice {
    let layout = ZoneLayout {
        zone_size: MIB,
        capacity: MIB / 2,
        conventional: 1,
        max_active: Some(2),
        block: 4096,
    };
    SimDevice::new(Image::new(8 * MIB, Some(layout)), Access::ReadWrite)
}

#[test]
fn flushed_writes_survive_and_others_may_not() {
    let mut outcomes = HashSet::new();
    for seed in 0..300 {
        let device = SimDevice::new(Image::new(8 * MIB, None), Access::ReadWrite);
        device.write(Physical::new(0), &page(1)).unwrap();
        device.flush().unwrap();
        device.write(Physical::new(0), &page(2)).unwrap();
        device.write(Physical::new(8192), &[3; 8192]).unwrap();
        assert_eq!(read(&device.image(), 0), 2);
        let image = device.after_power_cut(&mut Random::new(seed));
        let seen = (read(&image, 0), read(&image, 8192), read(&image, 12288));
        assert!(seen.0 == 1 || seen.0 == 2);
        outcomes.insert(seen);
        device.write_durable(Physical::new(4096), &page(4)).unwrap();
        let image = device.after_power_cut(&mut Random::new(seed));
        assert_eq!(
            (read(&image, 0), read(&image, 4096), read(&image, 12288)),
            (2, 4, 3)
        );
    }
    // Each of the two writes kept or not, and the second torn either way.
    assert_eq!(outcomes.len(), 8, "{outcomes:?}");
}

#[test]
fn zones_refuse() {
    let device = zoned();
    let zone = |n: u64| Physical::new(n * MIB);
    device
        .write(zone(0).saturating_add(Bytes::new(8192)), &page(1))
        .unwrap();
    device.write(zone(1), &page(1)).unwrap();
    device.write(zone(2), &page(1)).unwrap();
    assert_eq!(device.violations().len(), 0);
    for bad in [
        device.write(zone(1), &page(1)),
        device.write(zone(1).saturating_add(Bytes::new(8192)), &page(1)),
        device.write(zone(3), &page(1)),
        device.manage_zone(zone(3), ZoneAction::Open),
        device.manage_zone(zone(0), ZoneAction::Reset),
        device.write(zone(7).saturating_add(Bytes::new(MIB)), &page(1)),
    ] {
        assert_eq!(bad, Err(EIO));
    }
    assert_eq!(device.violations().len(), 6);
    device.manage_zone(zone(1), ZoneAction::Finish).unwrap();
    for block in 0..128 {
        device
            .write(zone(3).saturating_add(Bytes::new(block * 4096)), &page(1))
            .unwrap();
    }
    assert_eq!(
        device.write(zone(3).saturating_add(Bytes::new(MIB / 2)), &page(1)),
        Err(EIO)
    );
    let mut conditions = std::vec::Vec::new();
    let mut each = |zone: engine::volume::device::Zone| {
        conditions.push(zone.condition);
        Ok(())
    };
    device.report_zones(zone(1), 4, &mut each).unwrap();
    use ZoneCondition::{Active, Empty, Full};
    assert_eq!(conditions, [Full, Active, Full, Empty]);
    device.manage_zone(zone(1), ZoneAction::Reset).unwrap();
    assert_eq!(read(&device.image(), MIB), 0);
    assert_eq!(
        device.append(zone(2), &page(9)),
        Ok(zone(2).saturating_add(Bytes::new(4096)))
    );
}

#[test]
fn a_zone_ends_between_durable_and_written() {
    let mut pointers = HashSet::new();
    for seed in 0..200 {
        let device = zoned();
        device.write(Physical::new(MIB), &page(1)).unwrap();
        device.flush().unwrap();
        device
            .write(Physical::new(MIB + 4096), &[2; 16384])
            .unwrap();
        device
            .write(Physical::new(MIB + 20480), &[3; 8192])
            .unwrap();
        let image = device.after_power_cut(&mut Random::new(seed));
        let end = image.zones.as_ref().unwrap().at(MIB).write_pointer.get();
        let mut bytes = std::vec![0; 32768];
        image.pages.read(MIB, &mut bytes);
        let data = bytes
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(bytes.len());
        assert_eq!(data as u64, end - MIB);
        pointers.insert(data / 4096);
    }
    assert_eq!(pointers.len(), 7, "{pointers:?}");
}

#[test]
fn faults_strike_as_planned() {
    let device = SimDevice::new(Image::new(MIB, None), Access::ReadWrite);
    device.faults(|faults| faults.fail_nth(Request::Write, 1, Extent::Once));
    let write = |at: u64| device.write(Physical::new(at), &page(1));
    assert_eq!(
        [write(0), write(4096), write(8192)],
        [Ok(()), Err(EIO), Ok(())]
    );
    assert_eq!(
        (read(&device.image(), 4096), read(&device.image(), 8192)),
        (0, 1)
    );
    device.faults(|faults| faults.fail_range(Request::Read, 4096..4097));
    let mut buf = page(0);
    assert_eq!(device.read(Physical::new(0), &mut buf), Ok(()));
    assert_eq!(device.read(Physical::new(4096), &mut buf), Err(EIO));
    device.faults(|faults| faults.fail_nth(Request::Flush, 0, Extent::FromThen));
    assert_eq!([device.flush(), device.flush()], [Err(EIO), Err(EIO)]);
    device.faults(|faults| faults.heal());
    assert_eq!(device.flush(), Ok(()));
    assert_eq!(device.violations().len(), 0);
}

#[test]
fn a_recording_cuts_anywhere() {
    let base = Image::new(MIB, None);
    let device =
        kernel::sync::Arc::new(SimDevice::new(base.clone(), Access::ReadWrite), GFP_KERNEL)
            .unwrap();
    let recorder = Recorder::default();
    device.record(&recorder, 0);
    for n in 1..=4u8 {
        device
            .write(Physical::new(u64::from(n) * 4096), &page(n))
            .unwrap();
        device.write_durable(Physical::new(0), &page(n)).unwrap();
        recorder.promise(u64::from(n));
    }
    let mut replay = recorder.replay(std::vec![base]);
    let mut random = Random::new(1);
    let mut cuts = 0;
    loop {
        let image = &replay.power_cut(&mut random)[0];
        // The header leads to nothing that is not there, and what was promised is there.
        let header = read(image, 0);
        assert!((1..=header).all(|n| read(image, u64::from(n) * 4096) == n));
        assert!(u64::from(header) >= replay.promised());
        cuts += 1;
        if !replay.step() {
            break;
        }
    }
    assert!(cuts > 16);
    assert!(replay.live()[0].pages == device.image().pages);
}

/// What was begun is there when it was waited for, in any order, and durable after the next flush; dropping it waits.
#[test]
fn begun_writes_are_there_when_they_were_waited_for() {
    let at = |number: u64| Physical::new(number * 4096);
    for seed in 0..50 {
        let device = SimDevice::new(Image::new(8 * MIB, None), Access::ReadWrite);
        device.set_pace(Pace::AnyOrder(Random::new(seed)));
        device.faults(|faults| faults.fail_range(Request::Write, 8192..12288));
        let begin = |number| {
            device
                .begin_write(at(number), &page(number as u8 + 1))
                .unwrap()
        };
        let mut writes: Vec<_> = (0..8).map(begin).collect();
        assert_eq!(writes[2].wait(), Err(EIO));
        assert_eq!(writes[5].wait(), Ok(()));
        assert_eq!(writes[5].wait(), Ok(()));
        device.flush().unwrap();
        writes.truncate(7);
        assert_eq!(read(&device.image(), 7 * 4096), 8);
        let cut = device.after_power_cut(&mut Random::new(seed));
        assert_eq!(read(&cut, 5 * 4096), 6);
        drop(writes);
        assert_eq!(device.under_way(), 0);
        device.flush().unwrap();
        let cut = device.after_power_cut(&mut Random::new(seed));
        let there = [1, 2, 0, 4, 5, 6, 7, 8];
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6, 7].map(|number| read(&cut, number * 4096)),
            there
        );
        assert_eq!(device.violations(), Vec::<String>::new());
    }
}

/// With a queue that takes the time of one write, many cost one wait; and no two may be of one place.
#[test]
fn begun_writes_take_the_time_of_one() {
    let device = SimDevice::new(Image::new(8 * MIB, None), Access::ReadWrite);
    device.set_pace(Pace::Together);
    let begin = |number: u64| device.begin_write(Physical::new(number * 4096), &page(1));
    let writes: Vec<_> = (0..100).map(|number| begin(number).unwrap()).collect();
    assert_eq!(device.under_way(), 100);
    assert_eq!(read(&device.image(), 4096), 0);
    device.flush().unwrap();
    let kept = |seed| read(&device.after_power_cut(&mut Random::new(seed)), 4096);
    let kept: HashSet<_> = (0..50).map(kept).collect();
    assert_eq!(kept, HashSet::from([0, 1]), "at risk");
    writes.iter().for_each(|write| write.wait().unwrap());
    let begun = device.begun();
    assert_eq!((begun.writes, begun.most, begun.waits), (100, 100, 1));
    assert_eq!(read(&device.image(), 4096), 1);
    let first = begin(0).unwrap();
    assert_eq!(begin(0).err(), Some(EIO));
    drop(first);
    assert_eq!(device.violations().len(), 1);
}
