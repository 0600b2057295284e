// SPDX-License-Identifier: GPL-2.0
//! Names of inodes, as the inode has them.

use crate::disk::corrupt::{Bug, Flaw};
use crate::disk::packing::{front, len16, len64, put_front, put_strings, split_name};
use crate::disk::raw::{RawInodeExtref, RawInodeRef};
use crate::disk::ObjectId;

/// A name of an inode in the directory that the key names (C: `struct btrfs_inode_ref`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeRef<'a> {
    /// The entry's index in the directory.
    pub index: u64,
    /// The name of the inode.
    pub name: &'a [u8],
}

impl InodeRef<'_> {
    /// Bytes that the name takes in an item.
    pub const fn encoded_len(&self) -> usize {
        RawInodeRef::SIZE.saturating_add(self.name.len())
    }

    /// Writes the name to [`Self::encoded_len`] bytes.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let head = RawInodeRef {
            index: self.index.into(),
            name_len: len16(self.name)?.into(),
        };
        put_strings(put_front(bytes, &head)?, self.name, &[])
    }
}

/// The names in an INODE_REF item.
#[derive(Clone, Copy)]
pub struct InodeRefs<'a> {
    rest: &'a [u8],
}

impl<'a> InodeRefs<'a> {
    /// Reads an item. A flaw ends the iteration.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet: with the item's length this gives an entry's place.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn parse(&mut self) -> Result<InodeRef<'a>, Flaw> {
        let bytes = core::mem::take(&mut self.rest);
        let (raw, rest): (&RawInodeRef, _) = front(bytes, "inode ref goes beyond its item")?;
        let (name, rest) = split_name(rest, raw.name_len.get())?;
        self.rest = rest;
        Ok(InodeRef {
            index: raw.index.get(),
            name,
        })
    }
}

impl<'a> Iterator for InodeRefs<'a> {
    type Item = Result<InodeRef<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        (len64(self.rest) > 0).then(|| self.parse())
    }
}

/// A name of an inode with its directory (C: `struct btrfs_inode_extref`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeExtref<'a> {
    /// The directory that has the name.
    pub parent: ObjectId,
    /// The entry's index in it.
    pub index: u64,
    /// The name of the inode.
    pub name: &'a [u8],
}

impl InodeExtref<'_> {
    /// Bytes that the name takes in an item.
    pub const fn encoded_len(&self) -> usize {
        RawInodeExtref::SIZE.saturating_add(self.name.len())
    }

    /// Writes the name to [`Self::encoded_len`] bytes.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let head = RawInodeExtref {
            parent: self.parent.get().into(),
            index: self.index.into(),
            name_len: len16(self.name)?.into(),
        };
        put_strings(put_front(bytes, &head)?, self.name, &[])
    }
}

/// The names in an INODE_EXTREF item: those with one hash.
#[derive(Clone, Copy)]
pub struct InodeExtrefs<'a> {
    rest: &'a [u8],
}

impl<'a> InodeExtrefs<'a> {
    /// Reads an item. A flaw ends the iteration.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet: with the item's length this gives an entry's place.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn parse(&mut self) -> Result<InodeExtref<'a>, Flaw> {
        let bytes = core::mem::take(&mut self.rest);
        let (raw, rest): (&RawInodeExtref, _) = front(bytes, "inode extref goes beyond its item")?;
        let (name, rest) = split_name(rest, raw.name_len.get())?;
        self.rest = rest;
        Ok(InodeExtref {
            parent: ObjectId::new(raw.parent.get()),
            index: raw.index.get(),
            name,
        })
    }
}

impl<'a> Iterator for InodeExtrefs<'a> {
    type Item = Result<InodeExtref<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        (len64(self.rest) > 0).then(|| self.parse())
    }
}
