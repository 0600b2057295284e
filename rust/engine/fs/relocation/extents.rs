// SPDX-License-Identifier: GPL-2.0
//! The data extents of a block group, and who refers to them.

use crate::btree::{DataRef, Holder, Tree};
use crate::disk::{keyed_ref, Bytes, ExtentFlags, ExtentItem, FileRef, Flaw, InlineRef};
use crate::disk::{Key, Kind, Logical, ObjectId};
use crate::space::DataExtent;
use core::ops::ControlFlow;
use latch::prelude::*;

/// How many holders of an extent are followed, and how many items of theirs in all: one handle changes them.
const MOST_HOLDERS: usize = 64;
const MOST_ITEMS: u32 = 1024;

/// A data extent in use, as the extent tree has it.
pub(super) struct InUse {
    /// Where it is.
    pub(super) extent: DataExtent,
    /// Who refers to it.
    pub(super) holders: FileHolders,
}

/// Who refers to an extent.
pub(super) enum FileHolders {
    /// These files of subvolumes have it, and nobody else.
    Files(KVec<FileRef>),
    /// Others have it as well, or too many do: a leaf that snapshots share, a file that no subvolume has.
    Others,
}

impl InUse {
    /// The first extent in use from `from` to `end`. What waits in the queue of references is not seen.
    pub(super) fn first(extents: &Tree, from: Logical, end: Logical) -> Result<Option<Self>> {
        let mut found: Option<Self> = None;
        extents.scan(Key::at_addresses(from..end), |key, bytes| {
            let broken = |flaw: Flaw| flaw.in_item(ObjectId::EXTENT_TREE, &key).report();
            match (key.kind, &mut found) {
                (Kind::EXTENT_ITEM | Kind::METADATA_ITEM, Some(_)) => {
                    return Ok(ControlFlow::Break(()));
                }
                (Kind::EXTENT_ITEM | Kind::METADATA_ITEM, None) => {
                    found = Some(Self::parse(&key, bytes)?);
                }
                (Kind::EXTENT_DATA_REF | Kind::SHARED_DATA_REF, Some(in_use))
                    if key.objectid.get() == in_use.extent.logical.get() =>
                {
                    let reference = keyed_ref(&key, bytes).map_err(broken)?;
                    in_use.holders.add(reference)?;
                }
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    fn parse(key: &Key, bytes: &[u8]) -> Result<Self> {
        let broken = |flaw: Flaw| flaw.in_item(ObjectId::EXTENT_TREE, key).report();
        let item = ExtentItem::parse(key.kind, bytes).map_err(broken)?;
        if !item.flags.contains(ExtentFlags::DATA) {
            let what = "extent in a group of file data is no data";
            return Err(broken(Flaw::new(what, item.flags.get(), 1)));
        }
        let mut holders = FileHolders::Files(KVec::new());
        for reference in item.inline_refs {
            holders.add(reference.map_err(broken)?)?;
        }
        let extent = DataExtent {
            logical: Logical::new(key.objectid.get()),
            len: Bytes::new(key.offset),
        };
        Ok(Self { extent, holders })
    }

    /// How many items refer to it; `None` where they are not known.
    pub(super) fn items(&self) -> Option<u32> {
        match &self.holders {
            FileHolders::Files(files) => Some(count(files)),
            FileHolders::Others => None,
        }
    }

    /// Where it ends.
    pub(super) fn end(&self) -> Logical {
        self.extent.logical.saturating_add(self.extent.len)
    }
}

impl FileHolders {
    fn add(&mut self, reference: InlineRef) -> Result {
        let Self::Files(files) = self else {
            return Ok(());
        };
        match reference {
            InlineRef::Data(file) if file.root.is_subvolume() => {
                files.push(file, GFP_NOFAIL)?;
                if files.len() > MOST_HOLDERS || count(files) > MOST_ITEMS {
                    *self = Self::Others;
                }
            }
            _ => *self = Self::Others,
        }
        Ok(())
    }
}

fn count(files: &[FileRef]) -> u32 {
    files
        .iter()
        .fold(0, |sum, file| sum.saturating_add(file.count))
}

/// A file's reference to an extent.
pub(super) fn reference(file: &FileRef, extent: DataExtent) -> DataRef {
    DataRef {
        addr: extent.logical,
        len: extent.len,
        holder: Holder::Tree(file.root),
        root: file.root,
        inode: file.inode,
        offset: file.offset,
    }
}
