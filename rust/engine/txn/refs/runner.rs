// SPDX-License-Identifier: GPL-2.0
//! Takes heads from the queue to the extent tree.

use super::allocate::Context;
use super::item::{Edit, ExtentItem};
use super::keyed::Keyed;
use super::queue::{Extent, FullBackref, Head, Origin, Reference};
use crate::btree::{Allocate, BlockRefs, Tree, Writer};
use crate::disk::raw::{RawExtentItem, RawKey, RawTreeBlockInfo};
use crate::disk::{ExtentFlags, Key, Kind, Logical};
use crate::txn::checksums;
use kernel::sync::Arc;
use latch::prelude::*;

/// How much of the queue to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::txn) enum Limit {
    /// This many heads, and none while another task runs some.
    Few(usize),
    /// This many heads.
    Many(usize),
    /// Until it is empty.
    All,
}

/// The trees that references change, and how extent items look here. Its lock makes heads go one at a time.
pub(in crate::txn) struct Runner {
    pub(in crate::txn) extents: Arc<Tree>,
    pub(in crate::txn) checksums: Option<Arc<Tree>>,
    pub(in crate::txn) layout: Layout,
}

/// What the volume's format says of extents.
#[derive(Clone, Copy, Debug)]
pub(in crate::txn) struct Layout {
    /// Bytes in a tree block.
    pub(in crate::txn) node_size: u32,
    /// Items of tree blocks.
    pub(in crate::txn) metadata: Metadata,
    /// Bytes of data that have one checksum.
    pub(in crate::txn) sector_size: u32,
    /// Bytes of a checksum.
    pub(in crate::txn) checksum_len: usize,
}

/// How new tree blocks are kept in the extent tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::txn) enum Metadata {
    /// METADATA_ITEM.
    Skinny,
    /// EXTENT_ITEM with the first key.
    Full,
}

impl Runner {
    /// Applies one head. No tree block lock is held. After an error the transaction must be aborted.
    pub(super) fn run(&self, context: &Context<'_>, addr: Logical, head: &Head) -> Result {
        match head.origin {
            Origin::New(_) if head.changes.is_empty() => self.drop_new(context, addr, head),
            Origin::New(first_key) => self.insert(context, addr, head, first_key),
            Origin::Known => self.change(context, addr, head),
        }
    }

    /// What the tree says of a tree block; `None` if it has no item.
    pub(super) fn known_refs(&self, addr: Logical, level: u8) -> Result<Option<BlockRefs>> {
        let extent = Extent::Block { level };
        for key in self.keys(addr, extent) {
            let found = self
                .extents
                .get(&key, |bytes| ExtentItem::parse(addr, key.kind, bytes))?;
            if let Some(item) = found {
                let item = item?;
                self.expect_kind(addr, extent, &item)?;
                let full_backref = item.flags()?.contains(ExtentFlags::FULL_BACKREF);
                return Ok(Some(BlockRefs {
                    count: item.refs()?,
                    full_backref,
                }));
            }
        }
        Ok(None)
    }

    /// New data that lost its references before it got its item.
    fn drop_new(&self, context: &Context<'_>, addr: Logical, head: &Head) -> Result {
        if let Extent::Data { len } = head.extent {
            self.delete_checksums(context, addr, len)?;
        }
        context.pin_unknown(addr, self.len(head.extent))
    }

    fn insert(&self, context: &Context<'_>, addr: Logical, head: &Head, first_key: Key) -> Result {
        let (flags, info) = match head.extent {
            Extent::Data { .. } => (ExtentFlags::DATA, None),
            Extent::Block { .. } if self.layout.metadata == Metadata::Skinny => {
                (ExtentFlags::TREE_BLOCK, None)
            }
            Extent::Block { level } => {
                let key = RawKey::from(first_key);
                (
                    ExtentFlags::TREE_BLOCK,
                    Some(RawTreeBlockInfo { key, level }),
                )
            }
        };
        let raw = RawExtentItem {
            refs: 0.into(),
            generation: context.generation().get().into(),
            flags: flags.with(extra_flags(head)).get().into(),
        };
        let mut item = ExtentItem::new(addr, raw, info)?;
        let mut keyed = KVVec::new();
        for (reference, delta) in head.changes.iter() {
            if delta < 0 {
                return Err(self.nonsense(addr, head));
            }
            if self.change_inline(&mut item, reference, delta)? == Edit::Keyed {
                item.change_refs(delta)?;
                keyed.push((reference, delta), GFP_NOFAIL)?;
            }
        }
        self.extents
            .insert(context, &self.key(addr, head.extent), item.bytes())?;
        self.change_keyed(context, addr, &keyed)?;
        context
            .space()
            .note_allocated(context, addr, self.len(head.extent))
    }

    fn change(&self, context: &Context<'_>, addr: Logical, head: &Head) -> Result {
        let mut writer = Writer::new(&self.extents, context);
        let mut item = self.seek(&mut writer, addr, head.extent)?;
        let mut keyed = KVVec::new();
        let mut apply = |wanted: fn(i64) -> bool| -> Result {
            for (reference, delta) in head.changes.iter().filter(|(_, delta)| wanted(*delta)) {
                if self.change_inline(&mut item, reference, delta)? == Edit::Keyed {
                    item.change_refs(delta)?;
                    keyed.push((reference, delta), GFP_NOFAIL)?;
                }
            }
            Ok(())
        };
        // The count must not touch zero on the way.
        apply(|delta| delta > 0)?;
        apply(|delta| delta < 0)?;
        let gone = item.refs()? == 0;
        if gone && !item.is_all_inline()? {
            pr_err!(
                "extent {} has more inline references than its count says\n",
                addr
            );
            return Err(EUCLEAN);
        }
        if gone {
            writer.remove_here()?;
        } else {
            item.add_flags(extra_flags(head))?;
            let room = writer.resize_here(item.bytes().len())?;
            if room.len() != item.bytes().len() {
                return Err(EUCLEAN);
            }
            room.copy_from_slice(item.bytes());
        }
        drop(writer);
        self.change_keyed(context, addr, &keyed)?;
        match gone {
            true => self.forget(context, addr, head.extent),
            false => Ok(()),
        }
    }

    fn change_inline(
        &self,
        item: &mut ExtentItem,
        reference: Reference,
        delta: i64,
    ) -> Result<Edit> {
        let count = delta.unsigned_abs();
        match delta > 0 {
            true => item.add(reference, count, self.layout.node_size),
            false => item.remove(reference, count),
        }
    }

    fn change_keyed(
        &self,
        context: &Context<'_>,
        addr: Logical,
        changes: &[(Reference, i64)],
    ) -> Result {
        let keyed = Keyed {
            tree: &self.extents,
            txn: context,
            addr,
        };
        for (reference, delta) in changes {
            let count = delta.unsigned_abs();
            match *delta > 0 {
                true => keyed.add(*reference, count)?,
                false => keyed.remove(*reference, count)?,
            }
        }
        Ok(())
    }

    /// The last reference is gone, and the item.
    fn forget(&self, context: &Context<'_>, addr: Logical, extent: Extent) -> Result {
        if let Extent::Data { len } = extent {
            self.delete_checksums(context, addr, len)?;
        }
        context.space().note_freed(context, addr, self.len(extent))
    }

    fn delete_checksums(&self, context: &Context<'_>, addr: Logical, len: u64) -> Result {
        match &self.checksums {
            Some(tree) => checksums::delete(tree, context, &self.layout, addr, len),
            None => Ok(()),
        }
    }

    /// The keys that an extent's item may have. Tree blocks of old file systems have the long one whatever the format
    /// says.
    fn keys(&self, addr: Logical, extent: Extent) -> [Key; 2] {
        [
            self.key(addr, extent),
            Key::new(addr.get(), Kind::EXTENT_ITEM, self.len(extent)),
        ]
    }

    /// Moves to an extent's item and reads it; `EUCLEAN` if it has none.
    fn seek(&self, writer: &mut Writer<'_>, addr: Logical, extent: Extent) -> Result<ExtentItem> {
        for key in self.keys(addr, extent) {
            if writer.seek(&key)? {
                let (_, bytes) = writer.item()?.ok_or(EUCLEAN)?;
                let item = ExtentItem::parse(addr, key.kind, bytes)?;
                self.expect_kind(addr, extent, &item)?;
                return Ok(item);
            }
        }
        pr_err!(
            "extent {} ({:?}) is referenced and not in the extent tree\n",
            addr,
            extent
        );
        Err(EUCLEAN)
    }

    fn expect_kind(&self, addr: Logical, extent: Extent, item: &ExtentItem) -> Result {
        let wanted = match extent {
            Extent::Block { .. } => ExtentFlags::TREE_BLOCK,
            Extent::Data { .. } => ExtentFlags::DATA,
        };
        if item.flags()?.contains(wanted) {
            return Ok(());
        }
        pr_err!(
            "extent {} is referenced as {:?}, its flags are {}\n",
            addr,
            extent,
            item.flags()?
        );
        Err(EUCLEAN)
    }

    fn key(&self, addr: Logical, extent: Extent) -> Key {
        match extent {
            Extent::Block { level } if self.layout.metadata == Metadata::Skinny => {
                Key::new(addr.get(), Kind::METADATA_ITEM, level.into())
            }
            _ => Key::new(addr.get(), Kind::EXTENT_ITEM, self.len(extent)),
        }
    }

    fn len(&self, extent: Extent) -> u64 {
        match extent {
            Extent::Block { .. } => self.layout.node_size.into(),
            Extent::Data { len } => len,
        }
    }

    #[cold]
    fn nonsense(&self, addr: Logical, head: &Head) -> Error {
        pr_err!(
            "new extent {} ({:?}) loses references it never had\n",
            addr,
            head.extent
        );
        EUCLEAN
    }
}

fn extra_flags(head: &Head) -> ExtentFlags {
    match head.full_backref {
        FullBackref::Set => ExtentFlags::FULL_BACKREF,
        FullBackref::Keep => ExtentFlags::NONE,
    }
}
