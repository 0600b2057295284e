// SPDX-License-Identifier: GPL-2.0
//! An inode's flags, and the property in which it names its compression.

use super::{xattr, Inodes, XattrMode};
use crate::disk::InodeFlags;
use crate::fs::filesystem::or_abort;
use crate::fs::inode::Xattr;
use crate::fs::{Inode, NewKind, Now};
use crate::txn::Units;
use latch::prelude::*;

/// The extended attribute that is the property.
const PROPERTY: &[u8] = b"btrfs.compression";

/// What becomes of the property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyChange {
    /// The property stays.
    Kept,
    /// There is no property.
    Unnamed,
    /// The property names an algorithm: the one that it named, or else C's default, zlib.
    Named,
}

/// The algorithm that a property names. `None` for those that say no, and for what nobody knows.
fn algorithm(value: &[u8]) -> Option<&'static [u8]> {
    let names: [&[u8]; 3] = [b"zlib", b"lzo", b"zstd"];
    // A level may stand behind it.
    names.into_iter().find(|name| value.starts_with(name))
}

/// Whether data that an inode with such flags has may be compressed.
fn can_compress(flags: InodeFlags) -> bool {
    let excluded = InodeFlags::NODATACOW.with(InodeFlags::NODATASUM);
    flags.common(excluded).is_empty()
}

impl Inodes<'_> {
    /// Takes flags away and adds others, in one transaction with the property. `EROFS`, `ENOSPC`.
    pub fn set_flags(
        &self,
        inode: &Inode,
        clear: InodeFlags,
        set: InodeFlags,
        compression: PropertyChange,
        now: impl Now,
    ) -> Result {
        let named = match compression {
            PropertyChange::Named => Some(self.compression(inode)?.unwrap_or(b"zlib")),
            PropertyChange::Kept | PropertyChange::Unnamed => None,
        };
        let units = Units::inserts(1).and(Units::updates(2));
        let handle = self.fs.start(inode.subvolume(), units)?;
        let is_stored = match (compression, named) {
            (_, Some(name)) => {
                xattr::put(&handle, inode, PROPERTY, name, XattrMode::Any)?;
                true
            }
            (PropertyChange::Unnamed, None) => {
                xattr::take(&handle, inode, PROPERTY)? == xattr::Taken::Gone
            }
            (_, None) => false,
        };
        let changed = inode.change(&handle, |attributes| {
            attributes.flags = attributes.flags.without(clear).with(set);
            attributes.touch(now.of(inode));
        });
        match is_stored {
            true => or_abort(&handle, changed),
            false => changed,
        }
    }

    /// Sets a property, or removes it: an extended attribute with an effect. An empty value is none. `EINVAL` for what is no
    /// property, no value of it, or for data that cannot be compressed; of what is neither file nor directory nothing is
    /// kept. `EEXIST`, `ENODATA`, `EROFS`, `ENOSPC`.
    pub fn set_property(
        &self,
        inode: &Inode,
        name: &[u8],
        value: Option<&[u8]>,
        mode: XattrMode,
        now: impl Now,
    ) -> Result {
        let attributes = inode.attributes();
        if name != PROPERTY {
            return Err(EINVAL);
        }
        let value = value.filter(|value| !value.is_empty());
        let says_no = value.is_some_and(|value| value == b"no" || value == b"none");
        if let Some(value) = value {
            if !can_compress(attributes.flags) || !says_no && algorithm(value).is_none() {
                return Err(EINVAL);
            }
        }
        if !attributes.is_regular() && !attributes.is_directory() {
            return Ok(());
        }
        let len = name.len().saturating_add(value.map_or(0, <[u8]>::len));
        if len > xattr::max_len(self.fs.format().node_size) {
            return Err(ENOSPC);
        }
        let handle = self
            .fs
            .start(inode.subvolume(), Units::inserts(1).and(Units::updates(2)))?;
        match value {
            Some(value) => xattr::put(&handle, inode, name, value, mode)?,
            None => match xattr::take(&handle, inode, name)? {
                xattr::Taken::Absent if mode == XattrMode::Replace => return Err(ENODATA),
                xattr::Taken::Absent | xattr::Taken::Gone => {}
            },
        }
        let both = InodeFlags::COMPRESS.with(InodeFlags::NOCOMPRESS);
        let set = match (value, says_no) {
            (None, _) => InodeFlags::NONE,
            (Some(_), true) => InodeFlags::NOCOMPRESS,
            (Some(_), false) => InodeFlags::COMPRESS,
        };
        let changed = inode.change(&handle, |attributes| {
            attributes.flags = attributes.flags.without(both).with(set);
            attributes.touch(now.of(inode));
        });
        or_abort(&handle, changed)
    }

    /// The algorithm that the inode's property names.
    fn compression(&self, inode: &Inode) -> Result<Option<&'static [u8]>> {
        let value = self.get_xattr(inode, PROPERTY)?;
        Ok(value.and_then(|value| algorithm(&value)))
    }

    /// The property that a new inode with `flags` gets from its directory: the attribute's name and value (C:
    /// `btrfs_inode_inherit_props`).
    pub(in crate::fs) fn inherited_property(
        &self,
        dir: &Inode,
        kind: NewKind<'_>,
        flags: InodeFlags,
    ) -> Result<Option<Xattr<'static>>> {
        let is_compressed = flags.contains(InodeFlags::COMPRESS);
        let has_property = matches!(kind, NewKind::File | NewKind::Directory);
        if !is_compressed || !has_property || !can_compress(flags) {
            return Ok(None);
        }
        Ok(self.compression(dir)?.map(|value| (PROPERTY, value)))
    }
}
