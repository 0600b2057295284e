// SPDX-License-Identifier: GPL-2.0
//! What `mkfs.btrfs --rootdir` made is what is read.

use crate::player::Player;
use engine::disk::name_hash;
use harness::history::{Generator, Model, Op, Profile, ROOT};
use harness::history::{Kind, Place};
use harness::tools;
use std::collections::HashMap;

const MIB: u64 = 1 << 20;

fn model(seed: u64, profile: Profile, steps: usize) -> Model {
    let mut model = Model::default();
    let mut generator = Generator::new(seed, profile);
    for _ in 0..steps {
        let op = generator.next(&model);
        let _ = model.apply(&op);
    }
    let _ = model.apply(&Op::Remount);
    model
}

#[test]
fn files_of_mkfs_are_read() {
    for (seed, options) in [
        (0, &[][..]),
        (1, &["-n", "4096"]),
        (2, &["-O", "^no-holes"]),
    ] {
        let model = model(seed, Profile::MIXED, 300);
        let image = tools::mkfs_with(&model.snapshot(), 512 * MIB, options);
        let mut player = Player::mount(image).unwrap();
        player.compare(&model);
        // Nothing was written.
        let image = player.unmount();
        tools::check(&image).unwrap();
    }
}

/// Names with one hash, all in one directory.
fn colliding(count: usize) -> Vec<Vec<u8>> {
    let mut by_hash: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut found = Vec::new();
    for n in 0_u64.. {
        let name = format!("{n:x}").into_bytes();
        if let Some(other) = by_hash.insert(name_hash(&name), name.clone()) {
            found.extend([other, name]);
            if found.len() >= count {
                break;
            }
        }
    }
    found
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
        model
            .apply(&Op::Create {
                id,
                at,
                kind: Kind::File,
                mode: 0o644,
            })
            .unwrap();
        model
            .apply(&Op::Write {
                id,
                offset: 5000 * id,
                len: 100,
                seed: id,
            })
            .unwrap();
    }
    let image = tools::mkfs_with(&model.snapshot(), 256 * MIB, &[]);
    let mut player = Player::mount(image).unwrap();
    player.compare(&model);
}
