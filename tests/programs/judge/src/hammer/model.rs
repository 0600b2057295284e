// SPDX-License-Identifier: GPL-2.0

//! A file and what it must hold.
//!
//! Whoever reads or changes bytes holds the locks of their chunks, in ascending order.  Whoever
//! changes the size holds all chunks from the smaller of both sizes to the last one.  So what a
//! reader of some chunks must find there is settled while it holds them.

use super::history::History;
use super::PAGE;
use anyhow::{Context, Result};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Not a whole number of blocks: neighbours share one.
pub(super) const CHUNK: usize = 61_000;

/// A file whose every byte is known.
pub(super) struct Known {
    pub number: u64,
    pub file: File,
    /// The file once more, opened for direct IO.
    pub direct: File,
    pub history: History,
    pub capacity: usize,
    chunks: Vec<Mutex<Vec<u8>>>,
    size: AtomicUsize,
}

/// A run of chunks of which nobody else reads or changes a byte.
pub(super) struct Held<'a> {
    pub known: &'a Known,
    first: usize,
    chunks: Vec<MutexGuard<'a, Vec<u8>>>,
}

impl Known {
    pub(super) fn create(dir: &Path, number: u64, most: usize) -> Result<Self> {
        let path = dir.join(format!("hammered{number}"));
        let mut open = OpenOptions::new();
        open.read(true).write(true);
        let file = open.create(true).truncate(true).open(&path)?;
        let direct = open
            .custom_flags(libc::O_DIRECT)
            .open(&path)
            .context("O_DIRECT")?;
        let count = most / CHUNK;
        Ok(Self {
            number,
            file,
            direct,
            history: History::default(),
            capacity: count * CHUNK,
            chunks: (0..count).map(|_| Mutex::new(vec![0; CHUNK])).collect(),
            size: AtomicUsize::new(0),
        })
    }

    /// The size now: it may change at once, unless the chunks from there on are held.
    pub(super) fn size(&self) -> usize {
        self.size.load(Ordering::Acquire)
    }

    /// Holds all chunks with bytes of that range.
    pub(super) fn hold(&self, begin: usize, end: usize) -> Held<'_> {
        let first = begin.min(self.capacity - 1) / CHUNK;
        let last = end
            .max(begin + 1)
            .min(self.capacity)
            .div_ceil(CHUNK)
            .max(first + 1);
        let chunks = self.chunks[first..last]
            .iter()
            .map(|chunk| chunk.lock().unwrap_or_else(|poison| poison.into_inner()))
            .collect();
        Held {
            known: self,
            first,
            chunks,
        }
    }

    /// Holds what a write of that range changes, growth of the file included.
    pub(super) fn hold_to_write(&self, begin: usize, end: usize) -> Held<'_> {
        loop {
            let size = self.size();
            let grows = end > size;
            let held = if grows {
                self.hold(begin.min(size), self.capacity)
            } else {
                self.hold(begin, end)
            };
            if self.size() == size || (!grows && end <= self.size()) {
                return held;
            }
        }
    }

    /// Holds what a change of the size to `size` changes.
    pub(super) fn hold_to_resize(&self, size: usize) -> Held<'_> {
        loop {
            let now = self.size();
            let held = self.hold(now.min(size), self.capacity);
            if self.size() == now {
                return held;
            }
        }
    }

    /// Holds whole pages inside the file around that range, whose end may move; or nothing.
    pub(super) fn hold_pages(&self, begin: usize, end: usize) -> Option<(Held<'_>, usize, usize)> {
        let begin = begin / PAGE * PAGE;
        let held = self.hold(begin, end.next_multiple_of(PAGE));
        let end = end.next_multiple_of(PAGE).min(self.size() / PAGE * PAGE);
        (begin < end).then_some((held, begin, end))
    }
}

impl Held<'_> {
    /// The part of a range that the file has.
    pub(super) fn inside(&self, begin: usize, end: usize) -> (usize, usize) {
        let size = self.known.size();
        (begin.min(size), end.min(size))
    }

    /// What the file must hold.
    pub(super) fn bytes(&self, begin: usize, end: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(end - begin);
        self.pieces(begin, end, |index, from, to| {
            bytes.extend_from_slice(&self.chunks[index][from..to]);
        });
        bytes
    }

    /// The file holds `bytes` from now on, and is at least so long.
    pub(super) fn put(&mut self, begin: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = begin + bytes.len();
        let mut places = Vec::new();
        self.pieces(begin, end, |index, from, to| places.push((index, from, to)));
        let mut rest = bytes;
        for (index, from, to) in places {
            let (now, later) = rest.split_at(to - from);
            self.chunks[index][from..to].copy_from_slice(now);
            rest = later;
        }
        self.known.size.fetch_max(end, Ordering::AcqRel);
    }

    /// The file has another size; what is behind it is zeros.
    pub(super) fn resize(&mut self, size: usize) {
        let now = self.known.size();
        if size < now {
            self.put(size, &vec![0; now - size]);
        }
        self.known.size.store(size, Ordering::Release);
    }

    fn pieces(&self, begin: usize, end: usize, mut each: impl FnMut(usize, usize, usize)) {
        let mut place = begin;
        while place < end {
            let index = place / CHUNK;
            let to = end.min((index + 1) * CHUNK);
            each(
                index - self.first,
                place - index * CHUNK,
                to - index * CHUNK,
            );
            place = to;
        }
    }
}
