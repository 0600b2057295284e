// SPDX-License-Identifier: GPL-2.0
//! Takes heads from the queue to the extent tree.

use super::checksums;
use super::head::{Extent, FullBackref, Head, Origin};
use super::item::{Edit, Record};
use super::keyed::Keyed;
use super::layout::{Layout, Metadata};
use crate::btree::{Allocate, BlockRefs, Sought, Tree, Writer};
use crate::disk::{Bug, Bytes, ExtentFlags, ExtentItem, Flaw, Key, Kind, Logical, Reference, Site};
use crate::space::Space;
use kernel::sync::Arc;
use latch::prelude::*;

/// The trees that references change, and how extent items look here. Its lock makes heads go one at a time.
pub(in crate::txn) struct Runner {
    pub(in crate::txn) extents: Arc<Tree>,
    pub(in crate::txn) checksums: Arc<Tree>,
    /// Where an extent's bytes go back to.
    pub(in crate::txn) space: Arc<Space>,
    pub(in crate::txn) layout: Layout,
}

impl Runner {
    /// Applies one head. No tree block lock is held. After an error the transaction must be aborted.
    pub(in crate::txn) fn run(&self, txn: &dyn Allocate, addr: Logical, head: &Head) -> Result {
        match head.origin {
            Origin::New(_) if head.changes.is_empty() => self.drop_new(txn, addr, head),
            Origin::New(first_key) => self.insert(txn, addr, head, first_key),
            Origin::Known => self.change(txn, addr, head),
        }
    }

    /// What the tree says of a tree block; `None` if it has no item.
    pub(in crate::txn) fn known_refs(&self, addr: Logical, level: u8) -> Result<Option<BlockRefs>> {
        let extent = Extent::Block { level };
        for key in self.keys(addr, extent) {
            let found = self.extents.get(&key, |bytes| {
                ExtentItem::parse(key.kind, bytes).map(|item| (item.refs, item.flags))
            })?;
            if let Some(item) = found {
                let (count, flags) = item.map_err(|flaw| broken(addr, flaw))?;
                expect_kind(addr, extent, flags)?;
                let full_backref = flags.contains(ExtentFlags::FULL_BACKREF);
                return Ok(Some(BlockRefs {
                    count,
                    full_backref,
                }));
            }
        }
        Ok(None)
    }

    /// New data that lost its references before it got its item.
    fn drop_new(&self, txn: &dyn Allocate, addr: Logical, head: &Head) -> Result {
        if let Extent::Data { len } = head.extent {
            self.delete_checksums(txn, addr, len)?;
        }
        self.space
            .pin(addr, self.len(head.extent), txn.generation())
    }

    fn insert(&self, txn: &dyn Allocate, addr: Logical, head: &Head, first_key: Key) -> Result {
        let (flags, info) = match head.extent {
            Extent::Data { .. } => (ExtentFlags::DATA, None),
            Extent::Block { .. } if self.layout.metadata == Metadata::Skinny => {
                (ExtentFlags::TREE_BLOCK, None)
            }
            Extent::Block { level } => (ExtentFlags::TREE_BLOCK, Some((first_key, level))),
        };
        let flags = flags.with(extra_flags(head));
        let mut record = Record::new(addr, txn.generation(), flags, info);
        let mut keyed = KVVec::new();
        for (reference, counts) in head.changes.iter() {
            let delta = counts.net();
            if delta < 0 {
                // Somebody else's extent was free by the free space tree, and he gives it up.
                let what = "new extent loses references it never had";
                let flaw = Flaw::new(what, delta.unsigned_abs(), 0);
                return Err(flaw.at(Site::Reference(addr, reference)).report());
            }
            if self.change_inline(&mut record, reference, delta)? == Edit::Keyed {
                record.change_refs(reference, delta)?;
                keyed.push((reference, delta), GFP_NOFAIL)?;
            }
        }
        let key = self.key(addr, head.extent);
        let fill = |bytes: &mut [u8]| record.write_to(bytes);
        let inserted = self
            .extents
            .insert_with(txn, &key, record.encoded_len(), fill);
        inserted.map_err(|error| match error == EEXIST {
            true => broken(
                addr,
                Flaw::missing("free space has an extent that is in use"),
            ),
            false => error,
        })??;
        self.change_keyed(txn, addr, &keyed)?;
        self.space.note_allocated(txn, addr, self.len(head.extent))
    }

    fn change(&self, txn: &dyn Allocate, addr: Logical, head: &Head) -> Result {
        let mut writer = Writer::new(&self.extents, txn);
        let mut record = self.seek(&mut writer, addr, head)?;
        let mut keyed = KVVec::new();
        let mut apply = |wanted: fn(i64) -> bool| -> Result {
            let changes = head.changes.iter();
            let deltas = changes.map(|(reference, counts)| (reference, counts.net()));
            for (reference, delta) in deltas.filter(|(_, delta)| wanted(*delta)) {
                if self.change_inline(&mut record, reference, delta)? == Edit::Keyed {
                    record.change_refs(reference, delta)?;
                    keyed.push((reference, delta), GFP_NOFAIL)?;
                }
            }
            Ok(())
        };
        // The count must not touch zero on the way.
        apply(|delta| delta > 0)?;
        apply(|delta| delta < 0)?;
        let gone = record.refs() == 0;
        if gone && !record.is_all_inline() {
            let what = "extent has more inline references than its count says";
            return Err(record.broken(Flaw::new(what, 0, 1)));
        }
        if gone {
            writer.remove_here()?;
        } else {
            record.add_flags(extra_flags(head));
            record.write_to(writer.resize_here(record.encoded_len())?)?;
        }
        drop(writer);
        self.change_keyed(txn, addr, &keyed)?;
        match gone {
            true => self.forget(txn, addr, head.extent),
            false => Ok(()),
        }
    }

    fn change_inline(&self, record: &mut Record, reference: Reference, delta: i64) -> Result<Edit> {
        let count = count_of(delta)?;
        match delta > 0 {
            true => record.add(reference, count, self.layout.node_size),
            false => record.remove(reference, count),
        }
    }

    fn change_keyed(
        &self,
        txn: &dyn Allocate,
        addr: Logical,
        changes: &[(Reference, i64)],
    ) -> Result {
        let keyed = Keyed {
            tree: &self.extents,
            txn,
            addr,
        };
        for (reference, delta) in changes {
            let count = count_of(*delta)?;
            match *delta > 0 {
                true => keyed.add(*reference, count)?,
                false => keyed.remove(*reference, count)?,
            }
        }
        Ok(())
    }

    /// The last reference is gone, and the item.
    fn forget(&self, txn: &dyn Allocate, addr: Logical, extent: Extent) -> Result {
        if let Extent::Data { len } = extent {
            self.delete_checksums(txn, addr, len)?;
        }
        self.space.note_freed(txn, addr, self.len(extent))
    }

    fn delete_checksums(&self, txn: &dyn Allocate, addr: Logical, len: Bytes) -> Result {
        checksums::delete(&self.checksums, txn, &self.layout, addr, len)
    }

    /// The keys that an extent's item may have. Tree blocks of old file systems have the long one whatever the format
    /// says.
    fn keys(&self, addr: Logical, extent: Extent) -> [Key; 2] {
        [
            self.key(addr, extent),
            Key::new(addr.get(), Kind::EXTENT_ITEM, self.len(extent).get()),
        ]
    }

    /// Moves to the item of the extent that is to change, and reads it. There is one.
    fn seek(&self, writer: &mut Writer<'_>, addr: Logical, head: &Head) -> Result<Record> {
        for key in self.keys(addr, head.extent) {
            if writer.seek(&key)? == Sought::Found {
                let (_, bytes) = writer.item()?.ok_or(NO_ITEM)?;
                let record = Record::parse(addr, key.kind, bytes)?;
                expect_kind(addr, head.extent, record.flags())?;
                return Ok(record);
            }
        }
        let place = match head.changes.iter().next() {
            Some((reference, _)) => Site::Reference(addr, reference),
            None => Site::Extent(addr),
        };
        let flaw = Flaw::missing("extent is referenced and not in the extent tree");
        Err(flaw.at(place).report())
    }

    fn key(&self, addr: Logical, extent: Extent) -> Key {
        match extent {
            Extent::Block { level } if self.layout.metadata == Metadata::Skinny => {
                Key::new(addr.get(), Kind::METADATA_ITEM, level.into())
            }
            _ => Key::new(addr.get(), Kind::EXTENT_ITEM, self.len(extent).get()),
        }
    }

    fn len(&self, extent: Extent) -> Bytes {
        match extent {
            Extent::Block { .. } => self.layout.node_size.into(),
            Extent::Data { len } => len,
        }
    }
}

/// An extent is what it is referenced as.
fn expect_kind(addr: Logical, extent: Extent, flags: ExtentFlags) -> Result {
    let wanted = match extent {
        Extent::Block { .. } => ExtentFlags::TREE_BLOCK,
        Extent::Data { .. } => ExtentFlags::DATA,
    };
    if flags.contains(wanted) {
        return Ok(());
    }
    let what = "extent is not what it is referenced as";
    Err(broken(addr, Flaw::new(what, flags.get(), wanted.get())))
}

/// How many references a change adds or drops.
fn count_of(delta: i64) -> Result<u32> {
    u32::try_from(delta.unsigned_abs()).map_err(|_| EOVERFLOW)
}

#[cold]
pub(super) fn broken(addr: Logical, flaw: Flaw) -> Error {
    flaw.at(Site::Extent(addr)).report()
}

const NO_ITEM: Bug = Bug::new("a writer found a key and has no item");

fn extra_flags(head: &Head) -> ExtentFlags {
    match head.full_backref {
        FullBackref::Set => ExtentFlags::FULL_BACKREF,
        FullBackref::Keep => ExtentFlags::NONE,
    }
}
