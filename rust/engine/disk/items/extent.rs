// SPDX-License-Identifier: GPL-2.0
//! Extents and their items.

use crate::disk::corrupt::{ensure, Bug, Flaw};
use crate::disk::ids::{HIGHEST_LEVEL, MAX_LEVELS};
use crate::disk::packing::{front, put_front};
use crate::disk::raw::{RawExtentItem, RawTreeBlockInfo};
use crate::disk::{ExtentFlags, Generation, InlineRefs, Key, Kind};

/// An extent (C: `struct btrfs_extent_item`), of an EXTENT_ITEM or METADATA_ITEM.
#[derive(Clone, Copy)]
pub struct ExtentItem<'a> {
    /// How many references there are, inline or with keys of their own; it is not zero.
    pub refs: u64,
    /// The transaction that allocated it.
    pub generation: Generation,
    /// Data or tree block, exactly one of them.
    pub flags: ExtentFlags,
    /// First key and level, of a tree block where the item's kind is EXTENT_ITEM.
    pub block_info: Option<(Key, u8)>,
    /// The inline references.
    pub inline_refs: InlineRefs<'a>,
}

impl<'a> ExtentItem<'a> {
    /// Reads an item of this kind. The references are checked as they are read.
    pub fn parse(kind: Kind, bytes: &'a [u8]) -> Result<Self, Flaw> {
        let (head, rest) = ExtentHead::parse(kind, bytes)?;
        let ExtentHead {
            refs,
            generation,
            flags,
            block_info,
        } = head;
        ensure(refs > 0, "extent has no references", refs, 1)?;
        check_flags(kind, flags)?;
        let level = block_info.map_or(0, |(_, level)| level);
        ensure(
            level < MAX_LEVELS,
            "block's level is too high",
            level.into(),
            HIGHEST_LEVEL.into(),
        )?;
        let inline_refs = InlineRefs::new(rest, flags);
        Ok(Self {
            refs,
            generation,
            flags,
            block_info,
            inline_refs,
        })
    }
}

/// The front of an extent item: what stands before the inline references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtentHead {
    /// All references, inline or with keys of their own.
    pub refs: u64,
    /// The transaction that allocated it.
    pub generation: Generation,
    /// Data or tree block.
    pub flags: ExtentFlags,
    /// First key and level, of a tree block where the item's kind is EXTENT_ITEM.
    pub block_info: Option<(Key, u8)>,
}

impl ExtentHead {
    /// The front of an item of this kind, and the inline references as they stand. No rule is checked but the length.
    pub fn parse(kind: Kind, bytes: &[u8]) -> Result<(Self, &[u8]), Flaw> {
        let (raw, rest): (&RawExtentItem, _) = front(bytes, "extent item is too short")?;
        let flags = ExtentFlags::new(raw.flags.get());
        let mut head = Self {
            refs: raw.refs.get(),
            generation: Generation::new(raw.generation.get()),
            flags,
            block_info: None,
        };
        if !flags.contains(ExtentFlags::TREE_BLOCK) || kind != Kind::EXTENT_ITEM {
            return Ok((head, rest));
        }
        let (info, rest): (&RawTreeBlockInfo, _) = front(rest, "extent item is too short")?;
        head.block_info = Some((info.key.get(), info.level));
        Ok((head, rest))
    }

    /// Bytes that it takes.
    pub const fn encoded_len(&self) -> usize {
        match self.block_info {
            Some(_) => RawExtentItem::SIZE.saturating_add(RawTreeBlockInfo::SIZE),
            None => RawExtentItem::SIZE,
        }
    }

    /// Writes it to the front of an item; what follows stays as it is.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let raw = RawExtentItem {
            refs: self.refs.into(),
            generation: self.generation.get().into(),
            flags: self.flags.get().into(),
        };
        let rest = put_front(bytes, &raw)?;
        if let Some((key, level)) = self.block_info {
            let key = key.into();
            put_front(rest, &RawTreeBlockInfo { key, level })?;
        }
        Ok(())
    }
}

fn check_flags(kind: Kind, flags: ExtentFlags) -> Result<(), Flaw> {
    let known = ExtentFlags::DATA
        .with(ExtentFlags::TREE_BLOCK)
        .with(ExtentFlags::FULL_BACKREF);
    let is_data = flags.contains(ExtentFlags::DATA);
    let one = is_data != flags.contains(ExtentFlags::TREE_BLOCK);
    ensure(
        one,
        "extent is not one of data and tree block",
        flags.get(),
        1,
    )?;
    ensure(
        known.contains(flags),
        "extent has unknown flags",
        flags.get(),
        known.get(),
    )?;
    let skinny_data = is_data && kind == Kind::METADATA_ITEM;
    ensure(
        !skinny_data,
        "data extent has a key for tree blocks",
        flags.get(),
        2,
    )?;
    let full = is_data && flags.contains(ExtentFlags::FULL_BACKREF);
    ensure(!full, "data extent has full backrefs", flags.get(), 1)
}
