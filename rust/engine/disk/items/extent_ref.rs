// SPDX-License-Identifier: GPL-2.0
//! References to extents: inside the extent's item, and in items of their own.

use crate::disk::checksum::data_ref_hash;
use crate::disk::corrupt::{ensure, ensure_eq, Bug, Flaw};
use crate::disk::packing::{front, len64, put_front, put_strings, whole};
use crate::disk::raw::{RawDataRef, RawInlineRef, RawSharedDataRef};
use crate::disk::{ExtentFlags, Key, Kind, Logical, ObjectId, Reference};
use zerocopy::little_endian::U64;

/// A file's reference to a data extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRef {
    /// The tree that has the reference.
    pub root: ObjectId,
    /// The inode that has the reference.
    pub inode: ObjectId,
    /// File position minus position in the extent; wraps below zero.
    pub offset: u64,
    /// How many file extents are like this; they are not zero.
    pub count: u32,
}

impl FileRef {
    /// Where it stands among others.
    pub fn hash(&self) -> u64 {
        data_ref_hash(self.root.get(), self.inode.get(), self.offset)
    }
}

impl TryFrom<&RawDataRef> for FileRef {
    type Error = Flaw;

    fn try_from(raw: &RawDataRef) -> Result<Self, Flaw> {
        let item = Self {
            root: ObjectId::new(raw.root.get()),
            inode: ObjectId::new(raw.inode.get()),
            offset: raw.offset.get(),
            count: raw.count.get(),
        };
        let root = item.root;
        // The tree of trees has the files of the free space cache.
        let has_files =
            root.is_subvolume() || root == ObjectId::DATA_RELOC_TREE || root == ObjectId::ROOT_TREE;
        ensure(
            has_files,
            "reference of a tree without files",
            root.get(),
            256,
        )?;
        ensure(
            item.inode.is_free(),
            "reference of no inode",
            item.inode.get(),
            256,
        )?;
        ensure(item.count > 0, "reference counts nothing", 0, 1)?;
        Ok(item)
    }
}

impl FileRef {
    /// Reads an EXTENT_DATA_REF item.
    pub fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        whole::<RawDataRef>(bytes, "data reference has a wrong size")?.try_into()
    }
}

impl From<&FileRef> for RawDataRef {
    fn from(item: &FileRef) -> Self {
        Self {
            root: item.root.get().into(),
            inode: item.inode.get().into(),
            offset: item.offset.into(),
            count: item.count.into(),
        }
    }
}

/// A reference inside an extent item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InlineRef {
    /// A tree block, by its tree.
    TreeBlock(ObjectId),
    /// A tree block, by its parent.
    SharedBlock(Logical),
    /// Data, by a file.
    Data(FileRef),
    /// Data, by so many file extents in a leaf.
    SharedData(Logical, u32),
}

impl InlineRef {
    /// The item that stands for a reference `count` times. A tree block's holder references it once.
    pub const fn new(reference: Reference, count: u32) -> Self {
        match reference {
            Reference::TreeBlock(root) => Self::TreeBlock(root),
            Reference::SharedBlock(parent) => Self::SharedBlock(parent),
            Reference::Data {
                root,
                inode,
                offset,
            } => Self::Data(FileRef {
                root,
                inode,
                offset,
                count,
            }),
            Reference::SharedData(leaf) => Self::SharedData(leaf, count),
        }
    }

    /// Which reference it stands for, however often.
    pub const fn reference(&self) -> Reference {
        match *self {
            Self::TreeBlock(root) => Reference::TreeBlock(root),
            Self::SharedBlock(parent) => Reference::SharedBlock(parent),
            Self::Data(file) => Reference::Data {
                root: file.root,
                inode: file.inode,
                offset: file.offset,
            },
            Self::SharedData(leaf, _) => Reference::SharedData(leaf),
        }
    }

    /// The kind that the reference has, inline or as an item.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::TreeBlock(_) => Kind::TREE_BLOCK_REF,
            Self::SharedBlock(_) => Kind::SHARED_BLOCK_REF,
            Self::Data(_) => Kind::EXTENT_DATA_REF,
            Self::SharedData(..) => Kind::SHARED_DATA_REF,
        }
    }

    /// The reference's place among those of its kind: they stand in descending order of this number.
    pub fn sequence(&self) -> u64 {
        match self {
            Self::TreeBlock(root) => root.get(),
            Self::SharedBlock(parent) | Self::SharedData(parent, _) => parent.get(),
            Self::Data(file) => file.hash(),
        }
    }

    /// How many references it stands for.
    pub const fn count(&self) -> u32 {
        match self {
            Self::TreeBlock(_) | Self::SharedBlock(_) => 1,
            Self::Data(file) => file.count,
            Self::SharedData(_, count) => *count,
        }
    }

    /// Bytes that a reference of this kind takes inline; `None` for what is none.
    pub const fn size(kind: Kind) -> Option<usize> {
        match kind {
            Kind::TREE_BLOCK_REF | Kind::SHARED_BLOCK_REF => Some(RawInlineRef::SIZE),
            // The kind's byte, then the structure.
            Kind::EXTENT_DATA_REF => Some(29),
            Kind::SHARED_DATA_REF => Some(13),
            _ => None,
        }
    }
}

impl InlineRef {
    /// Bytes that the reference takes inside an extent item.
    pub const fn encoded_len(&self) -> usize {
        match Self::size(self.kind()) {
            Some(size) => size,
            None => 0,
        }
    }

    /// Writes the reference to [`Self::encoded_len`] bytes of an extent item.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let rest = put_front(bytes, &self.kind().get())?;
        match self {
            Self::Data(_) => self.write_keyed_to(rest),
            Self::TreeBlock(_) | Self::SharedBlock(_) | Self::SharedData(..) => {
                let rest = put_front(rest, &U64::new(self.sequence()))?;
                self.write_keyed_to(rest)
            }
        }
    }

    /// Bytes of the item of a reference that has a key of its own.
    pub const fn keyed_len(&self) -> usize {
        match self {
            Self::TreeBlock(_) | Self::SharedBlock(_) => 0,
            Self::Data(_) => RawDataRef::SIZE,
            Self::SharedData(..) => RawSharedDataRef::SIZE,
        }
    }

    /// Writes the item of a reference that has a key of its own, to [`Self::keyed_len`] bytes.
    pub fn write_keyed_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let rest = match self {
            Self::TreeBlock(_) | Self::SharedBlock(_) => bytes,
            Self::Data(file) => put_front(bytes, &RawDataRef::from(file))?,
            Self::SharedData(_, count) => {
                let count = (*count).into();
                put_front(bytes, &RawSharedDataRef { count })?
            }
        };
        put_strings(rest, &[], &[])
    }
}

/// The references inside an extent item.
#[derive(Clone, Copy)]
pub struct InlineRefs<'a> {
    rest: &'a [u8],
    data: bool,
}

impl<'a> InlineRefs<'a> {
    /// The references of an extent with these flags.
    pub(in crate::disk) const fn new(rest: &'a [u8], flags: ExtentFlags) -> Self {
        let data = flags.contains(ExtentFlags::DATA);
        Self { rest, data }
    }

    fn parse(&mut self) -> Result<InlineRef, Flaw> {
        const SHORT: &str = "inline reference goes beyond its item";
        let bytes = core::mem::take(&mut self.rest);
        let (kind, rest): (&u8, _) = front(bytes, SHORT)?;
        let kind = Kind::new(*kind);
        let fits = match kind {
            Kind::TREE_BLOCK_REF | Kind::SHARED_BLOCK_REF => !self.data,
            Kind::EXTENT_DATA_REF | Kind::SHARED_DATA_REF => self.data,
            _ => false,
        };
        ensure(
            fits,
            "inline reference is of a wrong kind",
            kind.get().into(),
            0,
        )?;
        if kind == Kind::EXTENT_DATA_REF {
            let (raw, rest): (&RawDataRef, _) = front(rest, SHORT)?;
            self.rest = rest;
            return Ok(InlineRef::Data(raw.try_into()?));
        }
        let (raw, rest): (&RawInlineRef, _) = front(bytes, SHORT)?;
        let offset = raw.offset.get();
        self.rest = rest;
        Ok(match kind {
            Kind::TREE_BLOCK_REF => InlineRef::TreeBlock(ObjectId::new(offset)),
            Kind::SHARED_BLOCK_REF => InlineRef::SharedBlock(Logical::new(offset)),
            _ => {
                let (shared, rest): (&RawSharedDataRef, _) = front(rest, SHORT)?;
                self.rest = rest;
                InlineRef::SharedData(Logical::new(offset), shared_count(shared)?)
            }
        })
    }
}

impl Iterator for InlineRefs<'_> {
    type Item = Result<InlineRef, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.parse())
    }
}

fn shared_count(raw: &RawSharedDataRef) -> Result<u32, Flaw> {
    let count = raw.count.get();
    ensure(count > 0, "reference counts nothing", 0, 1)?;
    Ok(count)
}

/// A reference that has a key of its own (C: the `*_REF` items of the extent tree).
pub fn keyed_ref(key: &Key, bytes: &[u8]) -> Result<InlineRef, Flaw> {
    const SIZE: &str = "reference has a wrong size";
    match key.kind {
        Kind::EXTENT_DATA_REF => Ok(InlineRef::Data(FileRef::parse(bytes)?)),
        Kind::SHARED_DATA_REF => {
            let count = shared_count(whole(bytes, SIZE)?)?;
            Ok(InlineRef::SharedData(Logical::new(key.offset), count))
        }
        kind => {
            ensure_eq(SIZE, len64(bytes), 0)?;
            match kind {
                Kind::TREE_BLOCK_REF => Ok(InlineRef::TreeBlock(ObjectId::new(key.offset))),
                Kind::SHARED_BLOCK_REF => Ok(InlineRef::SharedBlock(Logical::new(key.offset))),
                _ => Err(Flaw::new("item is no reference", kind.get().into(), 176)),
            }
        }
    }
}
