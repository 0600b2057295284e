// SPDX-License-Identifier: GPL-2.0

//! File handles: an inode as a few words that outlive the dentry cache and the mount, for `open_by_handle_at`, NFS,
//! fanotify and overlayfs.
//!
//! C header: `include/linux/exportfs.h`. A handle comes back from whoever got it, or from whoever made it up: all of its
//! words are theirs.

use crate::linux::bindings as b;
use crate::linux::{Inode, SuperBlock};
use core::marker::PhantomData;
use kernel::error::from_result;
use kernel::ffi::{c_char, c_int};
use kernel::sync::aref::ARef;
use latch::prelude::*;
use latch::NofsScope;

/// The longest handle, in words.
const LONGEST: usize = 10;

/// A handle (C: `struct fid`) with its type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileHandle {
    /// What its words mean (C: `enum fid_type`).
    pub(crate) kind: c_int,
    words: [u32; LONGEST],
    len: usize,
}

impl FileHandle {
    /// A handle of these words; what is above [`LONGEST`] of them is left off.
    pub(crate) fn new(kind: c_int, words: impl IntoIterator<Item = u32>) -> Self {
        let mut handle = Self {
            kind,
            words: [0; LONGEST],
            len: 0,
        };
        for (to, word) in handle.words.iter_mut().zip(words) {
            *to = word;
            handle.len = handle.len.saturating_add(1);
        }
        handle
    }

    /// The words that were written.
    pub(crate) fn words(&self) -> &[u32] {
        self.words.get(..self.len).unwrap_or(&[])
    }

    /// The handle that somebody brings.
    ///
    /// # Safety
    ///
    /// `words` has `len` words for the call.
    unsafe fn brought(kind: c_int, words: *const b::fid, len: c_int) -> Self {
        let len = usize::try_from(len).unwrap_or(0).min(LONGEST);
        let words: *const u32 = words.cast();
        // SAFETY: By the function's contract; they are read one by one, wherever they stand.
        let word = |at| unsafe { words.add(at).read_unaligned() };
        Self::new(kind, (0..len).map(word))
    }
}

/// What can be found again by a handle. `ESTALE` where a handle leads to nothing.
pub(crate) trait Export: 'static {
    /// The handle of an inode; with a parent it tells that directory too.
    fn encode(inode: &Inode, parent: Option<&Inode>) -> FileHandle;
    /// The inode of a handle.
    fn find(sb: &SuperBlock, handle: &FileHandle) -> Result<ARef<Inode>>;
    /// The directory that was its parent.
    fn find_parent(sb: &SuperBlock, handle: &FileHandle) -> Result<ARef<Inode>>;
    /// The directory that a directory is in.
    fn parent(dir: &Inode) -> Result<ARef<Inode>>;
    /// A name of `child` in `dir`; neither is locked.
    fn name(dir: &Inode, child: &Inode) -> Result<KVec<u8>>;
    /// Makes durable what was done to an inode and its names. A server of NFS promises that before it replies.
    fn commit(inode: &Inode) -> Result;
}

/// The calls for handles of `T`.
pub(super) struct Table<T>(PhantomData<T>);

impl<T: Export> Table<T> {
    /// What `s_export_op` is set to.
    pub(super) const EXPORT: &'static b::export_operations = &b::export_operations {
        encode_fh: Some(encode_fh::<T>),
        fh_to_dentry: Some(fh_to_dentry::<T>),
        fh_to_parent: Some(fh_to_parent::<T>),
        get_parent: Some(get_parent::<T>),
        get_name: Some(get_name::<T>),
        commit_metadata: Some(commit_metadata::<T>),
        ..pin_init::zeroed()
    };
}

unsafe extern "C" fn encode_fh<T: Export>(
    inode: *mut b::inode,
    words: *mut u32,
    max_len: *mut c_int,
    parent: *mut b::inode,
) -> c_int {
    // SAFETY: The VFS lends an inode of ours and, or null, its parent.
    let (inode, parent) = unsafe {
        let parent = (!parent.is_null()).then(|| Inode::borrow(parent));
        (Inode::borrow(inode), parent)
    };
    let handle = T::encode(inode, parent);
    // SAFETY: The VFS lends the number.
    let room = usize::try_from(unsafe { *max_len }).unwrap_or(0);
    // SAFETY: The VFS lends the number, to be written. A handle is short.
    unsafe { *max_len = handle.len as c_int };
    if room < handle.len {
        return b::fid_type_FILEID_INVALID as c_int;
    }
    for (at, word) in handle.words().iter().enumerate() {
        // SAFETY: The VFS lends `room` words.
        unsafe { words.add(at).write_unaligned(*word) };
    }
    handle.kind
}

/// A dentry of an inode that was found.
fn dentry_of(found: Result<ARef<Inode>>) -> *mut b::dentry {
    match found {
        // SAFETY: The inode's reference is taken over.
        Ok(inode) => unsafe { b::d_obtain_alias(Inode::into_ptr(inode)) },
        Err(error) => error.to_ptr(),
    }
}

/// A dentry of what `find` makes of a handle that somebody brings.
///
/// # Safety
///
/// `sb` is a super block of ours, and `words` has `len` words, for the call.
unsafe fn by_handle(
    sb: *mut b::super_block,
    words: *const b::fid,
    len: c_int,
    kind: c_int,
    find: fn(&SuperBlock, &FileHandle) -> Result<ARef<Inode>>,
) -> *mut b::dentry {
    // SAFETY: By the function's contract.
    let (sb, handle) = unsafe {
        (
            SuperBlock::borrow(sb),
            FileHandle::brought(kind, words, len),
        )
    };
    let _nofs = NofsScope::enter();
    dentry_of(find(sb, &handle))
}

unsafe extern "C" fn fh_to_dentry<T: Export>(
    sb: *mut b::super_block,
    words: *mut b::fid,
    len: c_int,
    kind: c_int,
) -> *mut b::dentry {
    // SAFETY: The VFS lends a super block of ours and `len` words.
    unsafe { by_handle(sb, words, len, kind, T::find) }
}

unsafe extern "C" fn fh_to_parent<T: Export>(
    sb: *mut b::super_block,
    words: *mut b::fid,
    len: c_int,
    kind: c_int,
) -> *mut b::dentry {
    // SAFETY: As for `fh_to_dentry`.
    unsafe { by_handle(sb, words, len, kind, T::find_parent) }
}

unsafe extern "C" fn commit_metadata<T: Export>(inode: *mut b::inode) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends an inode of ours.
        let inode = unsafe { Inode::borrow(inode) };
        let _nofs = NofsScope::enter();
        T::commit(inode).map(|()| 0)
    })
}

unsafe extern "C" fn get_parent<T: Export>(child: *mut b::dentry) -> *mut b::dentry {
    // SAFETY: The VFS lends a directory's dentry, which keeps its inode.
    let dir = unsafe { Inode::borrow((*child).d_inode) };
    let _nofs = NofsScope::enter();
    dentry_of(T::parent(dir))
}

unsafe extern "C" fn get_name<T: Export>(
    dir: *mut b::dentry,
    name: *mut c_char,
    child: *mut b::dentry,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends both, and each keeps its inode.
        let (dir, child) = unsafe {
            (
                Inode::borrow((*dir).d_inode),
                Inode::borrow((*child).d_inode),
            )
        };
        let _nofs = NofsScope::enter();
        let found = T::name(dir, child)?;
        if found.len() > b::NAME_MAX as usize {
            return Err(ENAMETOOLONG);
        }
        let to: *mut u8 = name.cast();
        // SAFETY: The VFS lends room for the longest name and a zero behind it.
        unsafe {
            to.copy_from_nonoverlapping(found.as_ptr(), found.len());
            to.add(found.len()).write(0);
        }
        Ok(0)
    })
}
