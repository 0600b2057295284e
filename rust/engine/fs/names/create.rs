// SPDX-License-Identifier: GPL-2.0
//! Making inodes, with a name or without.

use super::Names;
use crate::btree::{Allocate, Writer};
use crate::disk::{self, Bytes, FileOffset, InodeFlags, InodeItem, InodeRef, Kind};
use crate::fs::data::extents;
use crate::fs::filesystem::or_abort;
use crate::fs::inode::Xattr;
use crate::fs::inode_operations::xattr;
use crate::fs::items::entries::{self, NewEntry};
use crate::fs::items::orphans;
use crate::fs::{Attributes, Inode, New, NewKind};
use crate::txn::Handle;
use kernel::sync::Arc;
use latch::prelude::*;

impl Names<'_> {
    /// Makes an inode with a name; inode flags are inherited from the directory. `EEXIST`, `EOVERFLOW` when too many
    /// names have this hash, `ENOSPC`, `EROFS`.
    pub fn create(&self, dir: &Inode, name: &[u8], new: &New<'_>) -> Result<Arc<Inode>> {
        entries::check_name(name)?;
        self.check_new(new)?;
        let flags = self.inherited_flags(dir, new);
        let handle = self.fs.start(dir.subvolume(), new.units_with(flags))?;
        self.create_in(&handle, dir, name, new, flags)
    }

    /// Makes an inode with a name and these flags as part of another change; [`Self::create`] tells the errors.
    pub(in crate::fs) fn create_in(
        &self,
        handle: &Handle,
        dir: &Inode,
        name: &[u8],
        new: &New<'_>,
        flags: InodeFlags,
    ) -> Result<Arc<Inode>> {
        self.check_new(new)?;
        let tree = dir.subvolume().tree();
        entries::check_room(tree, dir.number(), name)?;
        let index = dir.take_index()?;
        let inode = self.prepare(handle, dir, new, flags, 1)?;
        let inodes = self.fs.inodes();
        let property = inodes.inherited_property(dir, new.kind, flags)?;
        let entry = NewEntry {
            dir: dir.number(),
            name,
            index,
            target: disk::EntryTarget::Inode(inode.number()),
            file_type: new.file_type()?,
        };
        let made = self
            .insert_inode(handle, &inode, Some(&entry), new, property)
            .and_then(|()| entries::add(tree, handle, &entry))
            .and_then(|()| dir.change_names(handle, |size| entries::grown(size, name), new.now));
        or_abort(handle, made)?;
        Ok(inode)
    }

    /// Makes an inode without a name, to be linked or evicted (`O_TMPFILE`).
    pub fn create_unnamed(&self, dir: &Inode, new: &New<'_>) -> Result<Arc<Inode>> {
        self.check_new(new)?;
        self.fs.inodes().clean_orphans(dir.subvolume())?;
        // Nobody has the directory locked: what it hands down is read once.
        let flags = self.inherited_flags(dir, new);
        let handle = self.fs.start(dir.subvolume(), new.units_with(flags))?;
        let inode = self.prepare(&handle, dir, new, flags, 0)?;
        let inodes = self.fs.inodes();
        let property = inodes.inherited_property(dir, new.kind, flags)?;
        let made = self
            .insert_inode(&handle, &inode, None, new, property)
            .and_then(|()| orphans::add(dir.subvolume().tree(), &handle, inode.number()));
        or_abort(&handle, made)?;
        Ok(inode)
    }

    /// Refuses what cannot be made, before anything is changed.
    fn check_new(&self, new: &New<'_>) -> Result {
        new.file_type()?;
        if let NewKind::Symlink(target) = new.kind {
            let len = Bytes::from(target.len());
            if len.is_zero() {
                return Err(ENOENT);
            }
            if len > self.fs.longest_inline() || len >= self.fs.sector_size() {
                return Err(ENAMETOOLONG);
            }
        }
        let limit = xattr::max_len(self.fs.format().node_size);
        let fits = |(name, value): &(&[u8], &[u8])| name.len().saturating_add(value.len()) <= limit;
        if new.xattrs.iter().all(fits) {
            Ok(())
        } else {
            Err(ENOSPC)
        }
    }

    /// The inode in memory, with a number of its own.
    fn prepare(
        &self,
        txn: &dyn Allocate,
        dir: &Inode,
        new: &New<'_>,
        flags: InodeFlags,
        nlink: u32,
    ) -> Result<Arc<Inode>> {
        let (number, now) = (dir.subvolume().take_inode_number()?, new.now.of_new());
        let mut attributes = Attributes {
            generation: txn.generation(),
            transid: txn.generation(),
            nlink,
            uid: new.uid,
            gid: new.gid,
            mode: new.mode,
            atime: now,
            ctime: now,
            mtime: now,
            otime: now,
            flags,
            ..Attributes::default()
        };
        match new.kind {
            NewKind::Symlink(target) => {
                attributes.size = target.len().into();
                attributes.nbytes = attributes.size;
            }
            NewKind::Device(rdev) => attributes.rdev = rdev,
            _ => {}
        }
        Inode::new(dir.subvolume(), number, attributes)
    }

    /// C: `btrfs_inherit_iflags`, and what the mount options say.
    pub(in crate::fs) fn inherited_flags(&self, dir: &Inode, new: &New<'_>) -> InodeFlags {
        let of_dir = dir.attributes().flags;
        let is_file = matches!(new.kind, NewKind::File);
        let mut flags = InodeFlags::NONE;
        if of_dir.contains(InodeFlags::NOCOMPRESS) {
            flags = flags.with(InodeFlags::NOCOMPRESS);
        } else if of_dir.contains(InodeFlags::COMPRESS) {
            flags = flags.with(InodeFlags::COMPRESS);
        }
        if of_dir.contains(InodeFlags::NODATACOW) {
            flags = flags.with(InodeFlags::NODATACOW);
            if is_file {
                flags = flags.with(InodeFlags::NODATASUM);
            }
        }
        if is_file && !self.fs.makes_checksums() {
            flags = flags.with(InodeFlags::NODATASUM);
        }
        flags
    }

    /// Inserts all items of a new inode: the item, its first name, attributes, a symbolic link's target.
    fn insert_inode(
        &self,
        txn: &dyn Allocate,
        inode: &Inode,
        entry: Option<&NewEntry<'_>>,
        new: &New<'_>,
        property: Option<Xattr<'_>>,
    ) -> Result {
        let tree = inode.subvolume().tree();
        let attributes = inode.attributes();
        let mut writer = Writer::new(tree, txn);
        writer.seek(&inode.key())?;
        attributes.write_to(writer.insert_here(&inode.key(), InodeItem::SIZE)?)?;
        if let Some(entry) = entry {
            let key = inode.key_of(Kind::INODE_REF, entry.dir.get());
            let reference = InodeRef {
                index: entry.index,
                name: entry.name,
            };
            reference.write_to(writer.insert_here(&key, reference.encoded_len())?)?;
        }
        if let NewKind::Symlink(target) = new.kind {
            let key = inode.extent_key(FileOffset::new(0));
            let extent = extents::inline(txn, target)?;
            extent.write_to(writer.insert_here(&key, extent.encoded_len())?)?;
        }
        drop(writer);
        txn.note_inode(tree.id())?;
        for (name, value) in Iterator::chain(new.xattrs.iter().copied(), property) {
            xattr::insert(tree, txn, inode.number(), name, value)?;
        }
        Ok(())
    }
}
