// SPDX-License-Identifier: GPL-2.0
//! What all interfaces can do.

use super::combination::{Durability, Interface};
use super::{aio::Aio, blocking::Blocking, uring::Uring};
use anyhow::{ensure, Result};
use std::fs::File;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A piece of memory that direct IO takes.
#[repr(C, align(4096))]
#[derive(Clone, FromBytes, IntoBytes, Immutable)]
struct Aligned([u8; 4096]);

/// Data on its way to a place in a file.
pub(super) struct Piece {
    pub at: u64,
    buffer: Vec<Aligned>,
    len: usize,
}

impl Piece {
    pub(super) fn new(at: u64, len: usize) -> Self {
        let buffer = vec![Aligned([0; 4096]); len.div_ceil(4096)];
        Self { at, buffer, len }
    }

    pub(super) fn data(&self) -> &[u8] {
        &self.buffer.as_bytes()[..self.len]
    }

    pub(super) fn data_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.as_mut_bytes()[..self.len]
    }

    /// Judges the result of its write.
    pub(super) fn written(&self, result: i64) -> Result<()> {
        match result {
            0.. => ensure!(
                result as usize == self.len,
                "{result} bytes written of {}",
                self.len
            ),
            code => return Err(std::io::Error::from_raw_os_error(-code as i32).into()),
        }
        Ok(())
    }
}

/// An interface, open.
pub(super) trait Engine {
    /// Writes all pieces at once; `done` is told of each as soon as it is.
    fn write(
        &mut self,
        file: &File,
        pieces: &[Piece],
        flags: i32,
        done: &mut dyn FnMut(usize),
    ) -> Result<()>;
    /// fdatasync or fsync.
    fn sync(&mut self, file: &File, durability: Durability) -> Result<()>;
}

pub(super) fn open(interface: Interface) -> Result<Box<dyn Engine>> {
    Ok(match interface {
        Interface::Blocking => Box::new(Blocking),
        Interface::Aio => Box::new(Aio::new()?),
        Interface::Uring => Box::new(Uring::new()?),
    })
}
