// SPDX-License-Identifier: GPL-2.0

//! POSIX ACLs, which the disk has as extended attributes.
//!
//! C header: `include/linux/posix_acl.h`. What an ACL means is the kernel's matter; here it is only read,
//! written and inherited.

use super::xattr::Xattrs;
use super::{Attributes, Changed};
use crate::linux::bindings as b;
use crate::linux::enospc::with_space;
use crate::linux::inode::LockedInode;
use crate::linux::owner::Owner;
use crate::linux::Inode;
use core::ptr::{addr_of_mut, null_mut, NonNull};
use kernel::error::{from_err_ptr, from_result, to_result};
use kernel::ffi::c_int;
use latch::prelude::*;
use latch::NofsScope;

type CAcl = kernel::bindings::posix_acl;

const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";

/// The attribute's name for `ACL_TYPE_*`.
fn name_of(kind: c_int) -> Result<&'static [u8]> {
    match u32::try_from(kind) {
        Ok(b::ACL_TYPE_ACCESS) => Ok(ACCESS),
        Ok(b::ACL_TYPE_DEFAULT) => Ok(DEFAULT),
        _ => Err(EINVAL),
    }
}

/// A `struct posix_acl`.
///
/// # Invariants
///
/// `inner` is an ACL with a reference of ours.
struct Acl {
    inner: NonNull<b::posix_acl>,
}

impl Acl {
    /// Takes over a reference; `None` for null.
    ///
    /// # Safety
    ///
    /// `at` is null or an ACL with a reference that passes to the value.
    unsafe fn take(at: *mut b::posix_acl) -> Option<Self> {
        // INVARIANT: By the function's contract.
        NonNull::new(at).map(|inner| Self { inner })
    }
}

impl Drop for Acl {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { b::posix_acl_release(self.inner.as_ptr()) };
    }
}

/// The bytes that the disk has for an ACL.
///
/// # Safety
///
/// `acl` is an ACL.
unsafe fn bytes_of(acl: *const b::posix_acl) -> Result<KVec<u8>> {
    let mut len = 0_usize;
    // SAFETY: By the function's contract; it returns memory of `kmalloc`, or null.
    let bytes =
        unsafe { b::posix_acl_to_xattr(addr_of_mut!(b::init_user_ns), acl, &mut len, b::GFP_NOFS) };
    if bytes.is_null() {
        return Err(ENOMEM);
    }
    // SAFETY: It has `len` bytes, all initialised, and a `KVec` frees by `kfree`.
    Ok(unsafe { KVec::from_raw_parts(bytes.cast(), len, len) })
}

/// The attributes that a new inode is born with.
#[derive(Default)]
pub(in crate::linux::vfs) struct Inherited {
    access: Option<KVec<u8>>,
    default: Option<KVec<u8>>,
}

impl Inherited {
    /// What a new inode of `dir` inherits; the mode is limited by the ACL, or by the umask where there is none.
    ///
    /// # Safety
    ///
    /// `dir` is an inode lent by the VFS, locked.
    pub(in crate::linux::vfs) unsafe fn new(dir: *mut b::inode, owner: &mut Owner) -> Result<Self> {
        let mut mode = owner.mode as b::umode_t;
        let (mut default, mut access) = (null_mut(), null_mut());
        // SAFETY: By the function's contract.
        to_result(unsafe { b::posix_acl_create(dir, &mut mode, &mut default, &mut access) })?;
        // SAFETY: Two references were returned, which are ours.
        let (default, access) = unsafe { (Acl::take(default), Acl::take(access)) };
        owner.mode = mode.into();
        let bytes = |acl: Option<Acl>| {
            // SAFETY: Both are ACLs by the type invariant.
            acl.map(|acl| unsafe { bytes_of(acl.inner.as_ptr()) })
                .transpose()
        };
        Ok(Self {
            access: bytes(access)?,
            default: bytes(default)?,
        })
    }

    /// Calls `each` with names and values.
    pub(in crate::linux::vfs) fn with<R>(&self, each: impl FnOnce(&[(&[u8], &[u8])]) -> R) -> R {
        match (&self.access, &self.default) {
            (None, None) => each(&[]),
            (Some(access), None) => each(&[(ACCESS, access)]),
            (None, Some(default)) => each(&[(DEFAULT, default)]),
            (Some(access), Some(default)) => each(&[(ACCESS, access), (DEFAULT, default)]),
        }
    }
}

/// The call `inode_operations.get_inode_acl` of all inodes.
pub(in crate::linux::vfs) unsafe extern "C" fn get<T: Xattrs>(
    inode: *mut b::inode,
    kind: c_int,
    rcu: bool,
) -> *mut CAcl {
    if rcu {
        return ECHILD.to_ptr();
    }
    let _nofs = NofsScope::enter();
    // SAFETY: The VFS lends the inode.
    match read::<T>(unsafe { Inode::borrow(inode) }, kind) {
        Ok(acl) => acl.cast(),
        Err(error) => error.to_ptr(),
    }
}

fn read<T: Xattrs>(inode: &Inode, kind: c_int) -> Result<*mut b::posix_acl> {
    let bytes = match value_of::<T>(inode, name_of(kind)?) {
        Ok(bytes) => bytes,
        Err(error) if error == ENODATA => return Ok(null_mut()),
        Err(error) => return Err(error),
    };
    let user_ns = addr_of_mut!(b::init_user_ns);
    // SAFETY: The bytes are valid for their length; C checks what they say.
    from_err_ptr(unsafe { b::posix_acl_from_xattr(user_ns, bytes.as_ptr().cast(), bytes.len()) })
}

/// The value of an attribute, which others may change between the look at its length and the second one: whoever opens a
/// file meanwhile is not to hear of that.
fn value_of<T: Xattrs>(inode: &Inode, name: &[u8]) -> Result<KVec<u8>> {
    loop {
        let len = T::get(inode, name, &mut [])?;
        let mut bytes = KVec::from_elem(0, len, GFP_KERNEL)?;
        match T::get(inode, name, &mut bytes) {
            Err(error) if error == ERANGE => {}
            len => {
                bytes.truncate(len?);
                return Ok(bytes);
            }
        }
    }
}

/// The call `inode_operations.set_acl` of all inodes.
pub(in crate::linux::vfs) unsafe extern "C" fn set<T: Attributes + Xattrs>(
    idmap: *mut b::mnt_idmap,
    dentry: *mut b::dentry,
    acl: *mut CAcl,
    kind: c_int,
) -> c_int {
    from_result(|| {
        let _nofs = NofsScope::enter();
        // SAFETY: The VFS lends all, the inode locked by it.
        let inode = unsafe { LockedInode::new(Inode::borrow((*dentry).d_inode)) };
        let mut acl: *mut b::posix_acl = acl.cast();
        let mut mode = inode.mode() as b::umode_t;
        if !acl.is_null() && u32::try_from(kind) == Ok(b::ACL_TYPE_ACCESS) {
            // SAFETY: The VFS lends all for the call, the inode locked; `acl` becomes null if the mode says it all.
            to_result(unsafe {
                b::posix_acl_update_mode(idmap, inode.as_ptr(), &mut mode, &mut acl)
            })?;
        }
        let change = || {
            inode.set_mode(mode.into());
            inode.set_changed_now();
            Changed::mode_of(&inode)
        };
        let bytes = match acl.is_null() {
            true => None,
            // SAFETY: Lent by the VFS.
            false => Some(unsafe { bytes_of(acl) }?),
        };
        with_space(&inode, || {
            T::store_acl(&inode, name_of(kind)?, bytes.as_deref(), &change)
        })?;
        // SAFETY: The VFS lends the inode, locked, and the ACL, of which this takes a reference of its own.
        unsafe { b::set_cached_acl(inode.as_ptr(), kind, acl) };
        Ok(0)
    })
}
