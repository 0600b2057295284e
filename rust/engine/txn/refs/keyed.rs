// SPDX-License-Identifier: GPL-2.0
//! References that have items of their own, after the extent's item.

use super::item::{MISSING, TOO_MANY};
use crate::btree::{Allocate, Tree};
use crate::disk::{keyed_ref, Flaw, InlineRef, Key, Logical, Reference, Site};
use core::ops::ControlFlow;
use latch::prelude::*;

/// The items of one extent's keyed references.
pub(super) struct Keyed<'a> {
    /// The extent tree.
    pub(super) tree: &'a Tree,
    /// The transaction that changes the tree.
    pub(super) txn: &'a dyn Allocate,
    /// Where the extent is.
    pub(super) addr: Logical,
}

/// Where a keyed reference is.
enum Position {
    /// The reference is at this key and counts this many.
    At(Key, u32),
    /// There is no such reference; this key is free for it.
    Free(Key),
}

impl Keyed<'_> {
    /// Adds `count` references.
    pub(super) fn add(&self, reference: Reference, count: u32) -> Result {
        match self.find(reference)? {
            Position::Free(key) => self.insert(&key, reference, count),
            Position::At(key, old) => {
                let new = old.checked_add(count);
                let flaw = || Flaw::new(TOO_MANY, old.into(), u32::MAX.into());
                let new = new.ok_or_else(|| self.wrong(reference, flaw()))?;
                self.set_count(&key, reference, new)
            }
        }
    }

    /// Drops `count` references. There are so many.
    pub(super) fn remove(&self, reference: Reference, count: u32) -> Result {
        let found = match self.find(reference)? {
            Position::At(key, old) => Some((key, old)),
            Position::Free(free) => self.find_behind(reference, free)?,
        };
        let Some((key, old)) = found else {
            let flaw = Flaw::new(MISSING, 0, count.into());
            return Err(self.wrong(reference, flaw));
        };
        match old.checked_sub(count) {
            Some(0) => self.tree.remove(self.txn, &key),
            Some(left) => self.set_count(&key, reference, left),
            None => {
                let what = "extent has fewer keyed references than are dropped";
                Err(self.wrong(reference, Flaw::new(what, old.into(), count.into())))
            }
        }
    }

    /// Two data references may have the same hash: the second takes the next free offset.
    fn find(&self, reference: Reference) -> Result<Position> {
        let item = InlineRef::new(reference, 1);
        let mut key = Key::new(self.addr.get(), item.kind(), item.sequence());
        loop {
            let found = self.tree.get(&key, |bytes| self.parse(&key, bytes))?;
            let Some(item) = found.transpose()? else {
                return Ok(Position::Free(key));
            };
            if item.reference() == reference {
                return Ok(Position::At(key, item.count()));
            }
            key.offset = key.offset.wrapping_add(1);
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
            let item = self.parse(&key, bytes)?;
            if item.reference() != reference {
                return Ok(ControlFlow::Continue(()));
            }
            found = Some((key, item.count()));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    fn insert(&self, key: &Key, reference: Reference, count: u32) -> Result {
        let item = self.item(reference, count)?;
        let fill = |bytes: &mut [u8]| item.write_keyed_to(bytes);
        self.tree
            .insert_with(self.txn, key, item.keyed_len(), fill)??;
        Ok(())
    }

    fn set_count(&self, key: &Key, reference: Reference, count: u32) -> Result {
        let item = self.item(reference, count)?;
        let fill = |bytes: &mut [u8]| item.write_keyed_to(bytes);
        self.tree.update(self.txn, key, fill)??;
        Ok(())
    }

    /// What stands for `count` references. A tree block's holder has one.
    fn item(&self, reference: Reference, count: u32) -> Result<InlineRef> {
        if reference.is_block() && count != 1 {
            let what = "tree block is referenced more than once by one holder";
            return Err(self.wrong(reference, Flaw::new(what, count.into(), 1)));
        }
        Ok(InlineRef::new(reference, count))
    }

    fn parse(&self, key: &Key, bytes: &[u8]) -> Result<InlineRef> {
        keyed_ref(key, bytes).map_err(|flaw| flaw.in_item(self.tree.id(), key).report())
    }

    #[cold]
    fn wrong(&self, reference: Reference, flaw: Flaw) -> Error {
        flaw.at(Site::Reference(self.addr, reference)).report()
    }
}
