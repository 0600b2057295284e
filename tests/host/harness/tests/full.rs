// SPDX-License-Identifier: GPL-2.0
//! Full volumes: ENOSPC comes in time, `rm` always works, and all space comes back.

use engine::disk::{BlockGroupFlags, Bytes, Kind as NodeKind, ObjectId};
use engine::space::{Class, Statistics};
use engine::volume::device::ZoneCondition;
use harness::device::zones::ZoneLayout;
use harness::device::Image;
use harness::history::{Driver, Id, Op, ROOT};
use harness::kinds::DeviceKind;
use harness::mount::{Access, Mounted};
use harness::random::Random;
use harness::tools;
use harness::walker::{walk, Walked};
use kernel::prelude::*;

const MIB: u64 = 1 << 20;

struct Filler {
    driver: Driver,
    next: Id,
    files: std::vec::Vec<Id>,
}

impl Filler {
    fn mount(image: Image) -> Self {
        let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
        Self {
            driver: Driver::start(mounted).unwrap(),
            next: ROOT + 1,
            files: vec![],
        }
    }

    fn statistics(&self) -> Statistics {
        self.driver.mounted().txns.space().statistics()
    }

    fn create(&mut self, id: Id) -> Result {
        self.driver.apply(&Op::create_numbered(id), 1)?;
        self.files.push(id);
        Ok(())
    }

    fn write(&mut self, id: Id, offset: u64, len: u64) -> Result {
        self.driver.apply(&Op::write(id, offset, len), 1)
    }

    /// Makes files of `size` bytes until there is no space; how many bytes went in.
    fn fill(&mut self, size: u64) -> u64 {
        let mut written = 0;
        loop {
            let id = self.next;
            self.next += 1;
            match self.create(id) {
                Err(error) if error == ENOSPC => return written,
                created => created.unwrap(),
            }
            let mut offset = 0;
            while offset < size {
                let len = (size - offset).min(MIB);
                match self.write(id, offset, len) {
                    Err(error) if error == ENOSPC => return written,
                    done => {
                        done.unwrap_or_else(|error| panic!("{error:?} {:?}", self.statistics()))
                    }
                }
                offset += len;
                written += len;
            }
        }
    }

    /// Removes every `nth` file. Nothing may refuse.
    fn remove(&mut self, nth: usize) {
        let (gone, kept): (std::vec::Vec<_>, std::vec::Vec<_>) = self
            .files
            .drain(..)
            .enumerate()
            .partition(|(index, _)| index % nth == 0);
        self.files = kept.into_iter().map(|(_, id)| id).collect();
        for (_, id) in gone {
            let removed = self.driver.apply(&Op::unlink_numbered(id), 1);
            removed.unwrap_or_else(|error| panic!("rm: {error:?} {:?}", self.statistics()));
        }
    }

    fn sync(&mut self) {
        self.driver.apply(&Op::Sync, 1).unwrap();
        self.driver.mounted().txns.space().audit().unwrap();
    }

    fn finish(self) {
        let mounted = self.driver.finish();
        let violations = mounted.violations();
        assert!(violations.is_empty(), "{violations:?}");
        let space = mounted.txns.space().clone();
        let images = mounted.unmount().unwrap();
        space.audit().unwrap();
        assert_eq!(
            Class::ALL.map(|class| space.promised(class)),
            [Bytes::ZERO; 3]
        );
        tools::check(&images[0]).unwrap();
    }
}

#[test]
fn a_full_volume_can_be_emptied_and_filled_again() {
    for options in [
        &[][..],
        &["-m", "single"],
        &["-O", "^free-space-tree,^block-group-tree"],
    ] {
        let mut filler = Filler::mount(tools::mkfs(256 * MIB, options));
        let first = filler.fill(3 * MIB);
        assert!(first > 120 * MIB, "only {first} bytes of 256 MiB");
        for round in 0..2 {
            filler.remove(1);
            filler.sync();
            let bytes = filler.fill((2 + round) * MIB);
            assert!(
                bytes > first * 9 / 10,
                "{round}: {bytes} bytes of {first} came back: {:?}",
                filler.statistics()
            );
            filler.sync();
        }
        filler.remove(2);
        filler.finish();
    }
}

/// Small files fill the metadata.
#[test]
fn small_files_fill_a_volume_and_go() {
    let mut filler = Filler::mount(tools::mkfs(128 * MIB, &[]));
    filler.fill(1500);
    filler.sync();
    filler.remove(3);
    filler.remove(1);
    filler.sync();
    assert!(filler.fill(2 * MIB) > 30 * MIB, "{:?}", filler.statistics());
    filler.remove(1);
    filler.finish();
}

#[test]
fn a_full_zoned_volume_can_be_emptied_and_filled_again() {
    for max_active in [None, Some(12)] {
        let layout = ZoneLayout {
            max_active,
            ..tools::zone_layout(16 * MIB)
        };
        let mut filler = Filler::mount(tools::mkfs_zoned(26, &[], layout));
        let told = filler.statistics().available.get();
        let first = filler.fill(3 * MIB);
        assert!(
            first > 80 * MIB,
            "only {first} bytes: {:?}",
            filler.statistics()
        );
        // Metadata takes zones, too.
        assert!(
            first <= told && first > told * 7 / 10,
            "{first} bytes went in, {told} were told"
        );
        for round in 0..3 {
            filler.remove(1);
            filler.sync();
            let bytes = filler.fill((2 + round) * MIB);
            assert!(
                bytes > first * 8 / 10,
                "{round}: {bytes} bytes of {first} came back: {:?}",
                filler.statistics()
            );
            filler.sync();
        }
        filler.finish();
    }
}

/// Filled to the last byte and emptied, ten times, by files of `size` bytes. Every second one goes in between, and what is
/// free in pieces is filled as well: of file data, for leaves of a tree that are half empty have no room for new files. All
/// comes back each time, but for `lost` hundredths that trees may have grown by.
fn ten_times(image: Image, size: u64, lost: u64) {
    let mut filler = Filler::mount(image);
    let mut first = (0, 0);
    for round in 0..10 {
        let whole = filler.fill(size);
        filler.sync();
        filler.remove(2);
        filler.sync();
        let pieces = filler.fill(size / 2);
        filler.remove(1);
        filler.sync();
        if round == 0 {
            first = (whole, pieces);
        }
        let least = |bytes: u64| bytes / 100 * (100 - lost);
        assert!(
            whole >= least(first.0) && pieces >= least(first.1),
            "{round}: {whole} and {pieces} bytes went in, {first:?} at first: {:?}",
            filler.statistics()
        );
    }
    filler.finish();
}

#[test]
fn data_comes_and_goes_ten_times() {
    ten_times(tools::mkfs(256 * MIB, &[]), 192 << 10, 0);
}

#[test]
fn small_files_come_and_go_ten_times() {
    ten_times(tools::mkfs(128 * MIB, &[]), 1800, 10);
}

#[test]
fn data_on_zones_comes_and_goes_ten_times() {
    let image = tools::mkfs_zoned(26, &[], tools::zone_layout(16 * MIB));
    ten_times(image, MIB, 0);
}

#[test]
fn small_files_on_zones_come_and_go_ten_times() {
    let image = tools::mkfs_zoned(24, &[], tools::zone_layout(4 * MIB));
    ten_times(image, 1800, 20);
}

/// Makes a file of `size` bytes, or overwrites one.
fn write_file(filler: &mut Filler, id: Id, size: u64) -> Result {
    if !filler.files.contains(&id) {
        filler.create(id)?;
    }
    filler.write(id, 0, size)
}

/// Removes all files in no order, and commits after each.
fn remove_one_by_one(filler: &mut Filler, random: &mut Random) {
    while !filler.files.is_empty() {
        let at = random.below(filler.files.len() as u64) as usize;
        filler.files.swap(0, at);
        let kept = filler.files.split_off(1);
        filler.remove(1);
        filler.files = kept;
        filler.sync();
    }
}

/// A new chunk holds what sequential zones hold. The reserve was as large as a conventional zone, and metadata took
/// zone after zone for it, for 400 KiB of tree blocks.
#[test]
fn a_group_on_a_conventional_zone_is_not_what_others_hold() {
    let mut filler = Filler::mount(DeviceKind::PartlyConventional.image(1));
    for id in 0..100 {
        write_file(&mut filler, ROOT + 1 + id, 2000).unwrap();
        filler.sync();
    }
    let found = filler.statistics();
    assert!(
        found.metadata.total <= Bytes::new(2 * tools::ZONE_SIZE),
        "{found:?}"
    );
    filler.finish();
}

/// Every commit leaves dead blocks behind, and old blocks that are in use keep their zones from being reset. The
/// volume would be full after 400 commits.
#[test]
fn old_metadata_does_not_fill_the_zones() {
    let mut filler = Filler::mount(tools::mkfs_zoned(40, &[], tools::zone_layout(4 * MIB)));
    let mut random = Random::new(7);
    for id in 0..2000 {
        write_file(&mut filler, ROOT + 1 + id, 2000).unwrap();
    }
    for _ in 0..3000 {
        let id = ROOT + 1 + random.below(2000);
        write_file(&mut filler, id, 2000).unwrap();
        filler.sync();
    }
    assert!(filler.driver.mounted().txns.counters().groups_emptied > 0);
    filler.finish();
}

/// Metadata fills all zones. What a removal frees can be used again only with the rest of its zone.
fn fill_zones_with_metadata(zones: u64, options: &[&str], max_active: Option<u32>) {
    let layout = ZoneLayout {
        max_active,
        ..tools::zone_layout(4 * MIB)
    };
    let mut filler = Filler::mount(tools::mkfs_zoned(zones, options, layout));
    let mut random = Random::new(8);
    let mut id = ROOT;
    loop {
        id += 1;
        match write_file(&mut filler, id, 2000) {
            Err(error) if error == ENOSPC => break,
            done => done.unwrap(),
        }
        if random.one_in(30) {
            filler.sync();
        }
    }
    let full = filler.statistics().metadata;
    let fits = full.total.get() / tools::ZONE_SIZE * 4 * MIB;
    assert!(full.used > Bytes::new(fits / 32), "{options:?}: {full:?}");
    remove_one_by_one(&mut filler, &mut random);
    filler.finish();
}

#[test]
fn a_zoned_volume_full_of_metadata_can_be_emptied() {
    fill_zones_with_metadata(24, &[], None);
}

/// Three groups, or nine of so large nodes that one item is promised half of a group. What zones cannot hold is nothing
/// to take a share of: the reserve was larger than all groups.
#[test]
fn a_tiny_zoned_volume_full_of_metadata_can_be_emptied() {
    fill_zones_with_metadata(12, &[], Some(10));
    fill_zones_with_metadata(12, &["-n", "4096"], None);
    fill_zones_with_metadata(14, &["-n", "65536", "-m", "single"], Some(12));
    // Four groups, and five: a batch of evict() would be promised more than the reserve.
    fill_zones_with_metadata(9, &["-n", "65536", "-m", "single"], None);
    fill_zones_with_metadata(10, &["-n", "65536", "-m", "single"], None);
}

/// The chunks of a class, each by where its zones start.
fn chunks_of(walked: &Walked, class: BlockGroupFlags) -> std::vec::Vec<std::vec::Vec<u64>> {
    let items = walked.items(ObjectId::CHUNK_TREE, NodeKind::CHUNK_ITEM);
    let places = |item: &[u8]| {
        let word = |at: usize| u64::from_le_bytes(item[at..at + 8].try_into().unwrap());
        let stripes = usize::from(u16::from_le_bytes(item[44..46].try_into().unwrap()));
        let is_meant = BlockGroupFlags::new(word(24)).contains(class);
        is_meant.then(|| (0..stripes).map(|at| word(48 + 32 * at + 8)).collect())
    };
    items.iter().filter_map(|(_, item)| places(item)).collect()
}

/// A volume all of whose active zones are held by data, but those of the chunk tree: the zones of metadata are full, or
/// empty.
fn held_by_data(options: &[&str]) -> (Image, u32) {
    let mut filler = Filler::mount(tools::mkfs_zoned(40, options, tools::zone_layout(4 * MIB)));
    for id in 1..=8 {
        write_file(&mut filler, ROOT + 5000 + id, 3 * MIB).unwrap();
    }
    for id in 1..2000 {
        write_file(&mut filler, ROOT + id, 2000).unwrap();
    }
    filler.sync();
    filler.remove(1);
    for id in 1..4 {
        filler.sync();
        filler.create(ROOT + 6000 + id).unwrap();
    }
    let mut image = filler.driver.finish().unmount().unwrap().remove(0);
    let walked = walk(&tools::as_file(&image));
    let zones = image.zones.as_mut().unwrap();
    // As a power cut leaves it.
    for places in chunks_of(&walked, BlockGroupFlags::DATA) {
        zones.preset(places[0], 64 << 10);
    }
    let groups = chunks_of(&walked, BlockGroupFlags::METADATA);
    let (empty, others): (std::vec::Vec<_>, std::vec::Vec<_>) = groups
        .iter()
        .partition(|places| zones.at(places[0]).condition == ZoneCondition::Empty);
    assert!(!empty.is_empty(), "metadata can go nowhere");
    for place in others.into_iter().flatten() {
        zones.preset(*place, 4 * MIB);
    }
    let active = zones.limit_to_active();
    (image, active)
}

/// Data holds all zones that may be active when metadata needs some: it is data that gives way, not the chunk tree's
/// group, without which no chunk can be made any more.
#[test]
fn the_chunk_tree_keeps_its_zones() {
    for options in [&[][..], &["-m", "single"]] {
        let (image, active) = held_by_data(options);
        assert!((8..=12).contains(&active), "{active} active zones");
        let mut filler = Filler::mount(image);
        for round in 0..6 {
            for id in 0..700 {
                write_file(&mut filler, ROOT + 1 + 1000 * round + id, 2000).unwrap();
                if id % 50 == 0 {
                    filler.sync();
                }
            }
            write_file(&mut filler, ROOT + 9000 + round, 3 * MIB).unwrap();
            filler.sync();
            filler.remove(2);
            filler.driver.apply(&Op::Remount, 1).unwrap();
        }
        filler.finish();
    }
}
