// SPDX-License-Identifier: GPL-2.0
//! Making inodes.

use super::{orphans, xattr};
use crate::btree::{Allocate, Writer};
use crate::disk::{self, Bytes, FileOffset, FileType, InodeFlags, InodeItem, InodeRef, Kind};
use crate::fs::data::extents;
use crate::fs::filesystem::or_abort;
use crate::fs::names::entries::{self, NewEntry};
use crate::fs::{Attributes, Inode, Names, Now};
use crate::txn::{Handle, Units};
use kernel::sync::Arc;
use latch::prelude::*;

/// What to make.
#[derive(Clone, Copy, Debug)]
pub enum NewKind<'a> {
    /// An empty regular file.
    File,
    /// An empty directory.
    Directory,
    /// A symbolic link to this target; `ENAMETOOLONG` if it does not fit inline.
    Symlink(&'a [u8]),
    /// A device node, as the mode's type says; the number as stored (C: `rdev` of the inode item).
    Device(u64),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A new inode.
#[derive(Clone, Copy)]
pub struct New<'a> {
    /// What to make.
    pub kind: NewKind<'a>,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// All four times, and the directory's mtime and ctime.
    pub now: &'a dyn Now,
    /// Extended attributes it is born with (ACLs, security labels): full names and values.
    pub xattrs: &'a [Xattr<'a>],
}

/// An extended attribute: its full name and its value.
pub(super) type Xattr<'a> = (&'a [u8], &'a [u8]);

impl New<'_> {
    /// The type that goes into the directory entry. `EINVAL` where the mode says another than the kind.
    fn file_type(&self) -> Result<FileType> {
        let of_mode = FileType::of_mode(self.mode).ok_or(EINVAL)?;
        let fits = match self.kind {
            NewKind::File => of_mode == FileType::Regular,
            NewKind::Directory => of_mode == FileType::Directory,
            NewKind::Symlink(_) => of_mode == FileType::Symlink,
            NewKind::Device(_) => matches!(of_mode, FileType::CharDevice | FileType::BlockDevice),
            NewKind::Fifo => of_mode == FileType::Fifo,
            NewKind::Socket => of_mode == FileType::Socket,
        };
        if fits {
            Ok(of_mode)
        } else {
            Err(EINVAL)
        }
    }

    /// Inode, name by inode, name by hash and index, attributes, target; the directory changes.
    pub(in crate::fs) fn units(&self) -> Units {
        let xattrs = u32::try_from(self.xattrs.len()).unwrap_or(u32::MAX);
        Units::inserts(xattrs.saturating_add(5)).and(Units::updates(1))
    }

    /// What [`Self::units`] has, and the property that an inode with such flags gets from its directory.
    fn units_with(&self, flags: InodeFlags) -> Units {
        match flags.contains(InodeFlags::COMPRESS) {
            true => self.units().and(Units::inserts(1)),
            false => self.units(),
        }
    }
}

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
            target: disk::Target::Inode(inode.number()),
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
