// SPDX-License-Identifier: GPL-2.0
//! The time that an allocation takes where free space is in small pieces.

use crate::{memory, micros, sorted_times};
use engine::disk::{Bytes, Logical};
use engine::space::Reservation;
use engine::txn::Transactions;
use harness::mount::{Access, Mounted};
use harness::tools;
use std::time::Instant;

const GIB: u64 = 1 << 30;
const ROUNDS: usize = 2001;

/// Makes a volume all of which has chunks; its data, and a reservation of that.
fn filled(gib: u64) -> (Mounted, Vec<Reservation>) {
    let image = tools::mkfs(gib * GIB, &["-m", "single"]);
    let mounted = Mounted::mount(vec![image], Access::ReadWrite).expect("a volume");
    let mut promised = Vec::new();
    // The last of it is in smaller chunks.
    for size in [GIB, GIB / 16, 1 << 20] {
        while let Ok(more) = mounted.txns.reserve_data(Bytes::new(size)) {
            promised.push(more);
        }
    }
    (mounted, promised)
}

/// Prints what allocations of all sizes take from a volume of which every other `piece` bytes are free.
pub(crate) fn measure(gib: u64, piece: u64) {
    let (mounted, promised) = filled(gib);
    let space = mounted.txns.space();
    let before = memory::in_use();
    let mut taken = Vec::new();
    for reservation in &promised {
        while reservation.bytes() >= Bytes::new(piece) {
            let wanted = reservation.bytes().min(Bytes::new(GIB / 8));
            let Ok(extent) = space.allocate_data(reservation, wanted, Bytes::new(piece)) else {
                break;
            };
            taken.push(extent);
        }
    }
    drop(promised);
    let mut pieces = 0u64;
    for extent in taken {
        let start = extent.logical.get();
        for at in (start..start + extent.len.get()).step_by(2 * piece as usize) {
            let len = piece.min(start + extent.len.get() - at);
            space.release_unwritten(Logical::new(at), Bytes::new(len));
            pieces += 1;
        }
    }
    let memory = memory::in_use().saturating_sub(before);
    println!(
        "{gib} GiB, {pieces} pieces of {} KiB, {memory} KiB:",
        piece >> 10
    );
    for wanted in [4 << 10, 16 << 10, 64 << 10, 96 << 10, 1 << 20, 128 << 20] {
        let times = times_of(&mounted.txns, wanted);
        println!(
            "    {:>6} KiB wanted: median {}, 99 of 100 {}",
            wanted >> 10,
            micros(times[ROUNDS / 2]),
            micros(times[ROUNDS / 100 * 99]),
        );
    }
}

/// The median of many allocations of data.
pub(crate) fn median(txns: &Transactions, wanted: u64) -> u128 {
    let times = times_of(txns, wanted);
    times[times.len() / 2]
}

/// What each of many allocations takes, which are given back at once.
fn times_of(txns: &Transactions, wanted: u64) -> Vec<u128> {
    let space = txns.space();
    sorted_times(ROUNDS, || {
        let reservation = txns.reserve_data(Bytes::new(wanted)).expect("space");
        let begun = Instant::now();
        let extent = space.allocate_data(&reservation, Bytes::new(wanted), Bytes::new(4096));
        let time = begun.elapsed();
        let extent = extent.expect("an extent");
        space.release_unwritten(extent.logical, extent.len);
        time
    })
}
