// SPDX-License-Identifier: GPL-2.0
//! References that have items of their own, after the extent's item.

use super::item::{data_reference, kind_of, raw_data_ref, sequence_of};
use super::queue::Reference;
use crate::btree::{Allocate, Tree};
use crate::disk::raw::{RawDataRef, RawSharedDataRef};
use crate::disk::{Key, Logical};
use core::ops::ControlFlow;
use latch::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

/// The items of one extent's keyed references.
pub(super) struct Keyed<'a> {
    /// The extent tree.
    pub(super) tree: &'a Tree,
    /// The transaction.
    pub(super) txn: &'a dyn Allocate,
    /// The extent.
    pub(super) addr: Logical,
}

/// Where a keyed reference is.
enum Place {
    /// At this key, this often.
    At(Key, u32),
    /// Not there; this key is free for it.
    Free(Key),
}

impl Keyed<'_> {
    /// Adds `count` references.
    pub(super) fn add(&self, reference: Reference, count: u64) -> Result {
        let count = u32::try_from(count).map_err(|_| EOVERFLOW)?;
        match self.find(reference)? {
            Place::Free(key) => self.insert(&key, reference, count),
            Place::At(key, old) => {
                self.set_count(&key, reference, old.checked_add(count).ok_or(EOVERFLOW)?)
            }
        }
    }

    /// Drops `count` references. `EUCLEAN` where there are fewer.
    pub(super) fn remove(&self, reference: Reference, count: u64) -> Result {
        let found = match self.find(reference)? {
            Place::At(key, old) => Some((key, old)),
            Place::Free(free) => self.find_behind(reference, free)?,
        };
        let Some((key, old)) = found else {
            return self.missing(reference, 0);
        };
        let left = u32::try_from(count)
            .ok()
            .and_then(|count| old.checked_sub(count));
        match left {
            Some(0) => self.tree.remove(self.txn, &key),
            Some(left) => self.set_count(&key, reference, left),
            None => self.missing(reference, old),
        }
    }

    /// Two data references may have the same hash: the second takes the next free offset.
    fn find(&self, reference: Reference) -> Result<Place> {
        let mut key = Key::new(self.addr.get(), kind_of(reference), sequence_of(reference));
        loop {
            let found = self.tree.get(&key, |bytes| decode(reference, bytes))?;
            match found {
                None => return Ok(Place::Free(key)),
                Some(Some(count)) => return Ok(Place::At(key, count)),
                Some(None) => key.offset = key.offset.wrapping_add(1),
            }
        }
    }

    /// One that had the same hash before it may be gone: then what is looked for stands behind a gap.
    fn find_behind(&self, reference: Reference, gap: Key) -> Result<Option<(Key, u32)>> {
        let mut found = None;
        let last = Key {
            offset: u64::MAX,
            ..gap
        };
        self.tree.scan(gap..=last, |key, bytes| {
            if !matches!(reference, Reference::Data { .. }) {
                return Ok(ControlFlow::Break(()));
            }
            found = decode(reference, bytes).map(|count| (key, count));
            Ok(if found.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        Ok(found)
    }

    fn insert(&self, key: &Key, reference: Reference, count: u32) -> Result {
        match reference {
            Reference::TreeBlock(_) | Reference::SharedBlock(_) if count == 1 => {
                self.tree.insert(self.txn, key, &[])
            }
            Reference::TreeBlock(_) | Reference::SharedBlock(_) => self.missing(reference, count),
            Reference::Data {
                root,
                inode,
                offset,
            } => {
                let raw = raw_data_ref(root, inode, offset, count);
                self.tree.insert(self.txn, key, raw.as_bytes())
            }
            Reference::SharedData(_) => self.tree.insert(self.txn, key, &count.to_le_bytes()),
        }
    }

    fn set_count(&self, key: &Key, reference: Reference, count: u32) -> Result {
        match reference {
            Reference::TreeBlock(_) | Reference::SharedBlock(_) => self.missing(reference, count),
            Reference::Data {
                root,
                inode,
                offset,
            } => {
                let raw = raw_data_ref(root, inode, offset, count);
                self.tree.replace(self.txn, key, raw.as_bytes())
            }
            Reference::SharedData(_) => self.tree.replace(self.txn, key, &count.to_le_bytes()),
        }
    }

    #[cold]
    fn missing(&self, reference: Reference, count: u32) -> Result {
        pr_err!(
            "extent {} has {} of {:?}, which does not fit a change\n",
            self.addr,
            count,
            reference
        );
        Err(EUCLEAN)
    }
}

/// The count in an item, if it is `reference`'s.
fn decode(reference: Reference, bytes: &[u8]) -> Option<u32> {
    match reference {
        Reference::TreeBlock(_) | Reference::SharedBlock(_) => Some(1),
        Reference::SharedData(_) => RawSharedDataRef::read_from_prefix(bytes)
            .ok()
            .map(|(raw, _)| raw.count.get()),
        Reference::Data { .. } => {
            let (raw, _) = RawDataRef::read_from_prefix(bytes).ok()?;
            (data_reference(&raw) == reference).then(|| raw.count.get())
        }
    }
}
