// SPDX-License-Identifier: GPL-2.0
//! Mutated images, each of which libFuzzer chooses by what of the engine the earlier ones have reached: see scripts/fuzz.
//! The bytes that it makes are the decisions of `Subject::mutate`, so checksums are right in every image.

#![no_main]

use harness::hostile::{self, change_all, read_all};
use harness::mutate::Subject;
use harness::random::Random;
use harness::subjects;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static SUBJECTS: OnceLock<[Subject; 3]> = OnceLock::new();

fuzz_target!(
    init: {
        SUBJECTS.get_or_init(subjects::all);
    },
    |decisions: &[u8]| {
        let mut random = Random::told(decisions);
        let subject = random.choose(SUBJECTS.get_or_init(subjects::all));
        let image = subject.mutate(&mut random);
        let report = hostile::look(|| match random.one_in(3) {
            true => change_all(image, &mut random),
            false => read_all(image),
        });
        if let Err(what) = report {
            panic!("{what}");
        }
    }
);
