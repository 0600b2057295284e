// SPDX-License-Identifier: GPL-2.0
//! What grows with the number of block groups: making a chunk, maintenance, a mount.

use crate::{micros, mounts, sorted_times};
use engine::disk::Bytes;
use std::time::Instant;

const GIB: u64 = 1 << 30;
const ROUNDS: usize = 15;

/// The median of what `call` takes.
fn median(mut call: impl FnMut()) -> u128 {
    let times = sorted_times(ROUNDS, || {
        let begun = Instant::now();
        call();
        begun.elapsed()
    });
    times[ROUNDS / 2]
}

/// Prints what each takes beside so many block groups.
pub(crate) fn measure(groups: u64) {
    let mounted = mounts::with_groups(groups, 1 + ROUNDS as u64, &[]);
    let mut promised = Vec::new();
    let chunk = median(|| {
        let more = mounted.txns.reserve_data(Bytes::new(GIB)).expect("a chunk");
        promised.push(more);
    });
    mounted.txns.commit().expect("a commit");
    mounted.txns.maintain().expect("maintenance");
    let maintain = median(|| mounted.txns.maintain().expect("maintenance"));
    let (chunk, maintain) = (micros(chunk), micros(maintain));
    drop(promised);
    let volume = format!("{groups} block groups: a chunk {chunk}, maintenance {maintain}");
    mounts::tell(&volume, &mounts::unmount(mounted));
}
