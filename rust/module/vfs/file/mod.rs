// SPDX-License-Identifier: GPL-2.0

//! Regular files: sizes and holes. `fiemap` tells which extents they have.

mod fiemap;

use crate::io::data::FileIo;
use crate::linux::file::{Fallocate, Hole};
use crate::linux::inode::LockedInode;
use crate::linux::{file, Inode};
use crate::vfs::changing::Changing;
use crate::vfs::mount::mount_of;
use crate::vfs::{node, Node, Rbtrfs};
use core::ops::Range;
use core::sync::atomic::Ordering;
use engine::disk::{Bytes, FileOffset};
use latch::prelude::*;

/// Sets a file's size. What can be refused is refused before a page is cut.
pub(in crate::vfs) fn resize(inode: LockedInode<'_>, size: Bytes) -> Result {
    let (mount, this) = (mount_of(&inode)?, node(&inode)?);
    let changing = Changing([(&*inode, this)]);
    let old_size = inode.size();
    let space = mount.fs().file_space();
    let truncation = space.ask_truncate(&this.inode, size)?;
    let result = file::resize::<FileIo<Node>>(inode, size, || {
        let result = truncation.run(&changing);
        if result.is_err() && size < old_size {
            // The pages are cut: what can be read is what the trees have left.
            let left = this.inode.attributes().size;
            inode.set_size(left.min(old_size).max(size));
        }
        result
    });
    changing.show();
    if result.is_ok() && size == Bytes::ZERO && old_size > Bytes::ZERO {
        this.was_emptied.store(true, Ordering::Relaxed);
    }
    result
}

impl Fallocate for Rbtrfs {
    fn check_allocate(inode: &Inode) -> Result {
        let (mount, this) = (mount_of(inode)?, node(inode)?);
        mount.fs().file_space().check_preallocate(&this.inode)
    }

    fn allocate(inode: LockedInode<'_>, range: Range<FileOffset>) -> Result {
        let (mount, this) = (mount_of(&inode)?, node(&inode)?);
        let changing = Changing([(&*inode, this)]);
        let start = range.start;
        let len = range.end.saturating_since(start);
        let space = mount.fs().file_space();
        let result = file::allocate::<FileIo<Node>>(inode, range, || {
            space.preallocate(&this.inode, start, len, None, &changing)
        });
        changing.show();
        mount.throttle();
        result
    }

    fn punch(inode: LockedInode<'_>, hole: &Hole) -> Result {
        let (mount, this) = (mount_of(&inode)?, node(&inode)?);
        let changing = Changing([(&*inode, this)]);
        let space = mount.fs().file_space();
        let (whole, changing) = (hole.whole(), &changing);
        let asked = whole.clone().unwrap_or_default();
        let result = file::punch::<FileIo<Node>, _>(inode, hole, &asked, || {
            let granted = whole.map(|whole| space.ask_punch(&this.inode, whole));
            let granted = granted.transpose()?;
            Ok(move || granted.map_or(Ok(()), |granted| granted.run(changing)))
        });
        changing.show();
        mount.throttle();
        result
    }

    fn zero(inode: LockedInode<'_>, hole: &Hole, range: Range<FileOffset>) -> Result {
        match Self::check_allocate(&inode) {
            Err(error) if error == EOPNOTSUPP => return Self::punch(inode, hole),
            checked => checked?,
        }
        let (mount, this) = (mount_of(&inode)?, node(&inode)?);
        let changing = Changing([(&*inode, this)]);
        let whole = hole.whole().unwrap_or(range.start..range.start);
        let (space, changing) = (mount.fs().file_space(), &changing);
        let result = file::punch::<FileIo<Node>, _>(inode, hole, &range.clone(), || {
            let granted = space.ask_zero(&this.inode, whole, range)?;
            Ok(move || granted.run(changing))
        });
        changing.show();
        mount.throttle();
        result
    }

    fn resize(inode: LockedInode<'_>, size: Bytes) -> Result {
        resize(inode, size)
    }
}
