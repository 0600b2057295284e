// SPDX-License-Identifier: GPL-2.0
//! File systems with something of everything, to be mutated.

use crate::history::{Generator, History, Model, Op, Profile};
use crate::mutate::Subject;
use crate::tools;

const PROFILE: Profile = Profile {
    files: 120,
    ..Profile::MIXED
};
const STEPS: u64 = 500;

/// A file system as mkfs makes it.
pub fn regular(options: &[&str]) -> Subject {
    let mut model = Model::default();
    let mut generator = Generator::new(7, PROFILE);
    for _ in 0..STEPS {
        let _ = model.apply(&generator.next(&model));
    }
    let _ = model.apply(&Op::Remount);
    Subject::new(tools::mkfs_with(
        &model.snapshot(),
        256 << 20,
        &[&["-m", "single"], options].concat(),
    ))
}

/// One on zones, of which mkfs makes none with files in it.
pub fn zoned() -> Subject {
    let layout = tools::zone_layout(16 << 20);
    let history = History {
        seed: 7,
        profile: PROFILE.for_zones(),
        steps: STEPS,
    };
    let outcome = history.run(&[tools::mkfs_zoned(24, &["-m", "single"], layout)]);
    let image = outcome
        .unwrap_or_else(|what| panic!("{what}"))
        .images
        .remove(0);
    Subject::new(image)
}

/// Large nodes, small nodes, zones.
pub fn all() -> [Subject; 3] {
    [regular(&[]), regular(&["-n", "4096"]), zoned()]
}
