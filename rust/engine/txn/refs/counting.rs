// SPDX-License-Identifier: GPL-2.0
//! How often an extent is referenced: by the tree, and by what waits for it.

use super::head::Origin;
use super::queue::Queue;
use super::runner::{broken, Runner};
use crate::btree::DataRef;
use crate::disk::{ExtentItem, Flaw, Key, Kind, Logical, Reference};
use latch::prelude::*;

/// How often a data extent is referenced, in all and by one holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::txn) struct DataRefs {
    pub(in crate::txn) all: u64,
    pub(in crate::txn) own: u64,
}

/// An extent and the references that its holder may have: by the tree, and by the leaf with the item.
#[derive(Clone, Copy)]
pub(in crate::txn) struct Held<'a> {
    pub(in crate::txn) data: &'a DataRef,
    pub(in crate::txn) leaf: Option<Logical>,
}

impl Held<'_> {
    fn is_own(&self, reference: Reference) -> bool {
        let by_leaf = self.leaf.map(Reference::SharedData);
        reference == self.data.reference() || Some(reference) == by_leaf
    }

    /// How often an item counts references in all, and those that are its holder's.
    fn count(&self, bytes: &[u8]) -> Result<DataRefs, Flaw> {
        let item = ExtentItem::parse(Kind::EXTENT_ITEM, bytes)?;
        let mut refs = DataRefs {
            all: item.refs,
            own: 0,
        };
        for inline in item.inline_refs {
            let inline = inline?;
            if self.is_own(inline.reference()) {
                refs.own = refs.own.saturating_add(inline.count().into());
            }
        }
        Ok(refs)
    }
}

impl Runner {
    /// What the tree says of a data extent; `None` if it has no item. References in items of their own are taken for those
    /// of others.
    pub(in crate::txn) fn known_data_refs(&self, held: Held<'_>) -> Result<Option<DataRefs>> {
        let (addr, len) = (held.data.addr, held.data.len);
        let key = Key::new(addr.get(), Kind::EXTENT_ITEM, len.get());
        let found = self.extents.get(&key, |bytes| held.count(bytes))?;
        found.transpose().map_err(|flaw| broken(addr, flaw))
    }
}

impl Queue {
    /// Adds to what the tree says of a data extent what is queued for it; `None` if neither knows it.
    pub(in crate::txn) fn add_data_to(
        &self,
        known: Option<DataRefs>,
        held: Held<'_>,
    ) -> Option<DataRefs> {
        let Some(head) = self.head(held.data.addr) else {
            return known;
        };
        let is_new = matches!(head.origin, Origin::New(_));
        let known = known.or(is_new.then(DataRefs::default))?;
        let own = head
            .changes
            .iter()
            .filter(|(reference, _)| held.is_own(*reference))
            .fold(0_i64, |sum, (_, counts)| sum.saturating_add(counts.net()));
        Some(DataRefs {
            all: known.all.saturating_add_signed(head.changes.sum()),
            own: known.own.saturating_add_signed(own),
        })
    }

    /// By how much the count of an extent's references is to change.
    pub(in crate::txn) fn net(&self, addr: Logical) -> i64 {
        self.head(addr).map_or(0, |head| head.changes.sum())
    }
}
