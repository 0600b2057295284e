// SPDX-License-Identifier: GPL-2.0
//! A commit behind the data that names count on: what joins it while it waits has its data, too.

use crate::files::{Files, SECTOR};
use engine::disk::{Bytes, FileOffset};
use engine::fs::{Inode, OrderedExtent, Rename, RenameMode, Side, Target};
use harness::device::Image;
use harness::mount::NOW;
use harness::random::Random;
use harness::tools;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::Mutex;
use std::time::Duration;
use std::vec::Vec;

/// Where the first superblock is.
const SUPERBLOCK: u64 = 64 << 10;
const LEN: usize = SECTOR as usize;

fn rename_over(files: &Files, moved: &Inode, replaced: &Inode) {
    let side = |name| Side {
        dir: &files.root,
        name,
    };
    let renamed = files.fs.names().rename(&Rename {
        from: side(b"new"),
        to: side(b"old"),
        moved,
        mode: RenameMode::Move {
            replaced: Some(replaced),
            whiteout: None,
        },
        now: &NOW,
    });
    renamed.unwrap();
}

/// A write whose bytes the device has, and which nobody has entered.
fn written(files: &Files, inode: &Inode) -> OrderedExtent {
    let data = files.fs.data();
    let mut promised = data
        .reserve_write(inode, FileOffset::new(0), Bytes::new(SECTOR))
        .unwrap();
    files
        .to_device(inode, 0, &[2; LEN], SECTOR, &mut promised)
        .unwrap()
}

fn content(image: Image) -> Vec<u8> {
    let files = Files::mount(image);
    let Some(Target::Inode(number, _)) = files.fs.names().lookup(&files.root, b"old").unwrap()
    else {
        panic!("the name is gone");
    };
    let inode = files.fs.inodes().get(&files.top, number).unwrap();
    assert_eq!(inode.attributes().size, Bytes::new(SECTOR));
    files.read(&inode, 0, SECTOR).unwrap()
}

/// The commit before is on its way to the device for long. Another is asked for, and waits for that; then a file takes the place of
/// one by a rename, which joins. Its bytes are asked for again when no name joins any more, and are entered.
#[test]
fn a_name_that_joins_late_has_its_data() {
    let files = Files::mount(tools::mkfs(256 << 20, &[]));
    let old = files.file(b"old");
    files.write_sectors(&old, 0, &[1; LEN], SECTOR).unwrap();
    files.txns().commit().unwrap();
    let new = files.file(b"new");
    let ((begun, has_begun), (go, may_go)) = (channel(), channel::<()>());
    let device = files.mounted.device();
    let superblock = SUPERBLOCK..SUPERBLOCK + SECTOR;
    device.before_write(vec![superblock], move || {
        begun.send(()).unwrap();
        may_go.recv().unwrap();
    });
    let (pending, asked) = (Mutex::new(None), AtomicU32::new(0));
    let data = || {
        let moved = files.fs.names().lookup(&files.root, b"new");
        assert_eq!(moved, Ok(None), "before the name has joined");
        // The first time everybody can join, and more might come.
        if asked.fetch_add(1, Ordering::Relaxed) == 1 {
            let ordered: OrderedExtent = pending.lock().unwrap().take().unwrap();
            files.fs.data().finish_ordered(&new, ordered).unwrap();
        }
    };
    std::thread::scope(|scope| {
        files.file(b"before");
        let before = scope.spawn(|| files.txns().commit());
        has_begun.recv().unwrap();
        files.file(b"behind");
        let behind = scope.spawn(|| files.txns().commit_behind(&data));
        // It cannot end, and waits by then, most likely.
        std::thread::sleep(Duration::from_millis(100));
        *pending.lock().unwrap() = Some(written(&files, &new));
        rename_over(&files, &new, &old);
        go.send(()).unwrap();
        assert_eq!(before.join().unwrap(), Ok(()));
        assert_eq!(behind.join().unwrap(), Ok(()));
    });
    assert_eq!(asked.into_inner(), 2);
    let cut = files.mounted.device().after_power_cut(&mut Random::new(1));
    assert_eq!(content(cut), [2; LEN]);
    drop((old, new));
    tools::check(&files.unmount()).unwrap();
}
