// SPDX-License-Identifier: GPL-2.0
//! The model, the folders and the tools agree with each other.

use harness::history::{folder, History, Model, Op, Profile};
use harness::tools;

#[test]
fn folders_keep_everything() {
    for seed in 0..10 {
        let snapshot = History::mixed(seed, 150).model().snapshot();
        let scratch = tools::Scratch::folder();
        folder::write(&snapshot, scratch.path()).unwrap();
        let back = folder::read(scratch.path()).unwrap();
        assert_eq!(snapshot.compare(&back), Vec::<String>::new());
    }
}

#[test]
fn mkfs_keeps_everything_that_restore_brings_back() {
    for seed in 0..4 {
        let snapshot = History::mixed(seed, 150).model().snapshot();
        let image = tools::mkfs_with(&snapshot, 512 << 20, &[]);
        tools::check(&image).unwrap();
        let back = tools::restore(&image).unwrap();
        assert_eq!(
            snapshot.restorable().compare(&back.restorable()),
            Vec::<String>::new()
        );
    }
}

#[test]
fn the_vfs_lets_through_what_is_made() {
    for (seed, profile) in (0..).zip([Profile::MIXED, Profile::NAMES, Profile::DATA]) {
        let mut model = Model::default();
        let steps = 600;
        let history = History {
            seed,
            profile,
            steps,
        };
        for op in history.steps() {
            assert!(model.lets_through(&op), "{op:?}");
            let _ = model.apply(&op);
        }
    }
}

/// What a failing history is cut down to.
fn shortest(fails: impl Fn(&Model) -> bool + Sync) -> Vec<Op> {
    let history = History {
        seed: 3,
        profile: Profile::MIXED,
        steps: 300,
    };
    let tested = history.test(|steps| {
        let mut model = Model::default();
        for op in steps {
            let _ = model.apply(op);
            assert!(!fails(&model), "as was wanted");
        }
        Ok(())
    });
    let failing = tested.err().unwrap();
    assert_eq!(failing.why, "panic: as was wanted");
    failing.steps
}

#[test]
fn a_history_that_fails_is_told_by_the_steps_that_matter() {
    let steps = shortest(|model| {
        model
            .nodes()
            .any(|(_, node)| node.links > 1 && !node.is_directory())
    });
    assert!(
        matches!(steps[..], [Op::Create { .. }, Op::Link { .. }]),
        "{steps:?}"
    );
    // A directory in a directory, and something in it.
    let steps = shortest(|model| {
        let deep = model.nodes().filter_map(|(id, _)| model.path(id));
        deep.into_iter()
            .any(|path| path.iter().filter(|byte| **byte == b'/').count() > 2)
    });
    assert!(
        steps
            .iter()
            .all(|op| matches!(op, Op::Create { .. } | Op::Rename { .. })),
        "{steps:?}"
    );
    assert!(steps.len() <= 4, "{steps:?}");
}

#[test]
fn a_history_that_passes_is_tested_once() {
    let history = History {
        seed: 4,
        profile: Profile::NAMES,
        steps: 50,
    };
    let times = std::sync::atomic::AtomicU32::new(0);
    let tested = history.test(|steps| {
        times.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert!(steps == history.steps());
        Ok(())
    });
    assert!(tested.is_ok());
    assert_eq!(times.into_inner(), 1);
}
