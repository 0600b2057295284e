// SPDX-License-Identifier: GPL-2.0

//! What is said where code broke its own promise.
//!
//! What only a mistake in this code can break is a [`Bug`], whatever the disk holds: a line of its own, and `EIO`. A bug
//! needs no place, so `?` reports it too.
//!
//! ```ignore
//! const NOT_LOCKED: Bug = Bug::new("a block that a change needs is not locked");
//! let step = self.step(level).ok_or(NOT_LOCKED)?;
//! ```
//!
//! All of it is cold code: in a hot loop the only cost is the branch.

use crate::prelude::{pr_err, Error, EIO};
use kernel::fmt;

/// A promise of this code that does not hold, whatever the disk has: a mistake of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a bug that nobody reports is an error without a reason"]
pub struct Bug {
    what: &'static str,
    of: Option<u64>,
}

impl Bug {
    /// Names what is not so.
    #[cold]
    pub const fn new(what: &'static str) -> Self {
        Self { what, of: None }
    }

    /// Adds the number that helps to find it: an address, a level, a length.
    #[cold]
    pub const fn of(self, number: u64) -> Self {
        Self {
            of: Some(number),
            ..self
        }
    }

    /// Logs the line, unless there were too many lately, and gives the error for the caller.
    #[cold]
    #[inline(never)]
    #[must_use = "the line is logged: the error is for the caller"]
    pub fn report(self) -> Error {
        pr_err!("{}\n", self);
        EIO
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bug of this driver: {}", self.what)?;
        match self.of {
            Some(number) => write!(f, " ({number})"),
            None => Ok(()),
        }
    }
}

/// `?` reports a bug: it needs no place to make sense.
impl From<Bug> for Error {
    #[cold]
    fn from(bug: Bug) -> Error {
        bug.report()
    }
}
