// SPDX-License-Identifier: GPL-2.0
//! An extent item's bytes: counts, flags and inline references (C: `struct btrfs_extent_item`).
//!
//! Inline references stand ascending by kind and, within a kind, descending by what they name; data references by
//! their hash.

use super::queue::Reference;
use crate::disk::raw::{
    RawDataRef, RawExtentItem, RawInlineRef, RawSharedDataRef, RawTreeBlockInfo,
};
use crate::disk::{data_ref_hash, leaf_area, ExtentFlags, Kind, Logical, ObjectId};
use latch::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

/// A leaf's overhead for an item (C: `struct btrfs_item`).
const ITEM_HEADER: u32 = 25;

/// An extent item taken out of its leaf, to be edited and put back.
pub(super) struct ExtentItem {
    addr: Logical,
    bytes: KVVec<u8>,
    /// Where the inline references begin.
    inline: usize,
}

/// Where a reference is, or would be, in an item.
enum Place {
    /// Here, this often.
    At(usize, u64),
    /// Not there; it belongs before the one here.
    Before(usize),
}

/// What became of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// The item has it.
    Done,
    /// It must be made in an item of its own.
    Keyed,
}

impl ExtentItem {
    /// A new item without references.
    pub(super) fn new(
        addr: Logical,
        head: RawExtentItem,
        info: Option<RawTreeBlockInfo>,
    ) -> Result<Self> {
        let mut bytes = KVVec::with_capacity(64, GFP_NOFAIL)?;
        bytes.extend_from_slice(head.as_bytes(), GFP_NOFAIL)?;
        if let Some(info) = info {
            bytes.extend_from_slice(info.as_bytes(), GFP_NOFAIL)?;
        }
        let inline = bytes.len();
        Ok(Self {
            addr,
            bytes,
            inline,
        })
    }

    /// The item as `kind` has it in the tree.
    pub(super) fn parse(addr: Logical, kind: Kind, from: &[u8]) -> Result<Self> {
        let mut bytes = KVVec::with_capacity(from.len(), GFP_NOFAIL)?;
        bytes.extend_from_slice(from, GFP_NOFAIL)?;
        let mut item = Self {
            addr,
            bytes,
            inline: RawExtentItem::SIZE,
        };
        if kind == Kind::EXTENT_ITEM && item.flags()?.contains(ExtentFlags::TREE_BLOCK) {
            item.inline += RawTreeBlockInfo::SIZE;
        }
        Ok(item)
    }

    /// The bytes for the tree.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The count of all references.
    pub(super) fn refs(&self) -> Result<u64> {
        Ok(self.head()?.refs.get())
    }

    /// What the extent is.
    pub(super) fn flags(&self) -> Result<ExtentFlags> {
        Ok(ExtentFlags::new(self.head()?.flags.get()))
    }

    /// Changes the count of all references. `EUCLEAN` below zero.
    pub(super) fn change_refs(&mut self, delta: i64) -> Result {
        let old = self.refs()?;
        let Some(new) = old.checked_add_signed(delta) else {
            pr_err!(
                "extent {} has {} references, cannot change that by {}\n",
                self.addr,
                old,
                delta
            );
            return Err(EUCLEAN);
        };
        self.head_mut()?.refs.set(new);
        Ok(())
    }

    /// Sets flags.
    pub(super) fn add_flags(&mut self, flags: ExtentFlags) -> Result {
        let all = self.flags()?.with(flags);
        self.head_mut()?.flags.set(all.get());
        Ok(())
    }

    /// Whether all references are inline: then there are no items of their own.
    pub(super) fn is_all_inline(&self) -> Result<bool> {
        let mut sum = 0u64;
        let mut at = self.inline;
        while let Some((_, count, next)) = self.inline_at(at)? {
            sum = sum.saturating_add(count);
            at = next;
        }
        Ok(sum == self.refs()?)
    }

    /// Adds `count` references inline, and to the count of all.
    pub(super) fn add(&mut self, reference: Reference, count: u64, node_size: u32) -> Result<Edit> {
        match self.find(reference)? {
            Place::At(at, old) => self.set_count(at, reference, old.saturating_add(count))?,
            Place::Before(at) => {
                let len = inline_len(kind_of(reference)).ok_or(EUCLEAN)?;
                let limit = (leaf_area(node_size) / 16).saturating_sub(ITEM_HEADER) as usize;
                if self.bytes.len().saturating_add(len) >= limit || !self.is_all_inline()? {
                    return Ok(Edit::Keyed);
                }
                self.open(at, len)?;
                self.write(at, reference, count)?;
            }
        }
        self.change_refs(i64::try_from(count).map_err(|_| EUCLEAN)?)?;
        Ok(Edit::Done)
    }

    /// Drops `count` references that are inline, and from the count of all.
    pub(super) fn remove(&mut self, reference: Reference, count: u64) -> Result<Edit> {
        let Place::At(at, old) = self.find(reference)? else {
            return Ok(Edit::Keyed);
        };
        match old.checked_sub(count) {
            Some(0) => {
                let len = inline_len(kind_of(reference)).ok_or(EUCLEAN)?;
                self.close(at, len)?;
            }
            Some(left) => self.set_count(at, reference, left)?,
            None => {
                pr_err!(
                    "extent {} has {} of {:?}, cannot drop {}\n",
                    self.addr,
                    old,
                    reference,
                    count
                );
                return Err(EUCLEAN);
            }
        }
        self.change_refs(i64::try_from(count).map_err(|_| EUCLEAN)?.saturating_neg())?;
        Ok(Edit::Done)
    }

    fn find(&self, wanted: Reference) -> Result<Place> {
        let order = (kind_of(wanted), !sequence_of(wanted));
        let mut at = self.inline;
        while let Some((found, count, next)) = self.inline_at(at)? {
            if let Some(found) = found {
                if found == wanted {
                    return Ok(Place::At(at, count));
                }
                if (kind_of(found), !sequence_of(found)) > order {
                    break;
                }
            }
            at = next;
        }
        Ok(Place::Before(at))
    }

    /// The inline reference at `at` with its count, and where the next one is; `None` at the end. An owner reference
    /// (simple quotas) is no reference.
    fn inline_at(&self, at: usize) -> Result<Option<(Option<Reference>, u64, usize)>> {
        let rest = self.bytes.get(at..).ok_or(EUCLEAN)?;
        let Some(kind) = rest.first().copied().map(Kind::new) else {
            return Ok(None);
        };
        let parsed = match kind {
            Kind::EXTENT_DATA_REF => parse_data(rest),
            Kind::SHARED_DATA_REF => parse_shared_data(rest),
            _ => parse_block(kind, rest),
        };
        let (Some((reference, count)), Some(len)) = (parsed, inline_len(kind)) else {
            pr_err!(
                "extent {} has a broken inline reference of kind {}\n",
                self.addr,
                kind.get()
            );
            return Err(EUCLEAN);
        };
        Ok(Some((reference, count, at.saturating_add(len))))
    }

    fn set_count(&mut self, at: usize, reference: Reference, count: u64) -> Result {
        if matches!(
            reference,
            Reference::TreeBlock(_) | Reference::SharedBlock(_)
        ) {
            pr_err!(
                "extent {} has {} of {:?}, at most one can be\n",
                self.addr,
                count,
                reference
            );
            return Err(EUCLEAN);
        }
        self.write(at, reference, count)
    }

    fn write(&mut self, at: usize, reference: Reference, count: u64) -> Result {
        let room = self.bytes.get_mut(at..).ok_or(EUCLEAN)?;
        let (kind, room) = room.split_first_mut().ok_or(EUCLEAN)?;
        *kind = kind_of(reference).get();
        put(room, encode(reference, count)?.bytes())
    }

    /// Makes `len` bytes of room at `at`.
    fn open(&mut self, at: usize, len: usize) -> Result {
        self.bytes
            .resize(self.bytes.len().saturating_add(len), 0, GFP_NOFAIL)?;
        let tail = self.bytes.get_mut(at..).ok_or(EUCLEAN)?;
        let moved = tail.len().checked_sub(len).ok_or(EUCLEAN)?;
        tail.copy_within(..moved, len);
        Ok(())
    }

    /// Takes `len` bytes out at `at`.
    fn close(&mut self, at: usize, len: usize) -> Result {
        let tail = self.bytes.get_mut(at..).ok_or(EUCLEAN)?;
        if len > tail.len() {
            return Err(EUCLEAN);
        }
        tail.copy_within(len.., 0);
        self.bytes.truncate(self.bytes.len().saturating_sub(len));
        Ok(())
    }

    fn head(&self) -> Result<&RawExtentItem> {
        RawExtentItem::ref_from_prefix(&self.bytes)
            .map(|(head, _)| head)
            .map_err(|_| EUCLEAN)
    }

    fn head_mut(&mut self) -> Result<&mut RawExtentItem> {
        RawExtentItem::mut_from_prefix(&mut self.bytes)
            .map(|(head, _)| head)
            .map_err(|_| EUCLEAN)
    }
}

fn parse_block(kind: Kind, bytes: &[u8]) -> Option<(Option<Reference>, u64)> {
    let (raw, _) = RawInlineRef::read_from_prefix(bytes).ok()?;
    let offset = raw.offset.get();
    match kind {
        Kind::TREE_BLOCK_REF => Some((Some(Reference::TreeBlock(ObjectId::new(offset))), 1)),
        Kind::SHARED_BLOCK_REF => Some((Some(Reference::SharedBlock(Logical::new(offset))), 1)),
        Kind::EXTENT_OWNER_REF => Some((None, 0)),
        _ => None,
    }
}

fn parse_shared_data(bytes: &[u8]) -> Option<(Option<Reference>, u64)> {
    let (front, rest) = RawInlineRef::read_from_prefix(bytes).ok()?;
    let (count, _) = RawSharedDataRef::read_from_prefix(rest).ok()?;
    Some((
        Some(Reference::SharedData(Logical::new(front.offset.get()))),
        count.count.get().into(),
    ))
}

fn parse_data(bytes: &[u8]) -> Option<(Option<Reference>, u64)> {
    let (_, rest) = bytes.split_first()?;
    let (raw, _) = RawDataRef::read_from_prefix(rest).ok()?;
    Some((Some(data_reference(&raw)), raw.count.get().into()))
}

/// The reference that the item of a file's reference to data stands for.
pub(super) fn data_reference(raw: &RawDataRef) -> Reference {
    let root = ObjectId::new(raw.root.get());
    Reference::Data {
        root,
        inode: ObjectId::new(raw.inode.get()),
        offset: raw.offset.get(),
    }
}

/// The kind of a reference's item, inline or keyed.
pub(super) fn kind_of(reference: Reference) -> Kind {
    match reference {
        Reference::TreeBlock(_) => Kind::TREE_BLOCK_REF,
        Reference::SharedBlock(_) => Kind::SHARED_BLOCK_REF,
        Reference::Data { .. } => Kind::EXTENT_DATA_REF,
        Reference::SharedData(_) => Kind::SHARED_DATA_REF,
    }
}

/// What references of a kind are ordered by, and the offset of the key of a keyed one.
pub(super) fn sequence_of(reference: Reference) -> u64 {
    match reference {
        Reference::TreeBlock(root) => root.get(),
        Reference::SharedBlock(addr) | Reference::SharedData(addr) => addr.get(),
        Reference::Data {
            root,
            inode,
            offset,
        } => data_ref_hash(root.get(), inode.get(), offset),
    }
}

/// Bytes of an inline reference with its kind.
fn inline_len(kind: Kind) -> Option<usize> {
    match kind {
        Kind::TREE_BLOCK_REF | Kind::SHARED_BLOCK_REF | Kind::EXTENT_OWNER_REF => {
            Some(RawInlineRef::SIZE)
        }
        Kind::EXTENT_DATA_REF => Some(1 + RawDataRef::SIZE),
        Kind::SHARED_DATA_REF => Some(RawInlineRef::SIZE + RawSharedDataRef::SIZE),
        _ => None,
    }
}

/// What follows the kind byte.
struct Encoded {
    bytes: [u8; RawDataRef::SIZE],
    len: usize,
}

impl Encoded {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

fn encode(reference: Reference, count: u64) -> Result<Encoded> {
    let count = u32::try_from(count).map_err(|_| EOVERFLOW)?;
    let mut bytes = [0; RawDataRef::SIZE];
    let len = match reference {
        Reference::TreeBlock(_) | Reference::SharedBlock(_) => {
            put(&mut bytes, &sequence_of(reference).to_le_bytes())?;
            8
        }
        Reference::SharedData(leaf) => {
            put(&mut bytes, &leaf.get().to_le_bytes())?;
            put(bytes.get_mut(8..).ok_or(EUCLEAN)?, &count.to_le_bytes())?;
            12
        }
        Reference::Data {
            root,
            inode,
            offset,
        } => {
            bytes = zerocopy::transmute!(raw_data_ref(root, inode, offset, count));
            RawDataRef::SIZE
        }
    };
    Ok(Encoded { bytes, len })
}

/// A file's reference to data.
pub(super) fn raw_data_ref(root: ObjectId, inode: ObjectId, offset: u64, count: u32) -> RawDataRef {
    RawDataRef {
        root: root.get().into(),
        inode: inode.get().into(),
        offset: offset.into(),
        count: count.into(),
    }
}

fn put(room: &mut [u8], bytes: &[u8]) -> Result {
    room.get_mut(..bytes.len())
        .ok_or(EUCLEAN)?
        .copy_from_slice(bytes);
    Ok(())
}
