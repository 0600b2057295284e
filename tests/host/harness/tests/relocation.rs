// SPDX-License-Identifier: GPL-2.0
//! Data moves out of zones of which a part is dead, and stays what it is.

use engine::disk::{Bytes, FileOffset, Logical};
use engine::fs::{MappingKind, Relocated, Target};
use engine::space::{Class, Reclaim, Urgency};
use engine::txn::Units;
use harness::device::faults::{Extent, Request};
use harness::device::zones::ZoneLayout;
use harness::device::{Fate, Image, Recorder};
use harness::history::{compare_files, Driver, Id, Model, Op, Place, ROOT};
use harness::mount::{Access, Mounted};
use harness::random::{self, Random};
use harness::reuse::watch;
use harness::tools;
use kernel::alloc::inject;
use kernel::prelude::*;

const MIB: u64 = 1 << 20;

/// A volume and what must be in it.
struct Rig {
    driver: Driver,
    model: Model,
    next: Id,
    files: std::vec::Vec<Id>,
}

impl Rig {
    fn mount(image: Image) -> Self {
        let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
        Self {
            driver: Driver::start(mounted).unwrap(),
            model: Model::default(),
            next: ROOT + 1,
            files: vec![],
        }
    }

    /// Does a step that may be refused for want of space, before it changed anything.
    fn try_apply(&mut self, op: &Op) -> Result {
        let now = self.model.now() + 1;
        let done = self.driver.apply(op, now);
        if done.is_ok() {
            self.model.apply(op).unwrap();
        }
        done
    }

    fn apply(&mut self, op: &Op) {
        self.try_apply(op).unwrap_or_else(|error| {
            let space = self.driver.mounted().txns.space().statistics();
            panic!("{op:?}: {error:?} {space:?}")
        });
    }

    /// Makes a file; whether there was space for all of it. A part of one goes again.
    fn make(&mut self, size: u64) -> bool {
        let id = self.next;
        self.next += 1;
        self.apply(&Op::create_numbered(id));
        match self.try_apply(&Op::write(id, 0, size)) {
            Ok(()) => {
                self.files.push(id);
                true
            }
            Err(error) => {
                assert_eq!(error, ENOSPC);
                self.remove(id);
                false
            }
        }
    }

    fn remove(&mut self, id: Id) {
        self.apply(&Op::unlink_numbered(id));
    }

    /// Writes to the first file until that is refused.
    fn write_until_refused(&mut self) -> Error {
        let id = self.files[0];
        let write = |offset| Op::write(id, offset, 8 * MIB);
        let offsets = (1..).map(|index| index * 8 * MIB);
        let mut refused = offsets.map(|offset| self.try_apply(&write(offset)).err());
        refused.find_map(|refused| refused).unwrap()
    }

    /// Fills the volume; how many bytes went in.
    fn fill(&mut self, size: u64) -> u64 {
        self.fill_beside(size, |_, _| {})
    }

    /// Fills the volume as [`Self::fill`] does, with something else to be done after each file.
    fn fill_beside(&mut self, size: u64, each: impl Fn(&Mounted, u64)) -> u64 {
        let mut files = 0;
        while self.make(size) {
            files += 1;
            each(self.driver.mounted(), files);
        }
        files * size
    }

    fn remove_every_second(&mut self) {
        let files = std::mem::take(&mut self.files);
        for pair in files.chunks(2) {
            self.remove(pair[0]);
            self.files.extend(&pair[1..]);
        }
    }

    /// Makes files of a quarter of a MiB, and takes parts of them away: zones with holes of all kinds.
    fn scatter(&mut self, files: u64, random: &mut Random) {
        for _ in 0..files {
            assert!(self.make(MIB / 4));
        }
        for id in self.files.clone() {
            self.thin(id, random);
        }
        self.apply(&Op::Sync);
    }

    /// Takes something of a file away, or writes over it.
    fn thin(&mut self, id: Id, random: &mut Random) {
        let (offset, len) = (random.below(MIB / 4), 1 + random.below(MIB / 8));
        match random.below(6) {
            0 => self.apply(&Op::Truncate { id, size: offset }),
            1 => {
                let seed = random.next();
                self.apply(&Op::Write {
                    id,
                    offset,
                    len: len / 8 + 1,
                    seed,
                });
            }
            2 => {}
            3 => {
                self.files.retain(|file| *file != id);
                self.remove(id);
            }
            _ => self.apply(&Op::PunchHole { id, offset, len }),
        }
    }

    /// Empties groups while there is one that is worth it.
    fn relocate(&self) -> Relocated {
        let mounted = self.driver.mounted();
        loop {
            let done = mounted
                .fs
                .relocation()
                .go_on(Reclaim::Now, &|| true)
                .unwrap();
            if done != Relocated::Emptied {
                return done;
            }
            mounted.txns.commit().unwrap();
        }
    }

    /// Where a file's first data are.
    fn place_of(&self, id: Id) -> Logical {
        let mounted = self.driver.mounted();
        let top = mounted.fs.inodes().root(&mounted.subvolume).unwrap();
        let found = mounted
            .fs
            .names()
            .lookup(&top, &Place::numbered(id).name)
            .unwrap();
        let Some(Target::Inode(number, _)) = found else {
            panic!("file {id} is gone");
        };
        let inode = mounted.fs.inodes().get(&mounted.subvolume, number).unwrap();
        let mut at = FileOffset::new(0);
        loop {
            let found = mounted.fs.mappings();
            let found = found.find(&inode, at, Bytes::new(4096)).unwrap();
            match found.kind {
                MappingKind::Data { logical } => return logical,
                _ => at = at.saturating_add(found.len),
            }
        }
    }

    fn moved(&self) -> engine::fs::Moved {
        self.driver.mounted().fs.relocation().moved()
    }

    fn check(&self) {
        compare_files(self.driver.mounted(), &self.model).unwrap();
        self.driver.mounted().txns.space().audit().unwrap();
    }

    fn finish(self) -> Image {
        self.check();
        let mounted = self.driver.finish();
        let violations = mounted.violations();
        assert!(violations.is_empty(), "{violations:?}");
        let image = mounted.unmount().unwrap().remove(0);
        tools::check_with(&image, &["--check-data-csum"]).unwrap();
        image
    }
}

/// A volume that was full, and lost every second file.
fn half_empty() -> Rig {
    let mut rig = Rig::mount(zones(20, 8 * MIB, None));
    rig.fill(MIB);
    rig.remove_every_second();
    rig.apply(&Op::Sync);
    rig
}

fn zones(count: u64, capacity: u64, max_active: Option<u32>) -> Image {
    let layout = ZoneLayout {
        max_active,
        ..tools::zone_layout(capacity)
    };
    tools::mkfs_zoned(count, &["-m", "single"], layout)
}

/// Every second file goes from a full volume, and as many fit again.
#[test]
fn half_empty_zones_are_written_again() {
    for (zone, max_active) in [(8, None), (8, Some(8)), (16, None)] {
        let mut rig = Rig::mount(zones(32, zone * MIB, max_active));
        let size = 3 * zone * MIB / 16;
        let first = rig.fill(size);
        assert!(first > 32 * zone * MIB / 5, "{first}");
        for round in 0..6 {
            rig.remove_every_second();
            let again = rig.fill(size);
            let moved = rig.moved();
            assert!(
                again > first * 2 / 5,
                "{zone} {round}: {again} of {first}, {moved:?}"
            );
        }
        assert!(rig.moved().groups > 10, "{:?}", rig.moved());
        rig.finish();
    }
}

/// Every second file goes from a full volume beside a thread that does what it can once a second. Empty zones do not go from file data to tree blocks.
#[test]
fn the_thread_keeps_no_zone_from_files() {
    let mut rig = Rig::mount(zones(32, 16 * MIB, None));
    let size = 3 * MIB;
    let look = |mounted: &Mounted, file: u64| {
        if file % 3 == 0 {
            mounted.txns.maintain().unwrap();
            let relocation = mounted.fs.relocation();
            while relocation.go_on(Reclaim::Soon, &|| true).unwrap() == Relocated::Emptied {
                mounted.txns.commit().unwrap();
            }
        }
        if file % 5 == 0 {
            mounted.txns.commit().unwrap();
        }
    };
    let first = rig.fill_beside(size, look);
    for round in 0..5 {
        rig.remove_every_second();
        let again = rig.fill_beside(size, look);
        let space = rig.driver.mounted().txns.space().statistics();
        let moved = rig.moved();
        assert!(
            again >= first * 9 / 20,
            "{round}: {again} of {first}, {moved:?} {space:?}"
        );
    }
    rig.finish();
}

/// On a volume that is full tree blocks do not end while a group of them is dead but for a little, be a rest of it unwritten;
/// `tasks` have as much promised as they may.
#[test]
fn tree_blocks_do_not_end_before_their_zones() {
    for (count, zone, size, tasks) in [(12, 64, 16, 3), (16, 16, 3, 5)] {
        let mut rig = Rig::mount(zones(count, zone * MIB, None));
        rig.fill(size * MIB);
        let space = rig.driver.mounted().txns.space().statistics();
        let groups = space.metadata.total.count(Bytes::new(256 * MIB));
        // Behind what is kept back and what may be dead there is something left for tasks.
        let least = space.global_size.get() + zone * MIB + zone * MIB / 4;
        assert!(groups * zone * MIB >= least, "{groups} {space:?}");
        rig.remove_every_second();
        rig.apply(&Op::Sync);
        for _ in 0..500 {
            let txns = &rig.driver.mounted().txns;
            let others = (0..tasks).map(|_| txns.reserve(Units::updates(16)));
            let others: std::vec::Vec<_> = others.collect();
            if let Some(refused) = others.iter().find_map(|promise| promise.as_ref().err()) {
                panic!("{refused:?} {:?}", txns.space().statistics());
            }
            drop(others);
            assert!(rig.make(4096));
            let id = rig.files.pop().unwrap();
            rig.remove(id);
            rig.apply(&Op::Sync);
        }
        rig.finish();
    }
}

/// A device without zones can be written anywhere: nothing has to move there, and nothing is kept back for that.
#[test]
fn where_zones_are_emulated_nothing_is_kept_back() {
    let image = tools::mkfs(4096 * MIB, &["-O", "zoned", "-m", "single"]);
    let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
    assert!(mounted.volume.rules().writes_in_order());
    let data = mounted.txns.space().statistics().data;
    assert_eq!(data.promised, Bytes::ZERO);
}

/// Who waits for space and is killed does not go on moving what others have.
#[test]
fn who_is_killed_gives_up() {
    let mut rig = half_empty();
    let moved = rig.moved();
    latch::kill(true);
    let refused = rig.write_until_refused();
    latch::kill(false);
    assert_eq!((refused, rig.moved()), (EINTR, moved));
    assert!(rig.make(8 * MIB));
    assert!(rig.moved().groups > moved.groups);
    rig.finish();
}

/// Where metadata is short, too, moving is put off: nobody's handle is waited for, while others wait for who moves.
#[test]
fn without_metadata_nobody_is_waited_for() {
    let rig = half_empty();
    let mounted = rig.driver.mounted();
    let (txns, space) = (&mounted.txns, mounted.txns.space());
    let mut all = std::vec![];
    while let Ok(some) = txns.reserve_freeing(Units::updates(1)) {
        all.push(some);
    }
    let handle = txns
        .join_with(space.reserve_nothing(Class::Metadata))
        .unwrap();
    let done = std::thread::scope(|scope| {
        let (done, is_done) = std::sync::mpsc::channel();
        scope.spawn(move || {
            let relocation = mounted.fs.relocation();
            let _ = done.send(relocation.go_on(Reclaim::Now, &|| true));
        });
        let done = is_done.recv_timeout(std::time::Duration::from_secs(30));
        drop((handle, all));
        done
    });
    assert_eq!(done, Ok(Ok(Relocated::Later)));
    rig.relocate();
    assert!(rig.moved().groups > 0);
    rig.finish();
}

/// A remount by force keeps nobody out: who is refused behind it is refused, and what others have stays where it is.
#[test]
fn a_paused_volume_moves_nothing_for_a_write() {
    let mut rig = half_empty();
    let moved = rig.moved();
    rig.driver.mounted().volume.pause_writing();
    let refused = rig.write_until_refused();
    assert_eq!((refused, rig.moved()), (EROFS, moved));
    rig.driver
        .mounted()
        .volume
        .begin_writing(|| Ok(()))
        .unwrap();
    rig.finish();
}

/// Who takes all the space there is while a group is emptied does not get what the rest of the group needs.
#[test]
fn a_group_is_emptied_or_left_alone() {
    for max_active in [None, Some(8)] {
        let mut rig = Rig::mount(zones(20, 8 * MIB, max_active));
        let left = |rig: &Rig| rig.driver.mounted().txns.space().statistics().available;
        while left(&rig) > Bytes::new(2 * MIB) {
            assert!(rig.make(MIB / 4));
        }
        let files = std::mem::take(&mut rig.files);
        for (index, id) in files.into_iter().enumerate() {
            match index % 16 {
                0 => rig.remove(id),
                _ => rig.files.push(id),
            }
        }
        rig.apply(&Op::Sync);
        let mounted = rig.driver.mounted();
        let taken = std::cell::RefCell::new(std::vec![]);
        let asked = std::cell::Cell::new(0);
        let take_all = || {
            while !rig.moved().bytes.is_zero() {
                asked.set(asked.get() + 1);
                match mounted
                    .txns
                    .reserve_data_now(Bytes::new(4096), Urgency::Ordinary)
                {
                    Ok(some) => taken.borrow_mut().push(some),
                    Err(_) => break,
                }
            }
            true
        };
        let done = mounted.fs.relocation().go_on(Reclaim::Now, &take_all);
        assert_eq!(done, Ok(Relocated::Emptied), "{:?}", rig.moved());
        assert!(asked.get() > 8, "{asked:?}");
        drop(taken);
        rig.finish();
    }
}

/// What was punched, cut and written over stays what it is, move after move.
#[test]
fn files_stay_what_they_are() {
    for seed in random::seeds(0..3) {
        let mut random = Random::new(seed);
        let max_active = [None, Some(8), Some(12)][seed as usize % 3];
        let mut rig = Rig::mount(zones(32, 4 * MIB, max_active));
        for round in 0..6 {
            rig.scatter(60, &mut random);
            rig.relocate();
            rig.check();
            if round % 2 == 1 {
                rig.apply(&Op::Remount);
                rig.check();
            }
            let files = std::mem::take(&mut rig.files);
            for id in files {
                match random.below(4) {
                    0 => rig.files.push(id),
                    _ => rig.remove(id),
                }
            }
        }
        rig.finish();
    }
}

/// Whatever a power cut leaves of a relocation: all is there, nothing is wrong, and nothing that the last superblock leads to
/// was written over before.
#[test]
fn a_power_cut_at_every_write_loses_nothing() {
    let mut random = Random::new(3);
    let mut rig = Rig::mount(zones(20, 4 * MIB, Some(8)));
    rig.scatter(40, &mut random);
    rig.driver.mounted().txns.commit().unwrap();
    let base = rig.driver.mounted().device().image();
    let recorder = Recorder::default();
    rig.driver.mounted().device().record(&recorder, 0);
    rig.relocate();
    let moved = rig.moved();
    assert!(moved.groups >= 1, "{moved:?}");
    let mut replay = recorder.replay(vec![base.clone()]);
    let mut cuts = 0;
    while replay.step() {
        if !replay.is_after_change() {
            continue;
        }
        for fate in Fate::ALL {
            let image = replay.power_cut_with(fate, &mut random).remove(0);
            // The device says of each cut whether anything of it is worth a look by others.
            if cuts % 4 == 0 {
                tools::check_with(&image, &["--check-data-csum"]).unwrap();
            }
            let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
            compare_files(&mounted, &rig.model).unwrap();
            cuts += 1;
        }
    }
    assert!(cuts > 100, "{cuts}");
    rig.apply(&Op::Sync);
    watch(base, &recorder).unwrap();
    rig.finish();
}

/// Memory that runs out ends a relocation and changes nothing.
#[test]
fn without_memory_data_stays_where_it_is() {
    let mut random = Random::new(5);
    let mut rig = Rig::mount(zones(20, 4 * MIB, None));
    rig.scatter(40, &mut random);
    let mut refused = 0;
    for n in 0.. {
        let mounted = rig.driver.mounted();
        mounted.store.shrink();
        let injection = inject::fail_nth(n);
        let done = mounted.fs.relocation().go_on(Reclaim::Now, &|| true);
        drop(injection);
        assert_eq!(mounted.txns.is_aborted(), None, "{n}: {done:?}");
        refused += u64::from(done == Ok(Relocated::Later));
        if done == Ok(Relocated::Nothing) {
            break;
        }
        if n % 16 == 0 {
            rig.check();
        }
    }
    assert!(refused > 3, "{refused}");
    rig.finish();
}

/// A write that fails costs the zone that room, and a read that fails leaves the data where they are. Neither ends the mount.
#[test]
fn a_device_that_fails_keeps_the_old_data() {
    for request in [Request::Write, Request::Read] {
        for n in 0..12 {
            let mut random = Random::new(n);
            let mut rig = Rig::mount(zones(20, 4 * MIB, None));
            rig.scatter(30, &mut random);
            let mounted = rig.driver.mounted();
            let device = mounted.device();
            device.faults(|faults| faults.fail_nth(request, n, Extent::Once));
            let done = mounted.fs.relocation().go_on(Reclaim::Now, &|| true);
            device.faults(|faults| faults.heal());
            assert!(done.is_ok(), "{request:?} {n}: {done:?}");
            assert_eq!(mounted.txns.is_aborted(), None);
            rig.relocate();
            rig.finish();
        }
    }
}

/// Data with a wrong checksum does not get a right one by being moved: it stays, and its group with it.
#[test]
fn damaged_data_is_not_moved() {
    let mut rig = Rig::mount(zones(20, 4 * MIB, None));
    rig.scatter(40, &mut Random::new(5));
    rig.files.truncate(3);
    let places: std::vec::Vec<_> = rig.files.iter().map(|id| rig.place_of(*id)).collect();
    let mounted = rig.driver.mounted();
    let at = mounted
        .volume
        .map(places[0], Bytes::new(4096))
        .unwrap()
        .copies()[0]
        .at
        .get();
    mounted
        .device()
        .damage(|image| image.pages.write(at, &[0xaa; 4096]));
    rig.relocate();
    let mounted = rig.driver.mounted();
    assert_eq!(mounted.txns.is_aborted(), None);
    assert_eq!(rig.place_of(rig.files[0]), places[0]);
    assert!(!rig.moved().bytes.is_zero());
    let mut page = [0; 4096];
    mounted.read_data(places[0], &mut page).unwrap();
    assert_eq!(page, [0xaa; 4096]);
    mounted.txns.commit().unwrap();
    tools::check(&mounted.device().image()).unwrap();
}
