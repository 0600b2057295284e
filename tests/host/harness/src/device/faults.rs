// SPDX-License-Identifier: GPL-2.0
//! Which requests fail.

use std::ops::Range;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A read.
    Read,
    /// A write.
    Write,
    /// A flush; the one that is part of a durable write counts too.
    Flush,
    /// Zone management.
    Manage,
}

const KINDS: usize = 4;

/// How many requests fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One.
    Once,
    /// This one and all later ones of the kind.
    FromThen,
}

/// The faults that a device is going to have, and how many requests it saw.
#[derive(Default)]
pub struct Faults {
    seen: [u64; KINDS],
    planned: Vec<(Request, u64, Extent)>,
    bad: Vec<(Request, Range<u64>)>,
    dead: bool,
}

impl Faults {
    /// Fails the `n`th request of a kind from now, counted from 0.
    pub fn fail_nth(&mut self, request: Request, n: u64, extent: Extent) {
        self.planned
            .push((request, self.seen[request as usize] + n, extent));
    }

    /// Fails all requests of a kind that touch a range.
    pub fn fail_range(&mut self, request: Request, range: Range<u64>) {
        self.bad.push((request, range));
    }

    /// Fails everything from now on.
    pub fn kill(&mut self) {
        self.dead = true;
    }

    /// Takes all faults away.
    pub fn heal(&mut self) {
        let seen = self.seen;
        *self = Self {
            seen,
            ..Self::default()
        };
    }

    /// How many requests of a kind there were.
    pub fn seen(&self, request: Request) -> u64 {
        self.seen[request as usize]
    }

    /// Counts a request; whether it fails.
    pub fn strike(&mut self, request: Request, range: Range<u64>) -> bool {
        let number = self.seen[request as usize];
        self.seen[request as usize] += 1;
        let planned = self.planned.iter().any(|&(kind, n, extent)| {
            kind == request
                && match extent {
                    Extent::Once => n == number,
                    Extent::FromThen => n <= number,
                }
        });
        let bad = |(kind, bad): &(Request, Range<u64>)| {
            *kind == request && bad.start < range.end && range.start < bad.end
        };
        self.dead || planned || self.bad.iter().any(bad)
    }
}
