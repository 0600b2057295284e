// SPDX-License-Identifier: GPL-2.0
//! The moment of a change.

use super::Inode;
use crate::fs::Time;

/// Says when inodes change. It is asked at the change itself, when all waiting is over and nobody else can get at the
/// attributes: a moment that was taken before could be older than what others have shown in the meantime, and a look in
/// between would not tell the change from what was there.
pub trait Now {
    /// The moment of a change of `inode`, whose attributes are locked: no lock may be taken.
    fn of(&self, inode: &Inode) -> Time;

    /// The moment at which something is made that nobody has seen.
    fn of_new(&self) -> Time;
}

/// A moment that was fixed before.
impl Now for Time {
    fn of(&self, _inode: &Inode) -> Time {
        *self
    }

    fn of_new(&self) -> Time {
        *self
    }
}

impl<T: Now + ?Sized> Now for &T {
    fn of(&self, inode: &Inode) -> Time {
        (**self).of(inode)
    }

    fn of_new(&self) -> Time {
        (**self).of_new()
    }
}
