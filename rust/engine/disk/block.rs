// SPDX-License-Identifier: GPL-2.0
//! Reading a tree block: its header, the items of a leaf, the pointers of a node.
//!
//! The views take any bytes and never panic. Of a block that passed [`super::check_block`] they show all there is;
//! of other bytes, what fits.

use super::raw::{RawHeader, RawItem, RawKeyPtr, HEADER_RELOC, HEADER_WRITTEN};
use super::{Generation, Key, Logical, ObjectId, Uuid};
use core::cmp::Ordering;
use core::ops::Range;
use zerocopy::FromBytes;

/// Bytes of a block's header: items and pointers start behind it.
pub const HEADER_SIZE: usize = RawHeader::SIZE;
/// Bytes that an item of a leaf takes besides its data: its key, and where the data are.
pub const ITEM_HEAD: usize = RawItem::SIZE;

/// A block's header (C: `struct btrfs_header`, less its checksum).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The block's own address.
    pub addr: Logical,
    /// The transaction that wrote it.
    pub generation: Generation,
    /// The tree that allocated it. A snapshot's tree shares blocks that another owns.
    pub owner: ObjectId,
    /// Items or pointers in use.
    pub nritems: u32,
    /// Height above the leaves.
    pub level: u8,
    /// The bits that [`Self::is_written`] and [`Self::is_relocated`] name, and the backref revision in the top byte.
    pub flags: u64,
    /// The file system's (metadata) UUID.
    pub fsid: Uuid,
    /// The chunk tree's UUID.
    pub chunk_tree_uuid: Uuid,
}

impl Header {
    /// The header of a block; `None` when the bytes are too few.
    pub fn new(block: &[u8]) -> Option<Header> {
        let (raw, _) = RawHeader::split(block)?;
        Some(raw.get())
    }

    /// Whether the block has been written since it was made: to change it, it must be copied.
    pub const fn is_written(&self) -> bool {
        self.flags & HEADER_WRITTEN != 0
    }

    /// Whether the block belongs to a relocation tree.
    pub const fn is_relocated(&self) -> bool {
        self.flags & HEADER_RELOC != 0
    }
}

impl RawHeader {
    /// The header in memory.
    pub(super) fn get(&self) -> Header {
        Header {
            addr: Logical::new(self.addr.get()),
            generation: Generation::new(self.generation.get()),
            owner: ObjectId::new(self.owner.get()),
            nritems: self.nritems.get(),
            level: self.level,
            flags: self.flags.get(),
            fsid: self.fsid,
            chunk_tree_uuid: self.chunk_tree_uuid,
        }
    }
}

/// The elements behind a header, as many as it says or as fit.
fn elements<'a, T>(header: &RawHeader, area: &'a [u8]) -> &'a [T]
where
    T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned,
{
    let fit = area
        .len()
        .checked_div(core::mem::size_of::<T>())
        .unwrap_or(0);
    let count = usize::try_from(header.nritems.get())
        .unwrap_or(fit)
        .min(fit);
    match <[T]>::ref_from_prefix_with_elems(area, count) {
        Ok((elements, _)) => elements,
        Err(_) => &[],
    }
}

/// Binary search; core's own has arithmetic that overflow checks make into panics.
#[inline]
fn search<T>(elements: &[T], key: &Key, key_of: impl Fn(&T) -> Key) -> Result<usize, usize> {
    let mut low = 0usize;
    let mut high = elements.len();
    while low < high {
        let middle = low.saturating_add(high.saturating_sub(low) >> 1);
        let Some(element) = elements.get(middle) else {
            break;
        };
        match key_of(element).cmp(key) {
            Ordering::Less => low = middle.saturating_add(1),
            Ordering::Equal => return Ok(middle),
            Ordering::Greater => high = middle,
        }
    }
    Err(low)
}

/// A leaf: items, ordered by key.
#[derive(Clone, Copy)]
pub struct Leaf<'a> {
    area: &'a [u8],
    items: &'a [RawItem],
}

impl<'a> Leaf<'a> {
    /// Views a block as a leaf. The caller knows its level.
    pub fn new(block: &'a [u8]) -> Self {
        match RawHeader::split(block) {
            Some((header, area)) => Self {
                area,
                items: elements(header, area),
            },
            None => Self {
                area: &[],
                items: &[],
            },
        }
    }

    /// How many items there are.
    #[inline]
    pub const fn nritems(&self) -> usize {
        self.items.len()
    }

    /// The key in `slot`, or `None` behind the last.
    #[inline]
    pub fn key(&self, slot: usize) -> Option<Key> {
        Some(self.items.get(slot)?.key.get())
    }

    /// The bytes of the item in `slot`.
    #[inline]
    pub fn data(&self, slot: usize) -> Option<&'a [u8]> {
        self.area.get(self.bounds(slot)?)
    }

    /// Where the bytes of the item in `slot` stand, counted from the end of the header.
    #[inline]
    pub fn bounds(&self, slot: usize) -> Option<Range<usize>> {
        let (start, end) = self.items.get(slot)?.bounds()?;
        Some(start..end)
    }

    /// Key and bytes of the item in `slot`.
    pub fn item(&self, slot: usize) -> Option<(Key, &'a [u8])> {
        Some((self.key(slot)?, self.data(slot)?))
    }

    /// The items as they stand: offsets count from the end of the header.
    pub(super) const fn raw_items(&self) -> &'a [RawItem] {
        self.items
    }

    /// The slot that has `key`, or as an error the slot where it belongs.
    #[inline]
    pub fn search(&self, key: &Key) -> Result<usize, usize> {
        search(self.items, key, |item| item.key.get())
    }

    /// Where the item data begin, counted from the end of the header: the space before it, up to the last item,
    /// is free.
    pub fn data_start(&self) -> usize {
        match self.items.last() {
            Some(item) => usize::try_from(item.offset.get()).unwrap_or(0),
            None => self.area.len(),
        }
    }

    /// Free bytes between items and data. A new item needs its data and [`ITEM_HEAD`].
    pub fn free_space(&self) -> usize {
        self.data_start()
            .saturating_sub(core::mem::size_of_val(self.items))
    }
}

impl RawItem {
    /// Where the item's bytes start and end, counted from the end of the header.
    #[inline]
    pub(super) fn bounds(&self) -> Option<(usize, usize)> {
        let start = usize::try_from(self.offset.get()).ok()?;
        let end = start.checked_add(usize::try_from(self.size.get()).ok()?)?;
        Some((start, end))
    }
}

/// What a node says of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// The child's first key, or one below that.
    pub key: Key,
    /// Where the block stands.
    pub addr: Logical,
    /// The generation in its header.
    pub generation: Generation,
}

/// A node: pointers to children, ordered by key.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    pointers: &'a [RawKeyPtr],
}

impl<'a> Node<'a> {
    /// Views a block as a node. The caller knows its level.
    pub fn new(block: &'a [u8]) -> Self {
        match RawHeader::split(block) {
            Some((header, area)) => Self {
                pointers: elements(header, area),
            },
            None => Self { pointers: &[] },
        }
    }

    /// How many pointers there are.
    #[inline]
    pub const fn nritems(&self) -> usize {
        self.pointers.len()
    }

    /// The key in `slot`, or `None` behind the last.
    #[inline]
    pub fn key(&self, slot: usize) -> Option<Key> {
        Some(self.pointers.get(slot)?.key.get())
    }

    /// The child in `slot`, or `None` behind the last.
    #[inline]
    pub fn child(&self, slot: usize) -> Option<Child> {
        Some(self.pointers.get(slot)?.get())
    }

    /// The pointers as they stand.
    pub(super) const fn raw_pointers(&self) -> &'a [RawKeyPtr] {
        self.pointers
    }

    /// The slot that has `key`, or as an error the slot where it belongs.
    #[inline]
    pub fn search(&self, key: &Key) -> Result<usize, usize> {
        search(self.pointers, key, |pointer| pointer.key.get())
    }

    /// The slot of the child that `key` is in or would be in: the last whose key is not greater, or the first.
    #[inline]
    pub fn descend(&self, key: &Key) -> usize {
        match self.search(key) {
            Ok(slot) => slot,
            Err(slot) => slot.saturating_sub(1),
        }
    }
}

impl RawKeyPtr {
    /// The pointer in memory.
    #[inline]
    pub(super) fn get(&self) -> Child {
        Child {
            key: self.key.get(),
            addr: Logical::new(self.addr.get()),
            generation: Generation::new(self.generation.get()),
        }
    }
}

impl From<Child> for RawKeyPtr {
    fn from(child: Child) -> Self {
        Self {
            key: child.key.into(),
            addr: child.addr.get().into(),
            generation: child.generation.get().into(),
        }
    }
}

/// How many pointers a node of `node_size` bytes holds.
pub const fn max_pointers(node_size: u32) -> u32 {
    // The sizes are small constants of the format.
    node_size.saturating_sub(101) / 33
}

/// How many bytes a leaf of `node_size` bytes has for items and their data.
pub const fn leaf_area(node_size: u32) -> u32 {
    node_size.saturating_sub(101)
}
