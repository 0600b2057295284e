// SPDX-License-Identifier: GPL-2.0
//! The contents of a device, shared between its copies.

use std::sync::Arc;

/// The size of a sector, the smallest thing that is written as a whole.
pub(crate) const PAGE: u64 = 4096;

pub(crate) type Page = [u8; PAGE as usize];

const PER_CHUNK: u64 = 256;

type Chunk = Vec<Option<Arc<Page>>>;

/// Sectors; what was never written is zeros.
#[derive(Clone)]
pub(crate) struct Pages {
    chunks: Vec<Arc<Chunk>>,
}

impl Pages {
    pub(crate) fn new(size: u64) -> Self {
        let empty = Arc::new(vec![None; PER_CHUNK as usize]);
        Self {
            chunks: vec![empty; size.div_ceil(PAGE * PER_CHUNK) as usize],
        }
    }

    fn place(&mut self, at: u64) -> &mut Option<Arc<Page>> {
        let page = at / PAGE;
        let chunk = &mut self.chunks[(page / PER_CHUNK) as usize];
        &mut Arc::make_mut(chunk)[(page % PER_CHUNK) as usize]
    }

    pub(crate) fn set(&mut self, at: u64, page: Arc<Page>) {
        *self.place(at) = Some(page);
    }

    pub(crate) fn clear(&mut self, at: u64, len: u64) {
        for page in 0..len / PAGE {
            *self.place(at + page * PAGE) = None;
        }
    }

    pub(crate) fn read(&self, at: u64, len: u64) -> Vec<u8> {
        let mut data = Vec::with_capacity(len as usize);
        for page in at / PAGE..(at + len) / PAGE {
            match &self.chunks[(page / PER_CHUNK) as usize][(page % PER_CHUNK) as usize] {
                Some(page) => data.extend_from_slice(&page[..]),
                None => data.resize(data.len() + PAGE as usize, 0),
            }
        }
        data
    }
}
