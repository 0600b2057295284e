// SPDX-License-Identifier: GPL-2.0
//! The contents of a device: pages that copies share until they are written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Bytes in a page, and the unit of all IO but writes to zones of a device with smaller blocks.
pub const PAGE: usize = 4096;
/// Pages in a segment.
const SEGMENT: usize = 256;

type Page = [u8; PAGE];
type Segment = [Option<Arc<Page>>; SEGMENT];

/// A device's bytes. A clone costs a pointer per MiB; what was never written is zero and costs nothing.
#[derive(Clone)]
pub struct Pages {
    size: u64,
    segments: Vec<Option<Arc<Segment>>>,
}

impl Pages {
    /// `size` zeros; a multiple of the page.
    pub fn new(size: u64) -> Self {
        assert_eq!(size % PAGE as u64, 0);
        let segments = size.div_ceil((SEGMENT * PAGE) as u64);
        Self {
            size,
            segments: vec![None; segments as usize],
        }
    }

    /// Bytes on the device.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn page(&self, number: u64) -> Option<&Arc<Page>> {
        let segment = self.segments[number as usize / SEGMENT].as_ref()?;
        segment[number as usize % SEGMENT].as_ref()
    }

    fn slot(&mut self, number: u64) -> &mut Option<Arc<Page>> {
        let segment = &mut self.segments[number as usize / SEGMENT];
        let segment = segment.get_or_insert_with(|| Arc::new([const { None }; SEGMENT]));
        &mut Arc::make_mut(segment)[number as usize % SEGMENT]
    }

    /// Reads; whole pages within the device.
    pub fn read(&self, at: u64, buf: &mut [u8]) {
        assert!(buf.len() % PAGE == 0 && at % PAGE as u64 == 0);
        for (number, out) in (at / PAGE as u64..).zip(buf.chunks_exact_mut(PAGE)) {
            match self.page(number) {
                Some(page) => out.copy_from_slice(&**page),
                None => out.fill(0),
            }
        }
    }

    /// Writes within a page.
    pub fn write_within(&mut self, at: u64, data: &[u8]) {
        let (start, offset) = (at / PAGE as u64 * PAGE as u64, (at % PAGE as u64) as usize);
        let mut page = [0; PAGE];
        self.read(start, &mut page);
        page[offset..offset + data.len()].copy_from_slice(data);
        self.write(start, &page);
    }

    /// Writes; whole pages within the device.
    pub fn write(&mut self, at: u64, data: &[u8]) {
        assert!(data.len() % PAGE == 0 && at % PAGE as u64 == 0);
        for (number, page) in (at / PAGE as u64..).zip(data.chunks_exact(PAGE)) {
            let zero = page.iter().all(|&byte| byte == 0);
            *self.slot(number) = (!zero).then(|| Arc::new(page.try_into().unwrap()));
        }
    }

    /// Makes `[at, at + len)` zero.
    pub fn clear(&mut self, at: u64, len: u64) {
        let mut number = at / PAGE as u64;
        let end = (at + len) / PAGE as u64;
        while number < end {
            let segment = number as usize / SEGMENT;
            let whole = number as usize % SEGMENT == 0 && number + SEGMENT as u64 <= end;
            if whole {
                self.segments[segment] = None;
                number += SEGMENT as u64;
                continue;
            }
            if self.segments[segment].is_some() {
                *self.slot(number) = None;
            }
            number += 1;
        }
    }

    /// The end of the last page in `[at, at + len)` that is not zero; `at` when all are.
    pub fn end_of_data(&self, at: u64, len: u64) -> u64 {
        let (first, end) = (at / PAGE as u64, (at + len) / PAGE as u64);
        let mut number = end;
        while number > first {
            if self.segments[(number as usize - 1) / SEGMENT].is_none() {
                number = first.max((number - 1) / SEGMENT as u64 * SEGMENT as u64);
                continue;
            }
            if self.page(number - 1).is_some() {
                return number * PAGE as u64;
            }
            number -= 1;
        }
        at
    }

    /// The pages that are not zero, with their addresses, ascending.
    pub fn written(&self) -> impl Iterator<Item = (u64, &[u8; PAGE])> {
        self.segments
            .iter()
            .enumerate()
            .flat_map(|(segment, pages)| {
                let pages = pages.iter().flat_map(|pages| pages.iter().enumerate());
                pages.filter_map(move |(page, bytes)| {
                    let bytes = bytes.as_deref()?;
                    Some((((segment * SEGMENT + page) * PAGE) as u64, bytes))
                })
            })
    }

    /// The contents of a file; its holes are not read.
    pub fn load(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut pages = Self::new(file.metadata()?.len());
        let mut buf = vec![0; SEGMENT * PAGE];
        let mut at = 0;
        while let Ok(start) = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
            let end = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(start))?;
            at = start / PAGE as u64 * PAGE as u64;
            while at < end {
                let len = (end.next_multiple_of(PAGE as u64) - at).min(buf.len() as u64) as usize;
                file.read_exact_at(&mut buf[..len], at)?;
                pages.write(at, &buf[..len]);
                at += len as u64;
            }
        }
        Ok(pages)
    }

    /// Writes a file with these contents; zeros become holes.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.size)?;
        for (at, page) in self.written() {
            file.write_all_at(page, at)?;
        }
        Ok(())
    }
}

impl PartialEq for Pages {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.written().eq(other.written())
    }
}
