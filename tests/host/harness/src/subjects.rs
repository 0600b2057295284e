// SPDX-License-Identifier: GPL-2.0
//! File systems with something of everything, to be mutated.

use crate::history::{History, Profile};
use crate::mutate::Subject;
use crate::tools;

const PROFILE: Profile = Profile {
    files: 120,
    ..Profile::MIXED
};

fn history(profile: Profile) -> History {
    History {
        seed: 7,
        profile,
        steps: 500,
    }
}

/// A file system as mkfs makes it.
pub fn regular(options: &[&str]) -> Subject {
    Subject::new(tools::mkfs_with(
        &history(PROFILE).model().snapshot(),
        256 << 20,
        &[&["-m", "single"], options].concat(),
    ))
}

/// One on zones, of which mkfs makes none with files in it.
pub fn zoned() -> Subject {
    let layout = tools::zone_layout(16 << 20);
    let outcome =
        history(PROFILE.for_zones()).run(&[tools::mkfs_zoned(24, &["-m", "single"], layout)]);
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
