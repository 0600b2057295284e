// SPDX-License-Identifier: GPL-2.0

//! The device has not taken a write: it is sent again in parts, from the worker, and what it has then goes into the trees.
//!
//! Its bytes still hold still, as they are under writeback. The parts go to where the whole was to be: what an append failed to
//! place has no place, and is lost as a whole. A device that fails everything is not asked for long: see [`Hope`].

use super::refusals::PATIENCE;
use super::{FileIo, Write};
use crate::linux::iomap::ioend::{Destination, Resend};
use crate::linux::time::monotonic_ns;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};
use engine::disk::{Bug, Bytes, Logical};
use engine::fs::{Failure, Parts, Run};
use engine::space::DataExtent;
use engine::volume::device::SECTOR;
use latch::prelude::*;

/// How many writes of a mount and parts of them fail one after the other before no write is sent again until one succeeds.
const MOST_WRITES_IN_A_ROW: u32 = 256;

const LEFT: Bug = Bug::new("what was sent again is entered at another place");

/// Whether there is use in sending again what failed: not where nothing succeeds any more.
#[derive(Default)]
pub(crate) struct Hope {
    failed_in_a_row: AtomicU32,
}

impl Hope {
    /// A write has ended.
    pub(super) fn note(&self, result: Result) {
        let row = &self.failed_in_a_row;
        let before = row.load(Ordering::Relaxed);
        match result {
            Err(_) => row.store(before.saturating_add(1), Ordering::Relaxed),
            // All write this: not where it is what it was.
            Ok(()) if before > 0 => row.store(0, Ordering::Relaxed),
            Ok(()) => {}
        }
    }

    fn is_lost(&self) -> bool {
        self.failed_in_a_row.load(Ordering::Relaxed) >= MOST_WRITES_IN_A_ROW
    }
}

/// A write that failed, as it was sent.
struct Failed<'a> {
    at: Logical,
    error: Error,
    resend: &'a Resend,
    /// For how long its parts may still fail, in nanoseconds.
    patience: u64,
}

impl<N: Send + Sync + 'static> FileIo<N> {
    /// Sends a write again that failed by `error`, in parts, and enters what the device has then. An error if any of it is lost.
    pub(super) fn finish_parts(&self, mut write: Write, error: Error, resend: &Resend) -> Result {
        let (mut pos, len) = write.range();
        let patience = match self.path.hope.is_lost() {
            true => 0,
            false => PATIENCE,
        };
        let mut failed = Failed {
            at: write.place(),
            error,
            resend,
            patience,
        };
        let mut result = Ok(());
        let mut parts = Parts::of(len, SECTOR);
        while let Some(run) = parts.next_run(&mut |part| self.send_part(&mut failed, part)) {
            let finished = match write.range().0 == pos {
                true => self.finish_run(&mut write, run),
                // An error has left it where it was: what is behind is not entered in its place.
                false => result.and_then(|()| Err(LEFT.report())),
            };
            if let Err(error) = finished {
                self.report(pos, run.len, error);
            }
            result = result.and(finished);
            pos = pos.saturating_add(run.len);
        }
        result
    }

    fn finish_run(&self, write: &mut Write, run: Run) -> Result {
        match (run.result, write) {
            (Err(error), write) => write.lose_front(run.len).and(Err(error)),
            (Ok(()), Write::New(ordered, _)) => {
                let data = self.path.fs.data();
                data.finish_front(&self.inode, ordered, run.len)
            }
            (Ok(()), Write::InPlace(written)) => {
                let in_place = self.path.fs.in_place();
                in_place.finish_front(&self.inode, written, run.len)
            }
        }
    }

    fn send_part(&self, failed: &mut Failed<'_>, part: Range<Bytes>) -> Result<(), Failure> {
        if failed.patience == 0 {
            return Err(Failure::All(failed.error));
        }
        let all = |_| Failure::All(failed.error);
        self.path.volume.check_sending().map_err(all)?;
        let extent = DataExtent {
            logical: failed.at.saturating_add(part.start),
            len: part.end.saturating_sub(part.start),
        };
        let (Destination::At(sector), device, _) = self.destination(extent).map_err(all)? else {
            return Err(Failure::All(failed.error));
        };
        let begun = monotonic_ns();
        let sent = failed.resend.send(device, sector, &part);
        self.path.tally.resent.fetch_add(1, Ordering::Relaxed);
        self.path.hope.note(sent);
        if sent.is_err() {
            let took = monotonic_ns().saturating_sub(begun);
            failed.patience = failed.patience.saturating_sub(took);
        }
        sent.map_err(Failure::Part)
    }
}
