// SPDX-License-Identifier: GPL-2.0
//! In which parts a write that failed is sent again, so that no more is lost than the sectors whose own write fails.
//!
//! The parts go out one after the other, in order. What is known to fail is halved until a sector is left; behind one that is
//! lost a part is a sector again, and each that is written makes the next twice as long. So one bad sector of `n` costs about
//! `2 log n` requests, and each more beside it one. Where many are lost in a row the far half of what is left is tried between
//! them: it is good behind a bad range, and bad where all is. What this may cost has bounds (`MOST`, `MOST_SECTORS_IN_A_ROW`), and
//! whoever sends may say at any time that there is no use in it.

use crate::disk::Bytes;
use core::ops::Range;
use latch::prelude::*;

/// The most parts that one write is sent again in: what is left then is lost.
const MOST: u32 = 1024;

/// After how many sectors lost in a row the far half of what is left is tried; after twice as many again, and so on.
const FIRST_LOOK: u32 = 16;

/// After how many sectors lost in a row all that is left is lost, where its far half cannot be written either, nor half of that, and
/// so on.
const MOST_SECTORS_IN_A_ROW: u32 = 256;

/// Why a part was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The write of this part failed.
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
    /// How many bytes behind the end have been written.
    behind: Bytes,
    /// How many sectors were lost since one was written.
    row: u32,
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
    /// Begins with the whole of a write of `len` bytes, whole sectors.
    pub fn of(len: Bytes, sector: Bytes) -> Self {
        Self {
            sector,
            at: Bytes::ZERO,
            end: len,
            behind: Bytes::ZERO,
            row: 0,
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
            None => self.advance(send)?,
        };
        while let Some(next) = self.advance(send) {
            if next.result.is_ok() != run.result.is_ok() {
                self.ahead = Some(next);
                break;
            }
            run.len = run.len.saturating_add(next.len);
        }
        Some(run)
    }

    /// Has parts sent until something has become of the next bytes.
    fn advance(
        &mut self,
        send: &mut dyn FnMut(Range<Bytes>) -> Result<(), Failure>,
    ) -> Option<Run> {
        while self.at < self.end {
            let part = self.at..self.at.saturating_add(self.part_len());
            let len = part.end.saturating_sub(part.start);
            match self.send(part.clone(), send) {
                Ok(()) => return Some(self.written(len)),
                Err(Failure::Part(_)) if len > self.sector => self.suspect = part.end,
                Err(Failure::Part(error)) => {
                    let lost = self.lost(len, error);
                    return Some(match self.look_behind(send) {
                        Ok(()) => lost,
                        Err(_) => Run {
                            len: len.saturating_add(self.lost(self.rest(), error).len),
                            ..lost
                        },
                    });
                }
                Err(Failure::All(error)) => return Some(self.lost(self.rest(), error)),
            }
        }
        let behind = core::mem::replace(&mut self.behind, Bytes::ZERO);
        (behind > Bytes::ZERO).then_some(Run {
            len: behind,
            result: Ok(()),
        })
    }

    /// Sends a part, of as many as are tried: behind them all of the rest fails, by `EIO` as if the device had said so.
    fn send(
        &mut self,
        part: Range<Bytes>,
        send: &mut dyn FnMut(Range<Bytes>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.left = self.left.checked_sub(1).ok_or(Failure::All(EIO))?;
        send(part)
    }

    /// Where it is time for it, tries the far half of what is left. `EIO`, as the device has said of each part, where there is
    /// no use in going on.
    fn look_behind(
        &mut self,
        send: &mut dyn FnMut(Range<Bytes>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.row < FIRST_LOOK || !self.row.is_power_of_two() {
            return Ok(());
        }
        let mut far = self.half_of(self.rest());
        while far > Bytes::ZERO {
            let middle = self.end.saturating_sub(far);
            match self.send(middle..self.end, send) {
                Ok(()) => {
                    self.end = middle;
                    self.behind = self.behind.saturating_add(far);
                    self.row = 0;
                    return Ok(());
                }
                Err(Failure::Part(_)) if self.row < MOST_SECTORS_IN_A_ROW => return Ok(()),
                Err(Failure::Part(_)) => far = self.half_of(far),
                all => return all,
            }
        }
        match self.row < MOST_SECTORS_IN_A_ROW {
            true => Ok(()),
            false => Err(Failure::All(EIO)),
        }
    }

    fn half_of(&self, len: Bytes) -> Bytes {
        len.divided_by(2).round_down(self.sector)
    }

    fn rest(&self) -> Bytes {
        self.end.saturating_sub(self.at)
    }

    /// How long the next part is.
    fn part_len(&self) -> Bytes {
        let suspect = self.suspect.saturating_sub(self.at);
        let len = match suspect {
            Bytes::ZERO => self.stride,
            suspect => self.half_of(suspect),
        };
        len.max(self.sector).min(self.rest())
    }

    fn written(&mut self, len: Bytes) -> Run {
        self.at = self.at.saturating_add(len);
        self.stride = len.saturating_mul(2);
        self.row = 0;
        let result = Ok(());
        Run { len, result }
    }

    fn lost(&mut self, len: Bytes, error: Error) -> Run {
        self.at = self.at.saturating_add(len);
        self.suspect = self.at;
        self.stride = self.sector;
        self.row = self.row.saturating_add(1);
        let result = Err(error);
        Run { len, result }
    }
}
