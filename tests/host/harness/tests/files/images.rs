// SPDX-License-Identifier: GPL-2.0
//! What `mkfs.btrfs --rootdir` made is what is read.

use crate::files::Files;
use engine::disk::name_hash;
use harness::history::{compare_files, survey, History, Kind, Model, Op, Place, ROOT};
use harness::random::Random;
use harness::tools;
use std::collections::HashMap;

const MIB: u64 = 1 << 20;

#[test]
fn files_of_mkfs_are_read() {
    for (seed, options) in [
        (0, &[][..]),
        (1, &["-n", "4096"]),
        (2, &["-O", "^no-holes"]),
    ] {
        let model = History::mixed(seed, 300).model();
        let image = tools::mkfs_with(&model.snapshot(), 512 * MIB, options);
        let files = Files::mount(image);
        let mut found = survey(&files.mounted).unwrap();
        let mut wanted = model.snapshot();
        // mkfs does not keep device numbers.
        for file in found.files.values_mut().chain(wanted.files.values_mut()) {
            if let Kind::Device(number) = &mut file.kind {
                *number = 0;
            }
        }
        assert_eq!(wanted.compare(&found), Vec::<String>::new());
        tools::check(&files.unmount()).unwrap();
    }
}

/// Names with one hash.
fn colliding(count: usize) -> Vec<Vec<u8>> {
    let mut by_hash: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut found = Vec::new();
    let mut random = Random::new(0);
    loop {
        let name = format!("{:x}", random.next()).into_bytes();
        if let Some(other) = by_hash.insert(name_hash(&name), name.clone()) {
            found.extend([other, name]);
            if found.len() >= count {
                return found;
            }
        }
    }
}

#[test]
fn names_that_collide_and_long_names() {
    let mut model = Model::default();
    let mut names = colliding(6);
    names.push(vec![b'n'; 255]);
    for (id, name) in (1..).zip(&names) {
        let at = Place {
            dir: ROOT,
            name: name.clone(),
        };
        let kind = Kind::File;
        model
            .apply(&Op::Create {
                id,
                at,
                kind,
                mode: 0o644,
            })
            .unwrap();
        let (offset, len) = (5000 * id, 100);
        model
            .apply(&Op::Write {
                id,
                offset,
                len,
                seed: id,
            })
            .unwrap();
    }
    let image = tools::mkfs_with(&model.snapshot(), 256 * MIB, &[]);
    let files = Files::mount(image);
    compare_files(&files.mounted, &model).unwrap();
    // One of two goes, the other stays.
    let entries = files.entries(&files.root).unwrap();
    let inode = files
        .fs
        .inodes()
        .get(&files.top, entries[&names[0]])
        .unwrap();
    files
        .fs
        .names()
        .unlink(&files.root, &names[0], &inode, harness::mount::NOW)
        .unwrap();
    files.fs.inodes().evict(&inode).unwrap();
    assert_eq!(files.fs.names().lookup(&files.root, &names[0]), Ok(None));
    assert!(files
        .fs
        .names()
        .lookup(&files.root, &names[1])
        .unwrap()
        .is_some());
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}
