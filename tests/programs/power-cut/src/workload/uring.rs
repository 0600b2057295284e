// SPDX-License-Identifier: GPL-2.0
//! io_uring.

use super::combination::Durability;
use super::engine::{Engine, Piece};
use anyhow::{ensure, Result};
use io_uring::{opcode, squeue::Entry, types, IoUring};
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;

pub(super) struct Uring(IoUring);

impl Uring {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(IoUring::new(16)?))
    }

    /// Submits all at once and waits for each.
    fn run(
        &mut self,
        entries: &[Entry],
        ended: &mut dyn FnMut(usize, i64) -> Result<()>,
    ) -> Result<()> {
        // SAFETY: the buffers outlive this call, which waits for all.
        unsafe { self.0.submission().push_multiple(entries)? };
        let (mut outcome, mut left) = (Ok(()), entries.len());
        while left > 0 {
            match self.0.submit_and_wait(1) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for completion in self.0.completion() {
                left -= 1;
                outcome = outcome.and(ended(
                    completion.user_data() as usize,
                    completion.result().into(),
                ));
            }
        }
        outcome
    }
}

impl Engine for Uring {
    fn write(
        &mut self,
        file: &File,
        pieces: &[Piece],
        flags: i32,
        done: &mut dyn FnMut(usize),
    ) -> Result<()> {
        let entry = |(index, piece): (usize, &Piece)| {
            let data = piece.data();
            opcode::Write::new(
                types::Fd(file.as_raw_fd()),
                data.as_ptr(),
                data.len() as u32,
            )
            .offset(piece.at)
            .rw_flags(flags)
            .build()
            .user_data(index as u64)
        };
        let entries: Vec<Entry> = pieces.iter().enumerate().map(entry).collect();
        self.run(&entries, &mut |index, result| {
            pieces[index].written(result)?;
            done(index);
            Ok(())
        })
    }

    fn sync(&mut self, file: &File, durability: Durability) -> Result<()> {
        let flags = match durability {
            Durability::Fdatasync => types::FsyncFlags::DATASYNC,
            _ => types::FsyncFlags::empty(),
        };
        let entry = opcode::Fsync::new(types::Fd(file.as_raw_fd()))
            .flags(flags)
            .build();
        self.run(&[entry], &mut |_, result| {
            ensure!(
                result == 0,
                std::io::Error::from_raw_os_error(-result as i32)
            );
            Ok(())
        })
    }
}
