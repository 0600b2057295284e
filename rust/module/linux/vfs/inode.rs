// SPDX-License-Identifier: GPL-2.0

//! Inodes of the VFS.
//!
//! C header: `include/linux/fs.h`

use super::{private, SuperBlock};
use crate::linux::bindings as b;
use core::ptr::{addr_of_mut, NonNull};
use kernel::ffi::{c_int, c_long, c_void};
use kernel::sync::aref::{ARef, AlwaysRefCounted};
use kernel::types::Opaque;
use latch::prelude::*;

/// A `struct inode` of this driver's super blocks.
///
/// # Invariants
///
/// `inner` is an inode whose reference count is not zero while a `&Inode` to it lives; its `i_private` is
/// null or a [`Slot`] in a box of [`private::put`].
#[repr(transparent)]
pub(crate) struct Inode {
    inner: Opaque<b::inode>,
}

// SAFETY: An inode may be used and released from any thread.
unsafe impl Send for Inode {}
// SAFETY: The methods synchronise by the inode's own locks.
unsafe impl Sync for Inode {}

// SAFETY: `i_count` keeps the inode alive.
unsafe impl AlwaysRefCounted for Inode {
    fn inc_ref(&self) {
        // SAFETY: The count is not zero by the type invariant.
        unsafe { b::ihold(self.as_ptr()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller owns a reference and gives it up.
        unsafe { b::iput(obj.as_ptr().cast()) };
    }
}

/// What an inode is found by: the subvolume's id and the number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InodeKey {
    /// The subvolume.
    pub(crate) subvolume: u64,
    /// The inode's number there.
    pub(crate) number: u64,
}

impl InodeKey {
    fn hash(self) -> u64 {
        self.number ^ self.subvolume.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// What hangs on `i_private`.
///
/// # Invariants
///
/// `payload` is written by the [`NewInode`] alone and never after it was published.
struct Slot {
    key: InodeKey,
    payload: core::cell::UnsafeCell<Option<NonNull<c_void>>>,
}

// SAFETY: The payload is `Send` (see `NewInode::set_payload`).
unsafe impl Send for Slot {}
// SAFETY: The payload is `Sync` and is written before the inode is shared, by the type invariant.
unsafe impl Sync for Slot {}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(payload) = self.payload.get_mut().take() {
            // SAFETY: It is from `private::put`, and this is the last use.
            unsafe { private::drop_private(payload.as_ptr()) };
        }
    }
}

/// `S_*`: what the VFS is to mind with an inode.
pub(crate) mod flags {
    use super::b;
    /// Every change is synchronous.
    pub(crate) const SYNC: u32 = b::S_SYNC;
    /// Cannot be changed.
    pub(crate) const IMMUTABLE: u32 = b::S_IMMUTABLE;
    /// Only appended to.
    pub(crate) const APPEND: u32 = b::S_APPEND;
    /// Reading leaves the time of access alone.
    pub(crate) const NOATIME: u32 = b::S_NOATIME;
    /// Changes of the directory are synchronous.
    pub(crate) const DIRSYNC: u32 = b::S_DIRSYNC;
    pub(super) const ALL: u32 = SYNC | IMMUTABLE | APPEND | NOATIME | DIRSYNC;
}

/// A moment, as the VFS keeps them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timespec {
    /// Seconds since 1970.
    pub(crate) sec: i64,
    /// Nanoseconds below a second.
    pub(crate) nsec: u32,
}

/// Attributes that are copied into the VFS inode as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mirror {
    /// Type and permissions.
    pub(crate) mode: u32,
    /// Owner, as stored on disk.
    pub(crate) uid: u32,
    /// Group, as stored on disk.
    pub(crate) gid: u32,
    /// Names.
    pub(crate) nlink: u32,
    /// Bytes of data.
    pub(crate) nbytes: u64,
    /// Generation, for NFS handles.
    pub(crate) generation: u32,
    /// Change counter.
    pub(crate) version: u64,
    /// `S_*` flags.
    pub(crate) flags: u32,
    /// Last access.
    pub(crate) atime: Timespec,
    /// Last change of contents.
    pub(crate) mtime: Timespec,
    /// Last change of attributes.
    pub(crate) ctime: Timespec,
}

impl Inode {
    /// An inode that C lends.
    ///
    /// # Safety
    ///
    /// `at` is an inode of this driver, alive for `'a`.
    pub(in crate::linux) unsafe fn borrow<'a>(at: *mut b::inode) -> &'a Self {
        // SAFETY: By the function's contract; the type is transparent.
        unsafe { &*at.cast() }
    }

    /// The C object.
    pub(in crate::linux) fn as_ptr(&self) -> *mut b::inode {
        self.inner.get()
    }

    /// The reference as C takes it over.
    pub(super) fn into_ptr(this: ARef<Self>) -> *mut b::inode {
        ARef::into_raw(this).as_ptr().cast()
    }

    fn slot(&self) -> Option<&Slot> {
        // SAFETY: `i_private` is as the type invariant says, and is freed only with the inode.
        unsafe { private::get((*self.as_ptr()).i_private) }
    }

    /// What this driver keeps for the inode, if it is a `T`.
    pub(crate) fn payload<T: Send + Sync + 'static>(&self) -> Option<&T> {
        // SAFETY: An inode that is shared has its payload for good: the invariant of `Slot`.
        let payload = unsafe { *self.slot()?.payload.get() }?;
        // SAFETY: It is from `private::put` and freed only with the inode.
        unsafe { private::get(payload.as_ptr()) }
    }

    /// Its super block.
    pub(crate) fn super_block(&self) -> &SuperBlock {
        // SAFETY: An inode's super block outlives it.
        unsafe { SuperBlock::borrow((*self.as_ptr()).i_sb) }
    }

    /// What it is found by; `None` for an inode that is found by no key.
    pub(crate) fn key(&self) -> Option<InodeKey> {
        self.slot().map(|slot| slot.key)
    }

    /// Tells it from others that had its number before.
    pub(crate) fn generation(&self) -> u32 {
        // SAFETY: The inode is alive.
        unsafe { (*self.as_ptr()).i_generation }
    }

    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        // SAFETY: The inode is alive; the number never changes.
        unsafe { (*self.as_ptr()).i_ino }
    }

    /// Type and permissions.
    pub(crate) fn mode(&self) -> u32 {
        // SAFETY: The inode is alive.
        u32::from(unsafe { (*self.as_ptr()).i_mode })
    }

    /// Owner and group, as stored on disk.
    pub(crate) fn owner(&self) -> (u32, u32) {
        // SAFETY: The inode is alive.
        unsafe { (b::i_uid_read(self.as_ptr()), b::i_gid_read(self.as_ptr())) }
    }

    /// Whether pages of it could not be written since it is in memory.
    pub(crate) fn has_lost_writes(&self) -> bool {
        // SAFETY: The inode is alive, and so is its mapping.
        unsafe { b::errseq_check(addr_of_mut!((*(*self.as_ptr()).i_mapping).wb_err), 0) != 0 }
    }

    /// Number of names.
    pub(crate) fn nlink(&self) -> u32 {
        // SAFETY: The inode is alive; all members of the union are the same number.
        unsafe { (*self.as_ptr()).__bindgen_anon_1.i_nlink }
    }

    /// Sets type and permissions in memory; the caller holds the inode's lock.
    pub(super) fn set_mode(&self, mode: u32) {
        // SAFETY: The inode is alive; the mode is read without locks everywhere.
        unsafe { (*self.as_ptr()).i_mode = mode as b::umode_t };
    }

    /// Bytes in the file.
    pub(crate) fn size(&self) -> i64 {
        // SAFETY: The inode is alive.
        unsafe { b::i_size_read(self.as_ptr()) }
    }

    /// Sets the number of bytes in the file. The caller holds the inode's lock or has it alone.
    pub(crate) fn set_size(&self, size: i64) {
        // SAFETY: The inode is alive.
        unsafe { b::i_size_write(self.as_ptr(), size) };
    }

    /// The moment that file times are set to.
    pub(crate) fn now(&self) -> Timespec {
        // SAFETY: The inode is alive.
        let now = unsafe { b::current_time(self.as_ptr()) };
        Timespec {
            sec: now.tv_sec,
            nsec: u32::try_from(now.tv_nsec).unwrap_or(0),
        }
    }

    /// Whether changes of its names are synchronous, by the inode or by the mount.
    pub(super) fn is_dirsync(&self) -> bool {
        // SAFETY: The inode is alive, and so is its super block.
        let (of_inode, of_super) = unsafe {
            let inode = self.as_ptr();
            ((*inode).i_flags, (*(*inode).i_sb).s_flags)
        };
        of_inode & (b::S_SYNC | b::S_DIRSYNC) != 0
            || of_super as u32 & (b::SB_SYNCHRONOUS | b::SB_DIRSYNC) != 0
    }

    /// Copies attributes into the VFS inode; size and payload are left alone.
    pub(crate) fn mirror(&self, from: &Mirror) {
        let inode = self.as_ptr();
        // SAFETY: The inode is alive; the fields are read without locks everywhere.
        unsafe {
            (*inode).i_mode = from.mode as b::umode_t;
            b::i_uid_write(inode, from.uid);
            b::i_gid_write(inode, from.gid);
            if self.nlink() != from.nlink {
                b::set_nlink(inode, from.nlink);
            }
            (*inode).i_generation = from.generation;
            b::inode_set_iversion_queried(inode, from.version);
            b::inode_set_flags(inode, from.flags, flags::ALL);
            b::inode_set_atime(inode, from.atime.sec, nanoseconds(from.atime));
            b::inode_set_mtime(inode, from.mtime.sec, nanoseconds(from.mtime));
            b::inode_set_ctime(inode, from.ctime.sec, nanoseconds(from.ctime));
            b::inode_set_bytes(inode, i64::try_from(from.nbytes).unwrap_or(i64::MAX));
        }
    }

    /// The times as the VFS has them: last access, change of contents, change of attributes.
    pub(crate) fn times(&self) -> [Timespec; 3] {
        let inode = self.as_ptr();
        // SAFETY: The inode is alive.
        unsafe {
            [
                Timespec {
                    sec: (*inode).i_atime_sec,
                    nsec: (*inode).i_atime_nsec,
                },
                Timespec {
                    sec: (*inode).i_mtime_sec,
                    nsec: (*inode).i_mtime_nsec,
                },
                Timespec {
                    sec: (*inode).i_ctime_sec,
                    nsec: (*inode).i_ctime_nsec & !b::I_CTIME_QUERIED,
                },
            ]
        }
    }

    /// Compares the pages of a file with its reservations, if the module was loaded so.
    pub(crate) fn audit<T: crate::linux::iomap::FileData>(&self) {
        // SAFETY: The inode is alive; a reference to it is not lent with a folio's lock held.
        unsafe { crate::linux::iomap::audit::audit::<T>(self.as_ptr()) };
    }

    /// Drops all pages of an inode that leaves memory, after waiting for those under IO.
    pub(super) fn truncate_final(&self) {
        // SAFETY: Called from `evict_inode`, where nobody else has the inode.
        unsafe { b::truncate_inode_pages_final(addr_of_mut!((*self.as_ptr()).i_data)) };
    }

    /// The last step of an inode that leaves memory.
    pub(super) fn clear(&self) {
        // SAFETY: Called from `evict_inode`, where nobody else has the inode.
        unsafe { b::clear_inode(self.as_ptr()) };
    }
}

fn nanoseconds(time: Timespec) -> c_long {
    c_long::try_from(time.nsec).unwrap_or(0)
}

struct Search {
    key: InodeKey,
    slot: Option<NonNull<c_void>>,
}

unsafe extern "C" fn matches(inode: *mut b::inode, search: *mut c_void) -> c_int {
    // SAFETY: `lookup` and `get` pass a `Search`; the inode is in the hash and not freed.
    let (slot, search) = unsafe {
        (
            private::get::<Slot>((*inode).i_private),
            &*search.cast::<Search>(),
        )
    };
    slot.is_some_and(|slot| slot.key == search.key).into()
}

unsafe extern "C" fn adopt(inode: *mut b::inode, search: *mut c_void) -> c_int {
    // SAFETY: `get` passes a `Search`; nobody else has the inode yet.
    unsafe {
        let search = &mut *search.cast::<Search>();
        let Some(slot) = search.slot.take() else {
            return ENOMEM.to_errno();
        };
        (*inode).i_ino = search.key.number;
        (*inode).i_private = slot.as_ptr();
    }
    0
}

/// What [`SuperBlock::inode`] finds.
pub(crate) enum Found {
    /// The inode in use.
    Cached(ARef<Inode>),
    /// None: fill this one in.
    New(NewInode),
}

impl SuperBlock {
    /// The inode with this key, if it is in memory.
    pub(crate) fn cached_inode(&self, key: InodeKey) -> Option<ARef<Inode>> {
        let mut search = Search { key, slot: None };
        let search = core::ptr::from_mut(&mut search).cast();
        // SAFETY: The super block is alive; `matches` takes the `Search`.
        let inode = unsafe { b::ilookup5(self.as_ptr(), key.hash(), Some(matches), search) };
        // SAFETY: `ilookup5` waited until the inode was published and gives a reference.
        NonNull::new(inode).map(|inode| unsafe { ARef::from_raw(inode.cast()) })
    }

    /// The inode with this key, from memory or new.
    pub(crate) fn inode(&self, key: InodeKey) -> Result<Found> {
        if let Some(inode) = self.cached_inode(key) {
            return Ok(Found::Cached(inode));
        }
        let mut search = Search {
            key,
            slot: Some(new_slot(key)?),
        };
        let at = core::ptr::from_mut(&mut search).cast();
        // SAFETY: The super block is alive; the callbacks take the `Search`.
        let inode =
            unsafe { b::iget5_locked(self.as_ptr(), key.hash(), Some(matches), Some(adopt), at) };
        if let Some(unused) = search.slot.take() {
            // SAFETY: From `private::put`, taken by nobody.
            unsafe { private::drop_private(unused.as_ptr()) };
        }
        let inode = NonNull::new(inode).ok_or(ENOMEM)?;
        // SAFETY: `iget5_locked` gives a reference.
        let owned = unsafe { ARef::<Inode>::from_raw(inode.cast()) };
        // SAFETY: The inode is alive.
        if unsafe { b::inode_state_read_once(inode.as_ptr()) } & b::inode_state_flags_enum_I_NEW
            == 0
        {
            return Ok(Found::Cached(owned));
        }
        // INVARIANT: I_NEW is ours: `iget5_locked` made the inode.
        Ok(Found::New(NewInode { inode: owned }))
    }

    /// A new inode for an empty directory that cannot be changed. It is found by no key.
    pub(crate) fn empty_directory(&self, number: u64) -> Result<ARef<Inode>> {
        // SAFETY: The super block is alive.
        let inode = NonNull::new(unsafe { b::new_inode(self.as_ptr()) }).ok_or(ENOMEM)?;
        // SAFETY: Nobody else has the inode; the tables are static.
        unsafe {
            let inode = inode.as_ptr();
            (*inode).i_ino = number;
            (*inode).i_mode = (b::S_IFDIR | 0o755) as b::umode_t;
            (*inode).i_op = &b::simple_dir_inode_operations;
            (*inode).__bindgen_anon_3.i_fop = &b::simple_dir_operations;
            b::simple_inode_init_ts(inode);
        }
        // SAFETY: The reference is ours.
        Ok(unsafe { ARef::from_raw(inode.cast()) })
    }

    /// A new inode with this key, which no one has yet. `EBUSY` if one is in memory.
    pub(crate) fn new_inode(&self, key: InodeKey) -> Result<NewInode> {
        match self.inode(key)? {
            Found::New(inode) => Ok(inode),
            Found::Cached(_) => Err(EBUSY),
        }
    }
}

fn new_slot(key: InodeKey) -> Result<NonNull<c_void>> {
    private::put(Slot {
        key,
        payload: core::cell::UnsafeCell::new(None),
    })
}

/// An inode in the hash that nobody else can use yet. Dropping it makes it go away again.
///
/// # Invariants
///
/// `inode` has `I_NEW` set by `iget5_locked` for us.
pub(crate) struct NewInode {
    inode: ARef<Inode>,
}

impl core::ops::Deref for NewInode {
    type Target = Inode;

    fn deref(&self) -> &Inode {
        &self.inode
    }
}

impl NewInode {
    /// Gives the inode what this driver keeps for it.
    pub(crate) fn set_payload<T: Send + Sync + 'static>(&mut self, value: T) -> Result {
        let slot = self.inode.slot().ok_or(EINVAL)?;
        let value = private::put(value)?;
        // SAFETY: Nobody else has the inode. INVARIANT: It is not published.
        if let Some(old) = unsafe { (*slot.payload.get()).replace(value) } {
            // SAFETY: From `private::put`, not used again.
            unsafe { private::drop_private(old.as_ptr()) };
        }
        Ok(())
    }

    /// Sets the operations of a device node, pipe or socket.
    pub(crate) fn init_special(&mut self, mode: u32, rdev: u32) {
        // SAFETY: Nobody else has the inode.
        unsafe { b::init_special_inode(self.as_ptr(), mode as b::umode_t, rdev) };
    }

    /// Sets the operations.
    pub(super) fn set_operations(
        &mut self,
        inode: &'static b::inode_operations,
        file: Option<&'static b::file_operations>,
        mapping: Option<&'static b::address_space_operations>,
    ) {
        let this = self.as_ptr();
        // SAFETY: Nobody else has the inode; the tables are static.
        unsafe {
            (*this).i_op = inode;
            if let Some(file) = file {
                (*this).__bindgen_anon_3.i_fop = file;
            }
            if let Some(mapping) = mapping {
                (*(*this).i_mapping).a_ops = mapping;
            }
        }
    }

    /// Lets everybody see the inode.
    pub(crate) fn publish(self) -> ARef<Inode> {
        let inode = self.inode.clone();
        core::mem::forget(self);
        // The reference of `self` went with it: `clone` took another, give one back.
        // SAFETY: I_NEW is ours by the type invariant.
        unsafe { b::unlock_new_inode(inode.as_ptr()) };
        // SAFETY: One of the two references held here.
        unsafe { b::iput(inode.as_ptr()) };
        inode
    }
}

impl Drop for NewInode {
    fn drop(&mut self) {
        // SAFETY: I_NEW is ours. It drops a reference too: the field drops another, so take one.
        unsafe {
            b::ihold(self.inode.as_ptr());
            b::iget_failed(self.inode.as_ptr());
        }
    }
}
