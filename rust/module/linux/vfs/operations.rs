// SPDX-License-Identifier: GPL-2.0

//! The tables of calls that the VFS makes on inodes, by kind of inode.
//!
//! C header: `include/linux/fs.h`. Each trait has the calls of one table with C's arguments, except that
//! the inode stands for the dentry where only the inode matters. A failed call returns its errno.

use super::acl;
use super::attributes::{self, Attributes};
use super::dentry::Dentry;
use super::enospc::with_room;
use super::file;
use super::inode::NewInode;
use super::{Inode, SuperBlock};
use crate::linux::bindings as b;
use crate::linux::iomap::direct::DirectData;
use crate::linux::iomap::Tables;
use core::marker::PhantomData;
use core::ptr::null_mut;
use kernel::error::from_result;
use kernel::ffi::{c_char, c_int, c_uint, c_void};
use kernel::sync::aref::ARef;
use latch::prelude::*;
use latch::NofsScope;

/// The type of an entry in a directory (C: `DT_*`).
pub(crate) type EntryKind = u8;

/// What a new inode gets from its maker and its directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// Type and permissions, with the set-group-id bit of the directory.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
}

/// What kind of inode to make.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NewKind<'a> {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(&'a [u8]),
    /// A device node, pipe or socket by the mode; the device's number as the kernel has it (`dev_t`).
    Special(u32),
}

/// An inode to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewFile<'a> {
    /// What kind.
    pub(crate) kind: NewKind<'a>,
    /// Whose.
    pub(crate) owner: Owner,
    /// Extended attributes that it is born with.
    pub(crate) xattrs: &'a [(&'a [u8], &'a [u8])],
}

/// How rename treats the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RenameKind {
    /// Replaces what is there.
    Replace,
    /// What is there would be an error (`RENAME_NOREPLACE`).
    NoReplace,
    /// Swaps (`RENAME_EXCHANGE`).
    Exchange,
    /// Leaves a whiteout behind (`RENAME_WHITEOUT`).
    Whiteout,
}

/// Directories.
pub(crate) trait Directory: 'static {
    /// Finds a name.
    fn lookup(dir: &Inode, name: &[u8]) -> Result<Option<ARef<Inode>>>;
    /// Shows the entries from the position of `out` up to its end.
    fn iterate(dir: &Inode, out: &mut DirContext<'_>) -> Result;
    /// The position behind all entries that there are now.
    fn end(dir: &Inode) -> Result<u64>;
    /// Makes an inode with a name.
    fn create(dir: &Inode, name: &[u8], new: &NewFile<'_>) -> Result<ARef<Inode>>;
    /// Makes an inode without a name.
    fn create_unnamed(dir: &Inode, new: &NewFile<'_>) -> Result<ARef<Inode>>;
    /// Gives an inode one more name.
    fn link(inode: &Inode, dir: &Inode, name: &[u8]) -> Result;
    /// Removes a name.
    fn unlink(dir: &Inode, name: &[u8], inode: &Inode) -> Result;
    /// Removes an empty directory.
    fn rmdir(dir: &Inode, name: &[u8], inode: &Inode) -> Result;
    /// Renames.
    fn rename(
        from: (&Inode, &Dentry),
        to: (&Inode, &Dentry),
        kind: RenameKind,
        owner: Owner,
    ) -> Result;
}

/// Where readdir puts entries (C: `struct dir_context`).
pub(crate) struct DirContext<'a> {
    inner: &'a mut b::dir_context,
    file: *mut b::file,
}

impl DirContext<'_> {
    /// Where to go on.
    pub(crate) fn position(&self) -> u64 {
        u64::try_from(self.inner.pos).unwrap_or(0)
    }

    /// Where to stop: behind the last entry there was when the file was opened or last sought in. Whoever renames what
    /// it reads would otherwise meet it again for ever.
    pub(crate) fn end(&self) -> u64 {
        // SAFETY: The VFS lent the file, an open directory.
        let end = unsafe { (*self.file).private_data } as u64;
        end.min(i64::MAX as u64)
    }

    /// Sets where the next call goes on.
    pub(crate) fn set_position(&mut self, position: u64) {
        self.inner.pos = i64::try_from(position).unwrap_or(i64::MAX);
    }

    /// Shows "." and ".."; `false` if there was no room.
    pub(crate) fn emit_dots(&mut self) -> bool {
        // SAFETY: The VFS lent both.
        unsafe { b::dir_emit_dots(self.file, self.inner) }
    }

    /// Shows an entry; `false` if there was no room.
    pub(crate) fn emit(&mut self, name: &[u8], ino: u64, kind: EntryKind) -> bool {
        let Ok(len) = c_int::try_from(name.len()) else {
            return false;
        };
        // SAFETY: The VFS lent the context; the name is valid for its length.
        unsafe { b::dir_emit(self.inner, name.as_ptr().cast(), len, ino, kind.into()) }
    }
}

struct Table<T>(PhantomData<T>);

impl<T: Directory + Attributes> Table<T> {
    const DIRECTORY: b::inode_operations = b::inode_operations {
        lookup: Some(lookup::<T>),
        create: Some(create::<T>),
        link: Some(link::<T>),
        unlink: Some(unlink::<T>),
        symlink: Some(symlink::<T>),
        mkdir: Some(mkdir::<T>),
        rmdir: Some(rmdir::<T>),
        mknod: Some(mknod::<T>),
        rename: Some(rename::<T>),
        tmpfile: Some(tmpfile::<T>),
        ..Self::COMMON
    };
    const DIRECTORY_FILE: b::file_operations = b::file_operations {
        iterate_shared: Some(iterate_shared::<T>),
        open: Some(open_directory::<T>),
        llseek: Some(seek_directory::<T>),
        read: Some(b::generic_read_dir),
        fsync: Some(file::fsync::<T>),
        ..pin_init::zeroed()
    };
}

impl<T: Attributes> Table<T> {
    const COMMON: b::inode_operations = b::inode_operations {
        getattr: Some(attributes::getattr::<T>),
        setattr: Some(attributes::setattr::<T>),
        listxattr: Some(attributes::listxattr::<T>),
        update_time: Some(attributes::update_time::<T>),
        get_inode_acl: Some(acl::get::<T>),
        set_acl: Some(acl::set::<T>),
        permission: Some(attributes::permission::<T>),
        ..pin_init::zeroed()
    };
    const SYMLINK: b::inode_operations = b::inode_operations {
        get_link: Some(attributes::get_link::<T>),
        get_inode_acl: None,
        set_acl: None,
        ..Self::COMMON
    };
}

/// The calls on open files of `T` with data by `D`.
struct Regular<T, D>(PhantomData<(T, D)>);

impl<T: Attributes, D: DirectData> Regular<T, D> {
    const FILE: b::file_operations = b::file_operations {
        fsync: Some(file::fsync::<T>),
        ..file::Table::<D>::FILE
    };
}

impl NewInode {
    /// Makes it a directory.
    pub(crate) fn set_directory<T: Directory + Attributes>(&mut self) {
        self.set_operations(
            &Table::<T>::DIRECTORY,
            Some(&Table::<T>::DIRECTORY_FILE),
            None,
        );
    }

    /// Makes it a regular file.
    pub(crate) fn set_regular<T: Attributes, D: DirectData>(&mut self) {
        self.set_operations(
            &Table::<T>::COMMON,
            Some(&Regular::<T, D>::FILE),
            Some(Tables::<D>::ADDRESS_SPACE),
        );
        // Pages hold still while they are written: they are checksummed. `invalidate_folio`, which gives up the space of
        // what is cut, is called for folios of one block too, to which iomap attaches nothing.
        // SAFETY: Nobody else has the inode.
        unsafe {
            let mapping = (*self.as_ptr()).i_mapping;
            b::mapping_set_large_folios(mapping);
            b::mapping_set_release_always(mapping);
            b::mapping_set_stable_writes(mapping);
        }
    }

    /// Makes it a symbolic link.
    pub(crate) fn set_symlink<T: Attributes>(&mut self) {
        self.set_operations(&Table::<T>::SYMLINK, None, None);
        // SAFETY: Nobody else has the inode.
        unsafe { b::inode_nohighmem(self.as_ptr()) };
    }

    /// Makes it a device node, pipe or socket.
    pub(crate) fn set_special<T: Attributes>(&mut self, mode: u32, rdev: u32) {
        self.init_special(mode, rdev);
        self.set_operations(&Table::<T>::COMMON, None, None);
    }
}

unsafe extern "C" fn lookup<T: Directory>(
    dir: *mut b::inode,
    dentry: *mut b::dentry,
    _flags: c_uint,
) -> *mut b::dentry {
    // SAFETY: The VFS lends both, the directory locked.
    let (dir, entry) = unsafe { (Inode::borrow(dir), Dentry::borrow(dentry)) };
    if entry.name().len() > 255 {
        return ENAMETOOLONG.to_ptr();
    }
    let _nofs = NofsScope::enter();
    match T::lookup(dir, entry.name()) {
        Ok(found) => {
            let inode = found.map_or(null_mut(), Inode::into_ptr);
            // SAFETY: The inode's reference is taken over.
            unsafe { b::d_splice_alias(inode, dentry) }
        }
        Err(error) => error.to_ptr(),
    }
}

/// Keeps [`Directory::end`] in the open file, in the word itself.
///
/// # Safety
///
/// `file` is an open directory of `T`, lent by the VFS.
unsafe fn note_end<T: Directory>(file: *mut b::file) -> Result {
    let _nofs = NofsScope::enter();
    // SAFETY: By the function's contract.
    unsafe {
        let end = T::end(Inode::borrow(b::file_inode(file)))?;
        (*file).private_data = end as *mut c_void;
    }
    Ok(())
}

unsafe extern "C" fn open_directory<T: Directory>(
    _inode: *mut b::inode,
    file: *mut b::file,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends the file.
        unsafe {
            SuperBlock::borrow((*b::file_inode(file)).i_sb).remind_of_failure();
            note_end::<T>(file)
        }
        .map(|()| 0)
    })
}

unsafe extern "C" fn seek_directory<T: Directory>(
    file: *mut b::file,
    offset: i64,
    whence: c_int,
) -> i64 {
    // SAFETY: The VFS lends the file, its position locked.
    match unsafe { note_end::<T>(file) } {
        // SAFETY: As above.
        Ok(()) => unsafe { b::generic_file_llseek(file, offset, whence) },
        Err(error) => error.to_errno().into(),
    }
}

unsafe extern "C" fn iterate_shared<T: Directory>(
    file: *mut b::file,
    context: *mut b::dir_context,
) -> c_int {
    // SAFETY: The VFS lends both, the directory locked for reading.
    let (dir, inner) = unsafe { (Inode::borrow(b::file_inode(file)), &mut *context) };
    from_result(|| {
        let _nofs = NofsScope::enter();
        let mut out = DirContext { inner, file };
        if out.emit_dots() {
            T::iterate(dir, &mut out)?;
        }
        Ok(0)
    })
}

/// Makes an inode under `dentry`.
///
/// # Safety
///
/// `dir` and `dentry` are lent by the VFS, the directory locked; `idmap` is the mount's.
unsafe fn make<T: Directory>(
    idmap: *mut b::mnt_idmap,
    dir: *mut b::inode,
    dentry: *mut b::dentry,
    mode: u32,
    kind: NewKind<'_>,
) -> Result {
    // SAFETY: By the function's contract.
    let (this, entry) = unsafe { (Inode::borrow(dir), Dentry::borrow(dentry)) };
    if entry.name().len() > 255 {
        return Err(ENAMETOOLONG);
    }
    // SAFETY: By the function's contract.
    let mut owner = unsafe { new_owner(idmap, dir, mode) };
    let _nofs = NofsScope::enter();
    // SAFETY: By the function's contract.
    let acls = unsafe { acl::Inherited::new(dir, &mut owner) }?;
    let inode = with_room(this, || {
        acls.with(|xattrs| {
            T::create(
                this,
                entry.name(),
                &NewFile {
                    kind,
                    owner,
                    xattrs,
                },
            )
        })
    })?;
    entry.instantiate(inode);
    Ok(())
}

/// Who owns a new inode.
///
/// # Safety
///
/// `dir` is an inode lent by the VFS, `idmap` its mount's.
unsafe fn new_owner(idmap: *mut b::mnt_idmap, dir: *mut b::inode, mode: u32) -> Owner {
    let mut owner = Owner {
        mode,
        uid: 0,
        gid: 0,
    };
    // SAFETY: By the function's contract; three numbers are written.
    unsafe { b::rbtrfs_new_owner(idmap, dir, &mut owner.mode, &mut owner.uid, &mut owner.gid) };
    owner
}

unsafe extern "C" fn create<T: Directory>(
    idmap: *mut b::mnt_idmap,
    dir: *mut b::inode,
    dentry: *mut b::dentry,
    mode: b::umode_t,
    // Up to 7.2: that the name is new, which the VFS has seen to.
    #[cfg(CREATE_HAS_EXCL)] _excl: bool,
) -> c_int {
    // SAFETY: The VFS lends all.
    from_result(|| unsafe { make::<T>(idmap, dir, dentry, mode.into(), NewKind::File) }.map(|()| 0))
}

unsafe extern "C" fn mkdir<T: Directory>(
    idmap: *mut b::mnt_idmap,
    dir: *mut b::inode,
    dentry: *mut b::dentry,
    mode: b::umode_t,
) -> *mut b::dentry {
    let mode = u32::from(mode) | b::S_IFDIR;
    // SAFETY: The VFS lends all.
    match unsafe { make::<T>(idmap, dir, dentry, mode, NewKind::Directory) } {
        Ok(()) => null_mut(),
        Err(error) => error.to_ptr(),
    }
}

unsafe extern "C" fn mknod<T: Directory>(
    idmap: *mut b::mnt_idmap,
    dir: *mut b::inode,
    dentry: *mut b::dentry,
    mode: b::umode_t,
    rdev: b::dev_t,
) -> c_int {
    let mode = u32::from(mode);
    let kind = match mode & b::S_IFMT {
        b::S_IFREG => NewKind::File,
        _ => NewKind::Special(rdev),
    };
    // SAFETY: The VFS lends all.
    from_result(|| unsafe { make::<T>(idmap, dir, dentry, mode, kind) }.map(|()| 0))
}

unsafe extern "C" fn symlink<T: Directory>(
    idmap: *mut b::mnt_idmap,
    dir: *mut b::inode,
    dentry: *mut b::dentry,
    target: *const c_char,
) -> c_int {
    // SAFETY: The VFS lends a string.
    let target = unsafe { CStr::from_char_ptr(target) }.to_bytes();
    let mode = b::S_IFLNK | 0o777;
    let kind = NewKind::Symlink(target);
    // SAFETY: The VFS lends all.
    let made = unsafe { make::<T>(idmap, dir, dentry, mode, kind) };
    from_result(|| made.map(|()| 0))
}

unsafe extern "C" fn tmpfile<T: Directory>(
    idmap: *mut b::mnt_idmap,
    dir: *mut b::inode,
    file: *mut b::file,
    mode: b::umode_t,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends all.
        let (this, mut owner) = unsafe { (Inode::borrow(dir), new_owner(idmap, dir, mode.into())) };
        let nofs = NofsScope::enter();
        // SAFETY: As above.
        let acls = unsafe { acl::Inherited::new(dir, &mut owner) }?;
        let kind = NewKind::File;
        let inode = with_room(this, || {
            acls.with(|xattrs| {
                T::create_unnamed(
                    this,
                    &NewFile {
                        kind,
                        owner,
                        xattrs,
                    },
                )
            })
        })?;
        drop(nofs);
        // SAFETY: The file is being opened; the inode's reference is taken over. `d_tmpfile` drops a link,
        // which the inode on disk does not have.
        unsafe {
            let inode = Inode::into_ptr(inode);
            b::set_nlink(inode, 1);
            b::d_tmpfile(file, inode);
            Ok(b::finish_open_simple(file, 0))
        }
    })
}

unsafe extern "C" fn link<T: Directory>(
    old: *mut b::dentry,
    dir: *mut b::inode,
    new: *mut b::dentry,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends all, directory and inode locked.
        let (inode, dir, new) = unsafe {
            (
                Inode::borrow((*old).d_inode),
                Inode::borrow(dir),
                Dentry::borrow(new),
            )
        };
        let _nofs = NofsScope::enter();
        with_room(dir, || T::link(inode, dir, new.name()))?;
        new.instantiate(inode.into());
        Ok(0)
    })
}

unsafe extern "C" fn unlink<T: Directory>(dir: *mut b::inode, dentry: *mut b::dentry) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends both, directory and inode locked.
        let (dir, entry) = unsafe { (Inode::borrow(dir), Dentry::borrow(dentry)) };
        let _nofs = NofsScope::enter();
        T::unlink(dir, entry.name(), entry.inode().ok_or(ENOENT)?).map(|()| 0)
    })
}

unsafe extern "C" fn rmdir<T: Directory>(dir: *mut b::inode, dentry: *mut b::dentry) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends both, directory and inode locked.
        let (dir, entry) = unsafe { (Inode::borrow(dir), Dentry::borrow(dentry)) };
        let _nofs = NofsScope::enter();
        T::rmdir(dir, entry.name(), entry.inode().ok_or(ENOENT)?).map(|()| 0)
    })
}

unsafe extern "C" fn rename<T: Directory>(
    idmap: *mut b::mnt_idmap,
    from_dir: *mut b::inode,
    from: *mut b::dentry,
    to_dir: *mut b::inode,
    to: *mut b::dentry,
    flags: c_uint,
) -> c_int {
    from_result(|| {
        let kind = match flags {
            0 => RenameKind::Replace,
            b::RENAME_NOREPLACE => RenameKind::NoReplace,
            b::RENAME_EXCHANGE => RenameKind::Exchange,
            b::RENAME_WHITEOUT => RenameKind::Whiteout,
            _ => return Err(EINVAL),
        };
        let _nofs = NofsScope::enter();
        // SAFETY: The VFS lends all, directories and inodes locked.
        let (from, to, owner) = unsafe {
            (
                (Inode::borrow(from_dir), Dentry::borrow(from)),
                (Inode::borrow(to_dir), Dentry::borrow(to)),
                new_owner(idmap, from_dir, b::S_IFCHR),
            )
        };
        with_room(from.0, || T::rename(from, to, kind, owner)).map(|()| 0)
    })
}
