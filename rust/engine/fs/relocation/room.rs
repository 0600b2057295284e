// SPDX-License-Identifier: GPL-2.0
//! Promising space for new data where some may have to be moved first.

use crate::disk::{Bytes, FileOffset};
use crate::fs::{Data, Inode, WriteReservation};
use crate::space::{Reservation, Urgency};
use latch::prelude::*;

impl Data<'_> {
    /// Promises space for dirtying `[offset, offset + len)`, whole sectors. `ENOSPC` comes from here and from nowhere
    /// later: write dirty data out and ask again before you believe it, for finished data needs less than promised.
    /// `EROFS`, `EFBIG`, `EUCLEAN`.
    pub fn reserve_write(
        &self,
        inode: &Inode,
        offset: FileOffset,
        len: Bytes,
    ) -> Result<WriteReservation> {
        self.reserve_write_of(inode, offset, len, || self.reserve_data(len))
    }

    /// Promises `len` bytes of data. Where there is no space, zones are emptied of which a part is dead.
    fn reserve_data(&self, len: Bytes) -> Result<Reservation> {
        let txns = self.fs.transactions();
        match txns.reserve_data(len) {
            Err(error) if error == ENOSPC => {
                let ask = || txns.reserve_data_now(len, Urgency::Ordinary);
                self.fs.relocation().make_room(ask)
            }
            reserved => reserved,
        }
    }
}
