// SPDX-License-Identifier: GPL-2.0
//! The kernel's `io_submit`, which is what libaio calls.

use super::combination::Durability;
use super::engine::{Engine, Piece};
use anyhow::{ensure, Result};
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;

const WRITE: u16 = 1;
const FSYNC: u16 = 2;
const FDSYNC: u16 = 3;
const DEPTH: usize = 16;

/// `struct iocb` of `linux/aio_abi.h`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Control {
    data: u64,
    key: u32,
    write_flags: i32,
    operation: u16,
    priority: i16,
    file: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event_file: u32,
}

/// `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Event {
    data: u64,
    object: u64,
    result: i64,
    result_too: i64,
}

pub(super) struct Aio {
    context: u64,
}

impl Aio {
    pub(super) fn new() -> Result<Self> {
        let mut context = 0_u64;
        // SAFETY: the kernel writes the context's number.
        let result = unsafe { libc::syscall(libc::SYS_io_setup, DEPTH, &mut context) };
        ensure!(result == 0, std::io::Error::last_os_error());
        Ok(Self { context })
    }

    /// Submits all at once and waits for each; the outcome of those that ended.
    fn run(
        &mut self,
        controls: &[Control],
        ended: &mut dyn FnMut(usize, i64) -> Result<()>,
    ) -> Result<()> {
        let pointers: Vec<*const Control> = controls.iter().map(std::ptr::from_ref).collect();
        let mut submitted = 0;
        while submitted < pointers.len() {
            let rest = &pointers[submitted..];
            // SAFETY: the pointers are valid; the buffers outlive this call, which waits for all.
            let taken = unsafe {
                libc::syscall(libc::SYS_io_submit, self.context, rest.len(), rest.as_ptr())
            };
            ensure!(taken > 0, std::io::Error::last_os_error());
            submitted += taken as usize;
        }
        let mut outcome = Ok(());
        for _ in controls {
            let event = self.wait()?;
            outcome = outcome.and(ended(event.data as usize, event.result));
        }
        outcome
    }

    fn wait(&mut self) -> Result<Event> {
        loop {
            let mut event = Event::default();
            let none = std::ptr::null::<libc::timespec>();
            // SAFETY: there is room for one event.
            let got = unsafe {
                libc::syscall(libc::SYS_io_getevents, self.context, 1, 1, &mut event, none)
            };
            match (got, std::io::Error::last_os_error()) {
                (1, _) => return Ok(event),
                // The work of an io_uring that this thread had interrupts it.
                (_, error) if error.kind() == ErrorKind::Interrupted => {}
                (_, error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        // SAFETY: nothing is under way.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}

impl Engine for Aio {
    fn write(
        &mut self,
        file: &File,
        pieces: &[Piece],
        flags: i32,
        done: &mut dyn FnMut(usize),
    ) -> Result<()> {
        let control = |(index, piece): (usize, &Piece)| Control {
            data: index as u64,
            write_flags: flags,
            operation: WRITE,
            file: file.as_raw_fd() as u32,
            buffer: piece.data().as_ptr() as u64,
            bytes: piece.data().len() as u64,
            offset: piece.at as i64,
            ..Control::default()
        };
        let controls: Vec<Control> = pieces.iter().enumerate().map(control).collect();
        self.run(&controls, &mut |index, result| {
            pieces[index].written(result)?;
            done(index);
            Ok(())
        })
    }

    fn sync(&mut self, file: &File, durability: Durability) -> Result<()> {
        let operation = if durability == Durability::Fdatasync {
            FDSYNC
        } else {
            FSYNC
        };
        let control = Control {
            operation,
            file: file.as_raw_fd() as u32,
            ..Control::default()
        };
        self.run(&[control], &mut |_, result| {
            ensure!(
                result == 0,
                std::io::Error::from_raw_os_error(-result as i32)
            );
            Ok(())
        })
    }
}
