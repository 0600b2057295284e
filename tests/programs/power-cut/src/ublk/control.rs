// SPDX-License-Identifier: GPL-2.0
//! Commands to `/dev/ublk-control`.

use super::abi::ControlCommand;
use anyhow::{bail, Context, Result};
use io_uring::{opcode, squeue::Entry128, types::Fd, IoUring};
use std::fs::File;
use std::os::fd::AsRawFd;
use zerocopy::IntoBytes;

pub(super) struct Control {
    file: File,
    ring: IoUring<Entry128>,
}

impl Control {
    pub(super) fn open() -> Result<Self> {
        let path = "/dev/ublk-control";
        let file = File::options().read(true).write(true).open(path);
        Ok(Self {
            file: file.context(path)?,
            ring: IoUring::builder().build(4)?,
        })
    }

    /// Sends a command and waits for its end. What its address points to lives at least as long.
    pub(super) fn send(&mut self, operation: u32, command: ControlCommand) -> Result<()> {
        let mut bytes = [0; 80];
        let command = command.as_bytes();
        bytes[..command.len()].copy_from_slice(command);
        let entry = opcode::UringCmd80::new(Fd(self.file.as_raw_fd()), operation).cmd(bytes);
        // SAFETY: the caller keeps what the command points to until the answer is here.
        unsafe { self.ring.submission().push(&entry.build())? };
        self.ring.submit_and_wait(1)?;
        match self.ring.completion().next().map(|entry| entry.result()) {
            Some(0..) => Ok(()),
            Some(code) => Err(std::io::Error::from_raw_os_error(-code))
                .context(format!("ublk command {:#x}", operation)),
            None => bail!("no answer from ublk"),
        }
    }
}
