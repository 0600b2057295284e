// SPDX-License-Identifier: GPL-2.0
//! Directory entries and extended attributes, which share a structure.

use crate::disk::corrupt::{ensure, ensure_eq, Bug, Flaw};
use crate::disk::packing::{front, len16, put_front, put_strings, split, split_name};
use crate::disk::raw::RawDirItem;
use crate::disk::{FileType, Generation, Key, Kind, ObjectId};

/// What a directory entry leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryTarget {
    /// An inode of the same tree.
    Inode(ObjectId),
    /// A subvolume, by the id of its tree.
    Subvolume(ObjectId),
    /// Nothing: the entry is an extended attribute.
    Attribute,
}

impl EntryTarget {
    /// The key that the entry has for it.
    pub const fn key(self) -> Key {
        match self {
            Self::Inode(id) => Key::new(id.get(), Kind::INODE_ITEM, 0),
            Self::Subvolume(id) => Key::new(id.get(), Kind::ROOT_ITEM, u64::MAX),
            Self::Attribute => Key::new(0, Kind::new(0), 0),
        }
    }
}

impl TryFrom<Key> for EntryTarget {
    type Error = Flaw;

    fn try_from(key: Key) -> Result<Self, Flaw> {
        let id = key.objectid;
        match key.kind {
            Kind::ROOT_ITEM => {
                ensure(id.is_subvolume(), "entry names no subvolume", id.get(), 256)?;
                Ok(Self::Subvolume(id))
            }
            Kind::INODE_ITEM => {
                ensure(is_inode_number(id), "entry names no inode", id.get(), 256)?;
                ensure_eq("entry's inode key has an offset", key.offset, 0)?;
                Ok(Self::Inode(id))
            }
            _ => {
                let zero = key == Key::MIN;
                ensure(
                    zero,
                    "entry names neither inode nor root",
                    key.kind.get().into(),
                    1,
                )?;
                Ok(Self::Attribute)
            }
        }
    }
}

/// Whether an inode item may have this objectid.
pub(in crate::disk) fn is_inode_number(id: ObjectId) -> bool {
    id.is_free() || id == ObjectId::ROOT_TREE_DIR || id == ObjectId::FREE_INO
}

/// A directory entry or an extended attribute (C: `struct btrfs_dir_item`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// What it leads to.
    pub target: EntryTarget,
    /// The transaction that made it.
    pub transid: Generation,
    /// The type of the file, or [`FileType::Xattr`].
    pub kind: FileType,
    /// The name; the attribute's with its prefix.
    pub name: &'a [u8],
    /// The attribute's value; empty for files.
    pub value: &'a [u8],
}

/// The entries in a DIR_ITEM, DIR_INDEX or XATTR_ITEM: those whose names have one hash.
#[derive(Clone, Copy)]
pub struct DirEntries<'a> {
    rest: &'a [u8],
}

impl<'a> DirEntries<'a> {
    /// Reads an item. A flaw ends the iteration.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet: with the item's length this gives an entry's place.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn parse(&mut self) -> Result<DirEntry<'a>, Flaw> {
        let bytes = core::mem::take(&mut self.rest);
        let (raw, rest): (&RawDirItem, _) = front(bytes, "entry goes beyond its item")?;
        let (name, rest) = split_name(rest, raw.name_len.get())?;
        let (value, rest) = split(rest, raw.data_len.get(), "value goes beyond its item")?;
        let entry = DirEntry {
            target: raw.location.get().try_into()?,
            transid: Generation::new(raw.transid.get()),
            kind: raw.kind.try_into()?,
            name,
            value,
        };
        entry.check()?;
        self.rest = rest;
        Ok(entry)
    }
}

impl DirEntry<'_> {
    /// Bytes that an entry takes besides its name and value.
    pub const HEAD: usize = RawDirItem::SIZE;

    /// Bytes that the entry takes in an item.
    pub const fn encoded_len(&self) -> usize {
        Self::HEAD
            .saturating_add(self.name.len())
            .saturating_add(self.value.len())
    }

    /// Writes the entry to [`Self::encoded_len`] bytes.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let head = RawDirItem {
            location: self.target.key().into(),
            transid: self.transid.get().into(),
            data_len: len16(self.value)?.into(),
            name_len: len16(self.name)?.into(),
            kind: self.kind.get(),
        };
        put_strings(put_front(bytes, &head)?, self.name, self.value)
    }

    /// The rules between the members.
    fn check(&self) -> Result<(), Flaw> {
        let kind = self.kind.get().into();
        let is_attribute = self.target == EntryTarget::Attribute;
        let matches = (self.kind == FileType::Xattr) == is_attribute;
        ensure(matches, "entry's type does not fit what it names", kind, 8)?;
        if is_attribute {
            return Ok(());
        }
        let is_root = matches!(self.target, EntryTarget::Subvolume(_));
        let is_directory = self.kind == FileType::Directory;
        ensure(
            is_directory || !is_root,
            "subvolume's entry is no directory",
            kind,
            2,
        )?;
        ensure(
            self.value.is_empty(),
            "directory entry has a value",
            kind,
            0,
        )?;
        ensure(
            is_file_name(self.name),
            "name is not one that a file can have",
            kind,
            0,
        )
    }
}

/// Whether a name can stand in a path. Others would lead a walker out of its directory.
fn is_file_name(name: &[u8]) -> bool {
    !matches!(name, b"." | b"..") && !has_zero_or_slash(name)
}

/// Eight bytes at a time: names are most of what a directory's leaf holds.
fn has_zero_or_slash(name: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    const SLASHES: u64 = ONES.wrapping_mul(0x2f);
    // The lowest zero byte borrows from its own high bit.
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH != 0;
    let mut rest = name;
    while let [a, b, c, d, e, f, g, h, tail @ ..] = rest {
        let word = u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
        if has_zero(word) || has_zero(word ^ SLASHES) {
            return true;
        }
        rest = tail;
    }
    rest.iter().any(|&byte| byte == 0 || byte == b'/')
}

impl<'a> Iterator for DirEntries<'a> {
    type Item = Result<DirEntry<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.parse())
    }
}
