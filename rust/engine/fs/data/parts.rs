// SPDX-License-Identifier: GPL-2.0
//! In which parts a write that failed is sent again, so that no more is lost than the sectors whose own write fails.
//!
//! The parts go out one after the other, in order. What is known to fail is halved until a sector is left; behind one that is
//! lost a part is a sector again, and each that is written makes the next twice as long. So one bad sector of `n` costs about
//! `2 log n` requests, and each more beside it one. What that may cost in all has a bound (`MOST`), and whoever sends may
//! say at any time that there is no use in it.

use crate::disk::Bytes;
use core::ops::Range;
use latch::prelude::*;

/// The most parts that one write is sent again in: what is left then is lost.
const MOST: u32 = 1024;

/// Why a part was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its own write failed.
    Part(Error),
    /// There is no use in sending anything of the write any more.
    All(Error),
}

/// Neighbours of which the same has become, as long as all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many bytes there are.
    pub len: Bytes,
    /// Whether the device has them; the first error, if not.
    pub result: Result,
}

/// What is left of a write that failed.
pub struct Parts {
    sector: Bytes,
    at: Bytes,
    end: Bytes,
    /// What is before this cannot be written as one.
    suspect: Bytes,
    /// How long the next part is where nothing is suspect.
    stride: Bytes,
    /// How many parts may still be sent.
    left: u32,
    /// What has become of the bytes behind the last run.
    ahead: Option<Run>,
}

impl Parts {
    /// For a write of `len` bytes, whole sectors.
    pub fn of(len: Bytes, sector: Bytes) -> Self {
        Self {
            sector,
            at: Bytes::ZERO,
            end: len,
            suspect: len,
            stride: sector,
            left: MOST,
            ahead: None,
        }
    }

    /// Has parts sent until it is known what has become of the next bytes, all that have the same fate; `None` behind the last.
    /// `send` is given what of the write to send.
    pub fn next_run(
        &mut self,
        send: &mut dyn FnMut(Range<Bytes>) -> Result<(), Failure>,
    ) -> Option<Run> {
        let mut run = match self.ahead.take() {
            Some(run) => run,
            None => self.settle(send)?,
        };
        while let Some(next) = self.settle(send) {
            if next.result.is_ok() != run.result.is_ok() {
                self.ahead = Some(next);
                break;
            }
            run.len = run.len.saturating_add(next.len);
        }
        Some(run)
    }

    /// Has parts sent until something has become of the next bytes.
    fn settle(&mut self, send: &mut dyn FnMut(Range<Bytes>) -> Result<(), Failure>) -> Option<Run> {
        while self.at < self.end {
            let part = self.at..self.at.saturating_add(self.part_len());
            let len = part.end.saturating_sub(part.start);
            let result = match self.left.checked_sub(1) {
                Some(left) => {
                    self.left = left;
                    send(part.clone())
                }
                None => Err(Failure::All(EIO)),
            };
            match result {
                Ok(()) => return Some(self.written(len)),
                Err(Failure::Part(_)) if len > self.sector => self.suspect = part.end,
                Err(Failure::Part(error)) => return Some(self.lost(len, error)),
                Err(Failure::All(error)) => {
                    return Some(self.lost(self.end.saturating_sub(self.at), error))
                }
            }
        }
        None
    }

    /// How long the next part is.
    fn part_len(&self) -> Bytes {
        let suspect = self.suspect.saturating_sub(self.at);
        let len = match suspect {
            Bytes::ZERO => self.stride,
            suspect => suspect.divided_by(2).round_down(self.sector),
        };
        len.max(self.sector).min(self.end.saturating_sub(self.at))
    }

    fn written(&mut self, len: Bytes) -> Run {
        self.at = self.at.saturating_add(len);
        self.stride = len.saturating_mul(2);
        let result = Ok(());
        Run { len, result }
    }

    fn lost(&mut self, len: Bytes, error: Error) -> Run {
        self.at = self.at.saturating_add(len);
        self.suspect = self.at;
        self.stride = self.sector;
        let result = Err(error);
        Run { len, result }
    }
}
