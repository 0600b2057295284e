// SPDX-License-Identifier: GPL-2.0
//! Promises to write bytes where their preallocated space is.
//!
//! Such bytes have no other space. A snapshot would have theirs, too, so none is made of a subvolume as long as there is a
//! promise: who takes one keeps new promises away ([`Subvolume::promise_no_more`]), writes out what is dirty, and waits
//! until [`Subvolume::promised`] says that none is left.

use super::Subvolume;
use crate::disk::{Bug, Bytes};
use crate::space::Awaited;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use latch::prelude::*;

/// Who cuts a promise asks for bytes that it is for.
const FEWER: Bug = Bug::new("a promise is for fewer bytes than are cut off it");

/// The promises of a subvolume.
#[derive(Default)]
pub(super) struct Promises {
    /// The bytes of all.
    bytes: AtomicU64,
    /// How many keep new ones away.
    closed: AtomicU32,
}

/// So many bytes of a subvolume's files are promised to be written in place, until this is dropped.
pub(in crate::fs) struct Promise {
    subvolume: Subvolume,
    bytes: Bytes,
    /// What else is waited for: the metadata that goes with it.
    awaited: Option<Awaited>,
}

/// While this lives no byte of a subvolume is promised to be written in place.
#[must_use = "promises are made again when this is dropped"]
pub struct NoPromises(Subvolume);

impl Subvolume {
    /// Promises `bytes`; `None` while somebody keeps promises away.
    pub(in crate::fs) fn promise(&self, bytes: Bytes, awaited: Option<Awaited>) -> Option<Promise> {
        let promise = Promise::new(self, bytes, awaited);
        // In this order, as the other side closes first and counts then: one of both sees the other.
        match self.promises().closed.load(Ordering::SeqCst) {
            0 => Some(promise),
            _ => None,
        }
    }

    /// Keeps new promises away.
    pub fn promise_no_more(&self) -> NoPromises {
        self.promises().closed.fetch_add(1, Ordering::SeqCst);
        NoPromises(self.clone())
    }

    /// Whether new promises are kept away.
    pub(in crate::fs) fn promises_nothing(&self) -> bool {
        self.promises().closed.load(Ordering::SeqCst) > 0
    }

    /// How many bytes are promised to be written in place.
    pub fn promised(&self) -> Bytes {
        Bytes::new(self.promises().bytes.load(Ordering::SeqCst))
    }
}

impl Drop for NoPromises {
    fn drop(&mut self) {
        self.0.promises().closed.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Promise {
    fn new(subvolume: &Subvolume, bytes: Bytes, awaited: Option<Awaited>) -> Self {
        subvolume
            .promises()
            .bytes
            .fetch_add(bytes.get(), Ordering::SeqCst);
        Self {
            subvolume: subvolume.clone(),
            bytes,
            awaited,
        }
    }

    /// Cuts off `bytes`. It is for as many.
    fn split(&mut self, bytes: Bytes) -> Result<Self> {
        let left = self.bytes.checked_sub(bytes).ok_or(FEWER)?;
        let part = Self {
            subvolume: self.subvolume.clone(),
            bytes,
            awaited: self.awaited.clone(),
        };
        self.bytes = left;
        Ok(part)
    }

    /// Takes in another one of the same subvolume.
    fn merge(&mut self, mut other: Self) {
        self.bytes = self.bytes.saturating_add(core::mem::take(&mut other.bytes));
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let promises = self.subvolume.promises();
        promises.bytes.fetch_sub(self.bytes.get(), Ordering::SeqCst);
    }
}

/// Cuts `bytes` off what may be a promise, if there are any. It is for as many.
pub(in crate::fs) fn split(promise: &mut Option<Promise>, bytes: Bytes) -> Result<Option<Promise>> {
    match (bytes, promise) {
        (Bytes::ZERO, _) => Ok(None),
        // What is left would be for nothing, and others would wait for it.
        (_, promise @ Some(_)) if promise.as_ref().is_some_and(|whole| whole.bytes == bytes) => {
            Ok(promise.take())
        }
        (_, Some(promise)) => promise.split(bytes).map(Some),
        (_, None) => Err(FEWER.report()),
    }
}

/// Joins two of what may be promises.
pub(in crate::fs) fn merge(promise: &mut Option<Promise>, other: Option<Promise>) {
    match (promise, other) {
        (Some(own), Some(other)) => own.merge(other),
        (own @ None, other) => *own = other,
        (Some(_), None) => {}
    }
}
