// SPDX-License-Identifier: GPL-2.0
//! What free space costs: the time of allocations from fragmented volumes, and time and memory of mounts.
//!
//! Figures are printed and nothing is judged: how long something takes is no matter for a test. `scripts/free-space`
//! runs it.

mod allocations;
mod growth;
mod memory;
mod mounts;
mod worn;

use clap::Parser;
use harness::device::Image;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For `mkfs.btrfs`: block group items are in the extent tree.
const WITHOUT_GROUP_TREE: &[&str] = &["-O", "^block-group-tree"];

/// What free space costs.
#[derive(Parser)]
struct Arguments {
    /// Only allocations from volumes of at most so many GiB.
    #[arg(long, default_value_t = 500)]
    most: u64,
    /// Mounts the volume in this file, and nothing else.
    #[arg(long)]
    mount: Option<PathBuf>,
    /// Leaves the volumes as files in this folder, for a guest to mount, and measures nothing.
    #[arg(long)]
    save: Option<PathBuf>,
    /// Only mounts.
    #[arg(long)]
    mounts: bool,
    /// Only allocations.
    #[arg(long)]
    allocations: bool,
    /// Only volumes that were filled and emptied ten times.
    #[arg(long)]
    worn: bool,
    /// Only what grows with the number of block groups.
    #[arg(long)]
    growth: bool,
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(path) = arguments.mount {
        return mounts::mount(&path);
    }
    if let Some(folder) = arguments.save {
        return save(&folder);
    }
    if arguments.worn {
        return worn::all();
    }
    if arguments.growth {
        return [200, 1000, 10_000].into_iter().for_each(growth::measure);
    }
    if !arguments.mounts {
        for (gib, piece) in [(5, 64), (44, 64), (500, 64), (5, 4), (44, 4), (500, 4)] {
            if gib <= arguments.most {
                allocations::measure(gib, piece << 10);
            }
        }
    }
    if !arguments.allocations {
        mounts::tell("10,000 block groups", &mounts::many_groups(&[]));
        let plain = mounts::many_groups(WITHOUT_GROUP_TREE);
        mounts::tell("10,000 block groups in the extent tree", &plain);
        let hostile = mounts::fragmented(466, 64 << 10);
        mounts::tell("466 GiB, every other 64 KiB of it free", &hostile);
    }
}

/// Saves each volume under what it is called in the figures: GiB and KiB of its free pieces, or what else it is.
fn save(folder: &Path) {
    let save = |name: &str, image: Image| {
        println!("{name}");
        image.pages.save(&folder.join(name)).expect("a file");
    };
    for gib in [5, 44, 500] {
        save(&format!("gib{gib}-whole"), mounts::whole(gib));
        for piece in [64, 4] {
            save(
                &format!("gib{gib}-{piece}"),
                mounts::fragmented(gib, piece << 10),
            );
        }
    }
    save("hostile", mounts::fragmented(466, 64 << 10));
    save("groups", mounts::many_groups(&[]));
    save("groups-no-tree", mounts::many_groups(WITHOUT_GROUP_TREE));
}

/// The nanoseconds that `call` gives, of so many calls, the shortest first.
fn sorted_times(rounds: usize, mut call: impl FnMut() -> Duration) -> Vec<u128> {
    let mut times: Vec<u128> = (0..rounds).map(|_| call().as_nanos()).collect();
    times.sort_unstable();
    times
}

/// Nanoseconds as microseconds.
fn micros(nanoseconds: u128) -> String {
    format!("{:.1} us", nanoseconds as f64 / 1000.0)
}
