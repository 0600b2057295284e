// SPDX-License-Identifier: GPL-2.0

//! Ways to have several requests under way at once.

use crate::mapping::Mapping;
use anyhow::{ensure, Result};
use clap::ValueEnum;
use io_uring::squeue::Flags;
use io_uring::{opcode, types, IoUring};
use std::fs::File;
use std::io::{Error, Result as IoResult};
use std::os::fd::AsRawFd;
use std::ptr;

/// Requests of one batch at the most.
pub(super) const MAX_BATCH: usize = 16;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum By {
    /// preadv2(2) and pwritev2(2), one after the other.
    Call,
    /// libaio.
    Aio,
    /// io_uring, which first tries not to wait.
    Ring,
    /// io_uring, by a worker of it from the beginning.
    Worker,
    /// io_uring, with registered memory. A request of several pieces goes as for `Ring`.
    Fixed,
}

/// What makes a write durable before it counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Durability {
    None,
    ODsync,
    OSync,
    RwfDsync,
    RwfSync,
}

impl Durability {
    /// What open(2) is told.
    pub(super) fn of_file(self) -> i32 {
        match self {
            Self::ODsync => libc::O_DSYNC,
            Self::OSync => libc::O_SYNC,
            _ => 0,
        }
    }

    /// What each write is told.
    fn of_write(self) -> i32 {
        match self {
            Self::RwfDsync => libc::RWF_DSYNC,
            Self::RwfSync => libc::RWF_SYNC,
            _ => 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Read,
    Write,
}

/// One transfer between pieces of memory and a file.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub way: Way,
    pub pos: u64,
    /// Begin and length of each piece.
    pub pieces: Vec<(usize, usize)>,
    pub sync: Durability,
}

impl Request {
    pub(super) fn new(way: Way, pos: usize, pieces: Vec<(usize, usize)>) -> Self {
        Self {
            way,
            pos: pos as u64,
            pieces,
            sync: Durability::None,
        }
    }

    pub(super) fn durable(self, sync: Durability) -> Self {
        Self { sync, ..self }
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(|(_, len)| len).sum()
    }
}

/// An engine for requests from and to `memory`.
pub(super) struct Engine<'m> {
    by: By,
    memory: &'m Mapping,
    ring: Option<IoUring>,
    aio: Option<Aio>,
}

impl<'m> Engine<'m> {
    pub(super) fn new(by: By, memory: &'m Mapping) -> Result<Self> {
        let ring = match by {
            By::Ring | By::Worker | By::Fixed => Some(IoUring::new(MAX_BATCH as u32)?),
            By::Call | By::Aio => None,
        };
        if let (By::Fixed, Some(ring)) = (by, &ring) {
            let all = libc::iovec {
                iov_base: memory.at(0).cast(),
                iov_len: memory.len(),
            };
            // SAFETY: the memory outlives the ring.
            unsafe { ring.submitter().register_buffers(&[all])? };
        }
        let aio = match by {
            By::Aio => Some(Aio::new()?),
            _ => None,
        };
        Ok(Self {
            by,
            memory,
            ring,
            aio,
        })
    }

    /// One request.
    pub(super) fn one(&mut self, file: &File, request: &Request) -> Result<IoResult<usize>> {
        let mut results = self.run(file, std::slice::from_ref(request))?;
        ensure!(results.len() == 1, "{} results", results.len());
        Ok(results.remove(0))
    }

    /// Has all requests under way at once, and waits for them; what became of each.
    pub(super) fn run(
        &mut self,
        file: &File,
        requests: &[Request],
    ) -> Result<Vec<IoResult<usize>>> {
        assert!(requests.len() <= MAX_BATCH);
        let vectors: Vec<Vec<libc::iovec>> = requests
            .iter()
            .map(|request| self.vectors(request))
            .collect();
        match (&mut self.ring, &self.aio) {
            (Some(ring), _) => by_ring(ring, self.by, file, requests, &vectors),
            (None, Some(aio)) => aio.run(file, requests, &vectors),
            (None, None) => Ok(requests
                .iter()
                .zip(&vectors)
                .map(|(request, vectors)| by_call(file, request, vectors))
                .collect()),
        }
    }

    fn vectors(&self, request: &Request) -> Vec<libc::iovec> {
        let vector = |&(begin, len): &(usize, usize)| {
            self.memory.at(begin + len);
            libc::iovec {
                iov_base: self.memory.at(begin).cast(),
                iov_len: len,
            }
        };
        request.pieces.iter().map(vector).collect()
    }
}

fn by_call(file: &File, request: &Request, vectors: &[libc::iovec]) -> IoResult<usize> {
    let (fd, count, pos) = (
        file.as_raw_fd(),
        vectors.len() as i32,
        request.pos as libc::off_t,
    );
    // SAFETY: the vectors are of memory that stays mapped.
    let done = unsafe {
        match request.way {
            Way::Read => libc::preadv2(fd, vectors.as_ptr(), count, pos, 0),
            Way::Write => libc::pwritev2(fd, vectors.as_ptr(), count, pos, request.sync.of_write()),
        }
    };
    usize::try_from(done).map_err(|_| Error::last_os_error())
}

fn by_ring(
    ring: &mut IoUring,
    by: By,
    file: &File,
    requests: &[Request],
    vectors: &[Vec<libc::iovec>],
) -> Result<Vec<IoResult<usize>>> {
    let fd = types::Fd(file.as_raw_fd());
    for (number, (request, vectors)) in (0u64..).zip(requests.iter().zip(vectors)) {
        let (at, count) = (vectors.as_ptr(), vectors.len() as u32);
        let entry = match (by, request.way, &vectors[..]) {
            (By::Fixed, Way::Read, [one]) => {
                opcode::ReadFixed::new(fd, one.iov_base.cast(), one.iov_len as u32, 0)
                    .offset(request.pos)
                    .build()
            }
            (By::Fixed, Way::Write, [one]) => {
                opcode::WriteFixed::new(fd, one.iov_base.cast(), one.iov_len as u32, 0)
                    .offset(request.pos)
                    .rw_flags(request.sync.of_write())
                    .build()
            }
            (_, Way::Read, _) => opcode::Readv::new(fd, at, count)
                .offset(request.pos)
                .build(),
            (_, Way::Write, _) => opcode::Writev::new(fd, at, count)
                .offset(request.pos)
                .rw_flags(request.sync.of_write())
                .build(),
        };
        let entry = match by {
            By::Worker => entry.flags(Flags::ASYNC),
            _ => entry,
        };
        // SAFETY: file, vectors and memory outlive the requests, which are all waited for.
        unsafe { ring.submission().push(&entry.user_data(number))? };
    }
    ring.submit_and_wait(requests.len())?;
    let mut results: Vec<Option<i64>> = requests.iter().map(|_| None).collect();
    for done in ring.completion() {
        let slot = results.get_mut(done.user_data() as usize);
        let slot = slot.filter(|slot| slot.is_none());
        ensure!(slot.is_some(), "a request is completed twice");
        *slot.expect("just asked") = Some(done.result().into());
    }
    answers(results)
}

fn answers(results: Vec<Option<i64>>) -> Result<Vec<IoResult<usize>>> {
    ensure!(
        results.iter().all(Option::is_some),
        "completions are missing: {results:?}"
    );
    let answer = |res: i64| usize::try_from(res).map_err(|_| Error::from_raw_os_error(-res as i32));
    Ok(results.into_iter().flatten().map(answer).collect())
}

/// A context of libaio, by its system calls: struct iocb and struct io_event of `linux/aio_abi.h`.
struct Aio {
    context: libc::c_ulong,
}

const PREADV: u16 = 7;
const PWRITEV: u16 = 8;

#[repr(C)]
#[derive(Default)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buf: u64,
    count: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event_fd: u32,
}

#[repr(C)]
#[derive(Clone, Default)]
struct Event {
    data: u64,
    iocb: u64,
    result: i64,
    second: i64,
}

impl Aio {
    fn new() -> Result<Self> {
        let mut context: libc::c_ulong = 0;
        // SAFETY: the kernel fills the context in.
        let result =
            unsafe { libc::syscall(libc::SYS_io_setup, MAX_BATCH as i64, &raw mut context) };
        ensure!(result == 0, "io_setup(2): {}", Error::last_os_error());
        Ok(Self { context })
    }

    fn run(
        &self,
        file: &File,
        requests: &[Request],
        vectors: &[Vec<libc::iovec>],
    ) -> Result<Vec<IoResult<usize>>> {
        let blocks: Vec<Iocb> = (0u64..)
            .zip(requests.iter().zip(vectors))
            .map(|(number, (request, vectors))| Iocb {
                data: number,
                rw_flags: request.sync.of_write() as u32,
                opcode: match request.way {
                    Way::Read => PREADV,
                    Way::Write => PWRITEV,
                },
                fd: file.as_raw_fd() as u32,
                buf: vectors.as_ptr() as u64,
                count: vectors.len() as u64,
                offset: request.pos as i64,
                ..Iocb::default()
            })
            .collect();
        let pointers: Vec<*const Iocb> = blocks.iter().map(ptr::from_ref).collect();
        // SAFETY: what they point to outlives the requests, which are all waited for.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_io_submit,
                self.context,
                pointers.len(),
                pointers.as_ptr(),
            )
        };
        let all = requests.len() as i64;
        ensure!(sent == all, "io_submit(2): {}", Error::last_os_error());
        let mut events = vec![Event::default(); requests.len()];
        // SAFETY: there is room for that many.
        let got = unsafe {
            let none = ptr::null::<libc::timespec>();
            let events = events.as_mut_ptr();
            libc::syscall(libc::SYS_io_getevents, self.context, all, all, events, none)
        };
        ensure!(got == all, "io_getevents(2): {}", Error::last_os_error());
        let mut results: Vec<Option<i64>> = requests.iter().map(|_| None).collect();
        for event in events {
            results[event.data as usize] = Some(event.result);
        }
        answers(results)
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        // SAFETY: a context of ours.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}
