// SPDX-License-Identifier: GPL-2.0
//! Nothing that the last durable superblock leads to is used again, however full the volume is and however long the device
//! takes: what is freed while a commit is on its way is asked for at once.

use crate::files::{File, Files};
use crate::hooked::{mount_hooked, Hooked};
use crate::mounted::{unmount, zoned_image};
use engine::btree::Tree;
use engine::disk::{Bytes, Key, Kind, Logical, ObjectId};
use engine::space::{DataExtent, Reservation};
use engine::txn::{Handle, Transactions, Units};
use harness::device::{Image, Recorder};
use harness::mount::Layers;
use harness::random::Random;
use harness::reuse::{watch, Watched};
use harness::tools;
use kernel::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::vec::Vec;

const MIB: u64 = 1 << 20;

/// A mount whose device is watched.
struct Watch {
    mounted: Layers,
    hooked: Arc<Hooked>,
    base: Image,
    recorder: Recorder,
}

impl Watch {
    fn mount(image: Image) -> Self {
        let (mounted, hooked) = mount_hooked(image);
        let recorder = Recorder::default();
        mounted.device().record(&recorder, 0);
        let base = mounted.device().image();
        Self {
            mounted,
            hooked,
            base,
            recorder,
        }
    }

    fn txns(&self) -> &Arc<Transactions> {
        &self.mounted.txns
    }

    fn commit(&self) {
        self.txns().commit().unwrap();
    }

    /// Commits, and does something while the blocks are on their way: the next transaction is open.
    fn commit_during(&self, work: impl FnOnce(&Arc<Transactions>) + Send + 'static) {
        let txns = self.txns().clone();
        self.hooked.hook(move || work(&txns));
        self.commit();
    }

    fn end(self) -> Watched {
        drop(self.hooked);
        let image = unmount(self.mounted);
        tools::check(&image).unwrap();
        watch(self.base, &self.recorder).unwrap()
    }
}

/// Writes where a file's extents are, as writeback does. On zones they are written as they are allocated.
fn write(txns: &Transactions, extents: &[(Logical, Bytes)]) {
    if txns.volume().rules().writes_in_order() {
        return;
    }
    for &(addr, len) in extents {
        for place in txns.volume().map(addr, len).unwrap().copies() {
            let device = txns.volume().device(place.devid).unwrap();
            device
                .write(place.at, &vec![7; len.get() as usize])
                .unwrap();
        }
    }
}

/// Makes files until nothing fits any more.
fn fill(files: &Files<'_>, len: u64) -> Vec<File> {
    let make = |number| files.create(&format!("file{number}"), len, len);
    (0..).map_while(|number| make(number).ok()).collect()
}

/// Takes space for data if there is some, and waits for none.
fn take_now(txns: &Transactions, len: u64) {
    let Ok((data, _)) = txns.try_reserve(Bytes::new(len), Units::inserts(4)) else {
        return;
    };
    if let Ok(extent) = txns
        .space()
        .allocate_data(&data, Bytes::new(len), Bytes::new(4096))
    {
        write(txns, &[(extent.logical, extent.len)]);
        txns.space().release_unwritten(extent.logical, extent.len);
    }
}

/// Of a full volume each transaction frees two files, one of them while the one before is on its way. Two are made at once,
/// for which there is no other place.
#[test]
fn data_of_a_full_volume() {
    let watch = Watch::mount(tools::mkfs(160 * MIB, &["-m", "single"]));
    let files = Files::new(watch.txns());
    let mut all = fill(&files, MIB);
    watch.commit();
    let mut random = Random::new(1);
    let mut take = |all: &mut Vec<File>| all.swap_remove(random.below(all.len() as u64) as usize);
    for round in 0..12 {
        files.remove(&take(&mut all)).unwrap();
        let second = take(&mut all);
        watch.commit_during(move |txns| {
            take_now(txns, MIB);
            Files::new(txns).remove(&second).unwrap();
            txns.maintain().unwrap();
        });
        for name in ["a", "b"] {
            let file = files.create(&format!("{name}{round}"), MIB, MIB).unwrap();
            write(watch.txns(), &file.extents);
            all.push(file);
        }
    }
    drop(files);
    assert!(watch.end().retaken >= 20 * MIB);
}

fn touch(tree: &Tree, handle: &Handle, inode: u64) {
    let key = Key::new(inode, Kind::INODE_ITEM, 0);
    tree.update(handle, &key, |_| ()).unwrap();
}

/// Changes files all over the tree.
fn touch_some(txns: &Transactions, inodes: &[u64], random: &mut Random) {
    let tree = txns.tree(ObjectId::FS_TREE).unwrap();
    for _ in 0..40 {
        let handle = txns.start(Units::updates(1)).unwrap();
        touch(&tree, &handle, *random.choose(inodes));
    }
    txns.maintain().unwrap();
}

/// Blocks of a tree that takes most of what metadata has: each transaction goes round in what is left.
#[test]
fn blocks_of_a_full_volume() {
    let watch = Watch::mount(tools::mkfs(128 * MIB, &["-m", "single", "-n", "4096"]));
    let files = Files::new(watch.txns());
    let all = (0..1500).map(|number| files.create(&format!("{number:0>200}"), 0, 4096).unwrap());
    let inodes: Vec<u64> = all.map(|file| file.inode).collect();
    drop(files);
    watch.commit();
    let mut random = Random::new(2);
    for round in 0..40 {
        touch_some(watch.txns(), &inodes, &mut random);
        let (inodes, mut random) = (inodes.clone(), Random::new(round));
        watch.commit_during(move |txns| touch_some(txns, &inodes, &mut random));
    }
    assert!(watch.end().retaken > MIB);
}

/// Zones are reset when nothing in them is in use; all of one is freed while a commit is on its way.
#[test]
fn data_on_zones() {
    let watch = Watch::mount(zoned_image(16, 16 * MIB));
    let files = Files::new(watch.txns());
    for round in 0..6 {
        let make = |number| {
            files
                .create(&format!("{round}-{number}"), MIB, MIB)
                .unwrap()
        };
        let some: Vec<File> = (0..24).map(make).collect();
        watch.commit();
        files.remove(&some[0]).unwrap();
        watch.commit_during(move |txns| {
            let files = Files::new(txns);
            some[1..]
                .iter()
                .for_each(|file| files.remove(file).unwrap());
            drop(files);
            txns.maintain().unwrap();
        });
        files.create(&format!("{round}"), MIB, MIB).unwrap();
        watch.commit();
    }
    drop(files);
    assert!(watch.end().retaken > 0);
}

/// Another task takes all data that is to be had while a commit is on its way, and then waits for more. What it took.
fn take_patiently(txns: &Arc<Transactions>, len: u64) -> JoinHandle<Vec<DataExtent>> {
    let txns = txns.clone();
    let task = std::thread::spawn(move || {
        let now = || txns.try_reserve(Bytes::new(len), Units::inserts(4)).ok();
        let mut reserved: Vec<Reservation> = std::iter::from_fn(now).map(|both| both.0).collect();
        reserved.push(txns.reserve_data(Bytes::new(len)).unwrap());
        let take = |from: &Reservation| {
            let extent = txns
                .space()
                .allocate_data(from, Bytes::new(len), Bytes::new(4096))
                .unwrap();
            write(&txns, &[(extent.logical, extent.len)]);
            extent
        };
        reserved.iter().map(take).collect()
    });
    // Where there is nothing to wait for it is done by then.
    std::thread::sleep(Duration::from_millis(30));
    task
}

/// Chunks are emptied and removed while a commit is on its way, or before it, and new ones asked for: at once, or while
/// it is on its way.
#[test]
fn chunks_of_a_full_volume() {
    let watch = Watch::mount(tools::mkfs(160 * MIB, &["-m", "single"]));
    let files = Files::new(watch.txns());
    let mut all = fill(&files, MIB);
    for round in 0..6 {
        watch.commit();
        let most = all.len() / 3;
        let first = all.drain(..most);
        first.for_each(|file| files.remove(&file).unwrap());
        watch.commit();
        files.create(&format!("small{round}"), 0, 4096).unwrap();
        if round % 3 == 0 {
            watch.commit_during(|txns| txns.maintain().unwrap());
        } else {
            watch.txns().maintain().unwrap();
        }
        let (tell, told) = std::sync::mpsc::channel();
        if round % 3 == 1 {
            watch.commit_during(move |txns| tell.send(take_patiently(txns, MIB)).unwrap());
        }
        let taken = told.try_recv().ok().map(|task| task.join().unwrap());
        let make = |number| files.create(&format!("{round}-{number}"), MIB, MIB);
        let made = (0..).map_while(|number| make(number).ok());
        all.extend(made.inspect(|file| write(watch.txns(), &file.extents)));
        for DataExtent { logical, len } in taken.into_iter().flatten() {
            watch.txns().space().release_written(logical, len);
        }
    }
    drop(files);
    assert!(watch.end().replaced > 6);
}
