// SPDX-License-Identifier: GPL-2.0
//! The queue of a device: requests come in batches, their answers go back in any order.

use super::abi::{self, Descriptor, IoCommand, ReportedZone};
use anyhow::{ensure, Result};
use io_uring::{opcode, types, IoUring};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;
use zerocopy::IntoBytes;

pub(super) const DEPTH: u16 = 64;
const SECTOR: u64 = 512;

/// What is asked of a device. Positions and lengths are in bytes.
pub(crate) enum Verb {
    Read {
        at: u64,
        len: u64,
    },
    Write {
        at: u64,
        data: Vec<u8>,
        fua: bool,
    },
    Append {
        zone: u64,
        data: Vec<u8>,
        fua: bool,
    },
    Discard {
        at: u64,
        len: u64,
    },
    Reset {
        zone: u64,
    },
    Finish {
        zone: u64,
    },
    /// Open and close: of no consequence for what is stored.
    Hint,
    Flush,
    Report {
        at: u64,
        count: u64,
    },
}

pub(crate) struct Request {
    pub tag: u16,
    pub verb: Verb,
}

/// The answer to a request.
pub(crate) struct Answer {
    pub tag: u16,
    /// What is read.
    pub data: Vec<u8>,
    /// Bytes done or an error number; of an append where it went.
    pub result: std::result::Result<u64, i32>,
    pub at: u64,
}

/// What stands behind a device.
pub(crate) trait Backend: Send {
    /// Takes requests that came at the same time; answers may come later.
    fn take(&mut self, batch: Vec<Request>);
    /// What can be answered now.
    fn answers(&mut self) -> Vec<Answer>;
    /// How long it may sleep when nothing is asked; none as long as nothing waits for an answer.
    fn patience(&self) -> Option<Duration>;
}

struct Descriptors(*const Descriptor, usize);

impl Descriptors {
    fn map(file: &File) -> Result<Self> {
        let len = (DEPTH as usize * size_of::<Descriptor>()).next_multiple_of(4096);
        // SAFETY: a new mapping, which nothing else refers to.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        ensure!(at != libc::MAP_FAILED, std::io::Error::last_os_error());
        Ok(Self(at.cast(), len))
    }

    fn get(&self, tag: u16) -> Descriptor {
        assert!(tag < DEPTH);
        // SAFETY: inside the mapping; the driver changes it only while the tag is its own.
        unsafe { self.0.add(tag.into()).read_volatile() }
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and used by nobody any more.
        unsafe { libc::munmap(self.0.cast_mut().cast(), self.1) };
    }
}

/// Serves a device until it is stopped.
pub(super) fn serve(file: &File, backend: &mut dyn Backend) -> Result<()> {
    let mut queue = Queue {
        file,
        descriptors: Descriptors::map(file)?,
        ring: IoUring::new(u32::from(DEPTH) * 2)?,
        gone: 0,
    };
    for tag in 0..DEPTH {
        queue.command(abi::FETCH, tag, 0, 0)?;
    }
    while queue.gone < DEPTH {
        queue.wait(backend.patience())?;
        let batch = queue.requests()?;
        if !batch.is_empty() {
            backend.take(batch);
        }
        for answer in backend.answers() {
            queue.answer(answer)?;
        }
    }
    Ok(())
}

struct Queue<'a> {
    file: &'a File,
    descriptors: Descriptors,
    ring: IoUring,
    gone: u16,
}

impl Queue<'_> {
    fn command(&mut self, operation: u32, tag: u16, result: i32, sector: u64) -> Result<()> {
        let command = IoCommand {
            queue: 0,
            tag,
            result,
            sector,
        };
        let mut bytes = [0; 16];
        bytes.copy_from_slice(command.as_bytes());
        let entry = opcode::UringCmd16::new(types::Fd(self.file.as_raw_fd()), operation).cmd(bytes);
        // SAFETY: the command points to nothing.
        unsafe {
            self.ring
                .submission()
                .push(&entry.build().user_data(tag.into()))?
        };
        Ok(())
    }

    fn wait(&mut self, patience: Option<Duration>) -> Result<()> {
        let waited = match patience.map(types::Timespec::from) {
            None => self.ring.submit_and_wait(1),
            Some(time) => {
                let arguments = types::SubmitArgs::new().timespec(&time);
                self.ring.submitter().submit_with_args(1, &arguments)
            }
        };
        match waited {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR)) => {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }

    fn requests(&mut self) -> Result<Vec<Request>> {
        let completions: Vec<_> = self.ring.completion().collect();
        let mut batch = Vec::new();
        for completion in completions {
            let tag = completion.user_data() as u16;
            match completion.result() {
                0 => batch.push(self.request(tag)?),
                code => {
                    ensure!(code == -libc::ENODEV, "ublk fetch: {code}");
                    self.gone += 1;
                }
            }
        }
        Ok(batch)
    }

    fn request(&self, tag: u16) -> Result<Request> {
        let descriptor = self.descriptors.get(tag);
        // A flush comes with a sector of all ones.
        let (at, len) = (
            descriptor.sector.wrapping_mul(SECTOR),
            u64::from(descriptor.count) * SECTOR,
        );
        let fua = descriptor.op_and_flags & abi::REQUEST_FUA != 0;
        let verb = match descriptor.op_and_flags as u8 {
            abi::OP_READ => Verb::Read { at, len },
            abi::OP_WRITE => Verb::Write {
                at,
                data: self.data(tag, len)?,
                fua,
            },
            abi::OP_ZONE_APPEND => Verb::Append {
                zone: at,
                data: self.data(tag, len)?,
                fua,
            },
            abi::OP_DISCARD => Verb::Discard { at, len },
            abi::OP_ZONE_RESET => Verb::Reset { zone: at },
            abi::OP_ZONE_FINISH => Verb::Finish { zone: at },
            abi::OP_ZONE_OPEN | abi::OP_ZONE_CLOSE => Verb::Hint,
            abi::OP_FLUSH => Verb::Flush,
            abi::OP_REPORT_ZONES => Verb::Report {
                at,
                count: descriptor.count.into(),
            },
            other => anyhow::bail!("ublk operation {other}"),
        };
        Ok(Request { tag, verb })
    }

    fn data(&self, tag: u16, len: u64) -> Result<Vec<u8>> {
        let mut data = vec![0; len as usize];
        self.file
            .read_exact_at(&mut data, abi::data_position(tag))?;
        Ok(data)
    }

    fn answer(&mut self, answer: Answer) -> Result<()> {
        if !answer.data.is_empty() {
            self.file
                .write_all_at(&answer.data, abi::data_position(answer.tag))?;
        }
        let result = match answer.result {
            Ok(bytes) => bytes as i32,
            Err(code) => -code,
        };
        self.command(
            abi::COMMIT_AND_FETCH,
            answer.tag,
            result,
            answer.at / SECTOR,
        )
    }
}

const SEQUENTIAL: u8 = 2;
const EMPTY: u8 = 1;
const CLOSED: u8 = 4;
const FULL: u8 = 14;

/// The answer to a request for a report of `count` zones from the one at `at`. The zones are given by their start,
/// length and write pointer; all of them are sequential.
pub(crate) fn zone_report(
    zones: impl Iterator<Item = (u64, u64, u64)>,
    at: u64,
    count: u64,
) -> Vec<u8> {
    let report = |(start, len, pointer): (u64, u64, u64)| ReportedZone {
        start: start / SECTOR,
        len: len / SECTOR,
        write_pointer: pointer / SECTOR,
        kind: SEQUENTIAL,
        condition: match pointer - start {
            0 => EMPTY,
            used if used == len => FULL,
            _ => CLOSED,
        },
        capacity: len / SECTOR,
        ..Default::default()
    };
    let from_there = zones
        .skip_while(|&(start, ..)| start < at)
        .take(count as usize);
    from_there
        .flat_map(|zone| report(zone).as_bytes().to_vec())
        .collect()
}
