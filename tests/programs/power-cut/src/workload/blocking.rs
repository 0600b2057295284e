// SPDX-License-Identifier: GPL-2.0
//! `pwritev2`, `fsync` and `fdatasync`.

use super::combination::Durability;
use super::engine::{Engine, Piece};
use anyhow::Result;
use std::fs::File;
use std::os::fd::AsRawFd;

pub(super) struct Blocking;

impl Engine for Blocking {
    fn write(
        &mut self,
        file: &File,
        pieces: &[Piece],
        flags: i32,
        done: &mut dyn FnMut(usize),
    ) -> Result<()> {
        for (index, piece) in pieces.iter().enumerate() {
            let data = piece.data();
            let vector = libc::iovec {
                iov_base: data.as_ptr().cast_mut().cast(),
                iov_len: data.len(),
            };
            // SAFETY: the vector describes `data`, which is only read.
            let result =
                unsafe { libc::pwritev2(file.as_raw_fd(), &vector, 1, piece.at as i64, flags) };
            match result {
                0.. => piece.written(result as i64)?,
                _ => return Err(std::io::Error::last_os_error().into()),
            }
            done(index);
        }
        Ok(())
    }

    fn sync(&mut self, file: &File, durability: Durability) -> Result<()> {
        match durability {
            Durability::Fdatasync => file.sync_data()?,
            _ => file.sync_all()?,
        }
        Ok(())
    }
}
