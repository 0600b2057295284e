// SPDX-License-Identifier: GPL-2.0

//! The device has the bytes: they go into the trees.

use super::{FileIo, Write};
use crate::linux::iomap::ioend::Append;
use crate::linux::iomap::WriteEnd;
use crate::linux::Sector;
use core::sync::atomic::Ordering;
use engine::disk::{Bytes, FileOffset};
use latch::prelude::*;
use latch::NofsScope;

impl<N: Send + Sync + 'static> FileIo<N> {
    /// Closes the ordered extent of a write that has ended, well or not.
    pub(super) fn complete(&self, write: Write, end: &WriteEnd) -> Result {
        let _nofs = NofsScope::enter();
        let (pos, len) = write.range();
        self.path.hope.note(end.result);
        let result = match end.result {
            Ok(()) => self
                .finish(write, end.sector)
                .inspect_err(|error| self.report(pos, len, *error)),
            Err(error) => self.finish_parts(write, error, &end.resend),
        };
        self.ended(pos, len);
        result
    }

    fn finish(&self, write: Write, sector: Sector) -> Result {
        match write {
            Write::New(mut ordered, append) => {
                if append == Append::Yes {
                    let at = self.appended_at(ordered.extent.get(), sector)?;
                    ordered.extent.move_to(at);
                }
                self.path.fs.data().finish_ordered(&self.inode, ordered)
            }
            Write::InPlace(written) => self.path.fs.in_place().finish(&self.inode, written),
        }
    }

    /// Logs one line for bytes that are lost.
    pub(super) fn report(&self, pos: FileOffset, len: Bytes, error: Error) {
        self.path.tally.failed.fetch_add(1, Ordering::Relaxed);
        pr_err!(
            "inode {} of tree {}: bytes {pos} to {} could not be written: {error:?}\n",
            self.inode.number(),
            self.inode.subvolume().id(),
            pos.saturating_add(len)
        );
    }
}
