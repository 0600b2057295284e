// SPDX-License-Identifier: GPL-2.0
//! The model, the folders and the tools agree with each other.

use harness::history::{folder, Generator, Model, Op, Profile};
use harness::tools;

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
fn folders_keep_everything() {
    for seed in 0..10 {
        let snapshot = model(seed, Profile::MIXED, 150).snapshot();
        let scratch = tools::Scratch::folder();
        folder::write(&snapshot, scratch.path()).unwrap();
        let back = folder::read(scratch.path()).unwrap();
        assert_eq!(snapshot.compare(&back), Vec::<String>::new());
    }
}

#[test]
fn mkfs_keeps_everything_that_restore_brings_back() {
    for seed in 0..4 {
        let snapshot = model(seed, Profile::MIXED, 150).snapshot();
        let image = tools::mkfs_with(&snapshot, 512 << 20, &[]);
        tools::check(&image).unwrap();
        let back = tools::restore(&image).unwrap();
        assert_eq!(
            snapshot.restorable().compare(&back.restorable()),
            Vec::<String>::new()
        );
    }
}
