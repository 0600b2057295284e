// SPDX-License-Identifier: GPL-2.0
//! What is in a file, cheap to copy.

use crate::random::Random;
use std::collections::hash_map::DefaultHasher;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

const PAGE: u64 = 4096;

/// The bytes of a file. Zeros are not stored: a hole is as good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    size: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE as usize]>>,
}

impl Contents {
    /// `len` bytes that depend on `seed`: random, or one byte over and over, or zeros.
    pub fn pattern(len: u64, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        match seed % 8 {
            0 => {}
            1 => bytes.fill((seed >> 8) as u8 | 1),
            _ => Random::new(seed).fill(&mut bytes),
        }
        bytes
    }

    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes; grows the file.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let mut data = data;
        let mut at = offset;
        while !data.is_empty() {
            let within = (at % PAGE) as usize;
            let len = data.len().min(PAGE as usize - within);
            self.change(at / PAGE, |page| {
                page[within..within + len].copy_from_slice(&data[..len])
            });
            data = &data[len..];
            at += len as u64;
        }
        self.size = self.size.max(at);
    }

    fn change(&mut self, number: u64, change: impl FnOnce(&mut [u8; PAGE as usize])) {
        let page = self
            .pages
            .entry(number)
            .or_insert_with(|| Arc::new([0; PAGE as usize]));
        change(Arc::make_mut(page));
        if page.iter().all(|&byte| byte == 0) {
            self.pages.remove(&number);
        }
    }

    /// Makes a range zero.
    pub fn zero(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len);
        let touched: Vec<u64> = self
            .pages
            .range(offset / PAGE..end.div_ceil(PAGE))
            .map(|(n, _)| *n)
            .collect();
        for number in touched {
            let start = offset.saturating_sub(number * PAGE) as usize;
            let end = (end - number * PAGE).min(PAGE) as usize;
            self.change(number, |page| page[start..end].fill(0));
        }
    }

    /// Sets the size; what is cut is gone.
    pub fn truncate(&mut self, size: u64) {
        if size < self.size {
            self.zero(size, self.size - size);
        }
        self.size = size;
    }

    /// Raises the size.
    pub fn grow(&mut self, size: u64) {
        self.size = self.size.max(size);
    }

    /// The bytes at `offset`; within the size.
    pub fn read(&self, offset: u64, buf: &mut [u8]) {
        for (at, byte) in (offset..).zip(buf) {
            *byte = self
                .pages
                .get(&(at / PAGE))
                .map_or(0, |page| page[(at % PAGE) as usize]);
        }
    }

    /// The pages that are not zero, with their positions, ascending. The last may reach beyond the size.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pages
            .iter()
            .map(|(number, page)| (number * PAGE, &page[..]))
    }

    /// A number that equal contents share.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.size.hash(&mut hasher);
        self.pages.hash(&mut hasher);
        hasher.finish()
    }

    /// Where two contents differ first.
    pub fn difference(&self, other: &Self) -> Option<u64> {
        let pages = self.pages.keys().chain(other.pages.keys());
        let differ = pages.filter(|number| self.pages.get(number) != other.pages.get(number));
        let page = differ.min()?;
        (page * PAGE..(page + 1) * PAGE).find(|&at| {
            let (mut ours, mut theirs) = ([0], [0]);
            self.read(at, &mut ours);
            other.read(at, &mut theirs);
            ours != theirs
        })
    }
}
