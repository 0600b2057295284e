// SPDX-License-Identifier: GPL-2.0
//! What free space costs: the time of allocations from fragmented volumes, and time and memory of mounts.
//!
//! Figures are printed and nothing is judged: how long something takes is no matter for a test. `scripts/free-space`
//! runs it.

mod allocations;
mod memory;
mod mounts;

use clap::Parser;
use std::path::PathBuf;

/// What free space costs.
#[derive(Parser)]
struct Arguments {
    /// Only allocations from volumes of at most so many GiB.
    #[arg(long, default_value_t = 500)]
    most: u64,
    /// Mounts the volume in this file, and nothing else.
    #[arg(long)]
    mount: Option<PathBuf>,
    /// Only mounts.
    #[arg(long)]
    mounts: bool,
    /// Only allocations.
    #[arg(long)]
    allocations: bool,
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(path) = arguments.mount {
        return mounts::mount(&path);
    }
    if !arguments.mounts {
        for (gib, piece) in [(5, 64), (44, 64), (500, 64), (5, 4), (44, 4)] {
            if gib <= arguments.most {
                allocations::measure(gib, piece << 10);
            }
        }
    }
    if !arguments.allocations {
        mounts::many_groups(&[]);
        mounts::many_groups(&["-O", "^block-group-tree"]);
        mounts::fragmented(466);
    }
}

/// Nanoseconds as microseconds.
fn micros(nanoseconds: u128) -> String {
    format!("{:.1} us", nanoseconds as f64 / 1000.0)
}
