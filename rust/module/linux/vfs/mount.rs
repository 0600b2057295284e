// SPDX-License-Identifier: GPL-2.0

//! Registering a file system type, mounting, and the calls for a whole super block.
//!
//! C headers: `include/linux/fs_context.h`, `include/linux/fs/super_types.h`

use super::options::{self, MountLog, Options};
use super::super_block::Parameters;
use super::{private, subtree};
use crate::linux::bindings as b;
use crate::linux::seq::ShownOptions;
use crate::linux::{BlockDevice, Inode, SuperBlock};
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ptr::addr_of_mut;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::error::{from_result, to_result};
use kernel::ffi::{c_int, c_long, c_uint};
use kernel::sync::aref::ARef;
use latch::prelude::*;
use latch::NofsScope;

/// Whether a mount may change the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// `ro`.
    ReadOnly,
    /// `rw`.
    ReadWrite,
}

/// What one mount call asks for.
pub(crate) struct Asked<'a, O> {
    /// The options.
    pub(crate) options: &'a mut O,
    /// `ro` or `rw`.
    pub(crate) access: Access,
    /// Where a refusal is told.
    pub(crate) log: MountLog<'a>,
}

/// What statfs shows (C: `struct kstatfs`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Statfs {
    /// Bytes in a block.
    pub(crate) block_size: u32,
    /// Blocks in the volume.
    pub(crate) blocks: u64,
    /// Blocks not used.
    pub(crate) free: u64,
    /// Blocks that can still be written.
    pub(crate) available: u64,
    /// The file system's id.
    pub(crate) fsid: [u32; 2],
}

/// A mounted file system: the payload of its super block.
pub(crate) trait FileSystem: Send + Sync + Sized + 'static {
    /// Its extended attributes and file handles.
    type Xattrs: super::xattr::Xattrs + super::export::Export;

    /// What the options of one mount call say.
    type Options: Options;

    /// What `stat -f` knows it by, block size and so on.
    fn parameters(&self) -> Parameters;

    /// Whether POSIX ACLs are minded.
    fn has_acls(options: &Self::Options) -> bool;

    /// Opens the volume on `device`. `sb` takes inodes already, and has no payload yet.
    fn open(sb: &SuperBlock, device: BlockDevice, asked: &Asked<'_, Self::Options>)
        -> Result<Self>;

    /// The directory at the top of the whole volume.
    fn top(sb: &SuperBlock) -> Result<ARef<Inode>>;

    /// The path, from [`Self::top`], of the directory that a mount with these options shows; a zero byte ends it.
    fn shown_path(sb: &SuperBlock, asked: &Asked<'_, Self::Options>) -> Result<KVec<u8>>;

    /// Whether the inode that was found there is what the options mean.
    fn check_root(root: &Inode, asked: &Asked<'_, Self::Options>) -> Result;

    /// Takes over options and access of a remount; where it fails all is as before.
    fn reconfigure(sb: &SuperBlock, asked: &Asked<'_, Self::Options>) -> Result;

    /// A further mount is read-write, and those before were not. The options stay theirs.
    fn make_writable(sb: &SuperBlock, log: &MountLog<'_>) -> Result;

    /// Shows the options for `/proc/mounts`, each after a comma. `root` is the directory mounted.
    fn show_options(&self, root: &Inode, out: &ShownOptions<'_>);

    /// What statfs shows.
    fn statfs(&self, root: &Inode) -> Result<Statfs>;

    /// Makes all that completed before the call durable; `wait` is false when it may be left to a later call.
    fn sync(sb: &SuperBlock, wait: bool) -> Result;

    /// Forbids and allows changes (C: `freeze_fs`, `unfreeze_fs`).
    fn freeze(sb: &SuperBlock) -> Result;
    /// See [`Self::freeze`].
    fn thaw(sb: &SuperBlock) -> Result;

    /// The last user is going, all that was dirty is written: no work may keep an inode any more.
    fn drain(&self);

    /// The last user is gone: end all work. The value is dropped afterwards.
    fn close(&self);

    /// Writes the attributes that are only in memory.
    fn write_inode(inode: &Inode) -> Result;

    /// An inode without names leaves memory and is to be deleted; its pages are gone already. The file system cannot be
    /// frozen meanwhile.
    fn evict(inode: &Inode);
}

/// The operations of a super block.
struct Table<T>(PhantomData<T>);

impl<T: FileSystem> Table<T> {
    const SUPER: b::super_operations = b::super_operations {
        destroy_inode: Some(destroy_inode),
        free_inode: Some(b::free_inode_nonrcu),
        write_inode: Some(write_inode::<T>),
        evict_inode: Some(evict_inode::<T>),
        put_super: Some(put_super::<T>),
        sync_fs: Some(sync_fs::<T>),
        freeze_fs: Some(freeze_fs::<T>),
        unfreeze_fs: Some(unfreeze_fs::<T>),
        statfs: Some(statfs::<T>),
        show_options: Some(show_options::<T>),
        ..pin_init::zeroed()
    };
    const CONTEXT: b::fs_context_operations = b::fs_context_operations {
        free: Some(free_context),
        parse_param: Some(parse_param::<T>),
        get_tree: Some(subtree::get_tree::<T>),
        reconfigure: Some(reconfigure::<T>),
        ..pin_init::zeroed()
    };
}

unsafe extern "C" fn destroy_inode(inode: *mut b::inode) {
    // SAFETY: The inode is no longer in use; its memory goes later.
    unsafe {
        let slot = core::mem::replace(&mut (*inode).i_private, core::ptr::null_mut());
        private::drop_private(slot);
    }
}

unsafe extern "C" fn write_inode<T: FileSystem>(
    inode: *mut b::inode,
    _wbc: *mut b::writeback_control,
) -> c_int {
    // SAFETY: The VFS lends an inode of ours.
    let inode = unsafe { Inode::borrow(inode) };
    let _nofs = NofsScope::enter();
    from_result(|| T::write_inode(inode).map(|()| 0))
}

unsafe extern "C" fn evict_inode<T: FileSystem>(inode: *mut b::inode) {
    // SAFETY: The VFS lends an inode of ours, which nobody else has.
    let inode = unsafe { Inode::borrow(inode) };
    inode.truncate_final();
    // Only then is anything written: no other waits for a file system that is frozen.
    if inode.nlink() == 0 {
        let _nofs = NofsScope::enter();
        // The VFS orders this behind all that its callers have.
        let unfrozen = inode.super_block().wait_unfrozen();
        T::evict(inode);
        drop(unfrozen);
    }
    inode.clear();
}

unsafe extern "C" fn put_super<T: FileSystem>(sb: *mut b::super_block) {
    // SAFETY: The VFS lends a super block of ours; no inode and no call is left.
    unsafe {
        let sb = SuperBlock::borrow(sb);
        if let Some(fs) = sb.payload::<T>() {
            fs.close();
        }
        sb.drop_payload();
    }
}

unsafe extern "C" fn sync_fs<T: FileSystem>(sb: *mut b::super_block, wait: c_int) -> c_int {
    // SAFETY: The VFS lends a super block of ours.
    let sb = unsafe { SuperBlock::borrow(sb) };
    from_result(|| T::sync(sb, wait != 0).map(|()| 0))
}

unsafe extern "C" fn freeze_fs<T: FileSystem>(sb: *mut b::super_block) -> c_int {
    // SAFETY: The VFS lends a super block of ours.
    let sb = unsafe { SuperBlock::borrow(sb) };
    from_result(|| T::freeze(sb).map(|()| 0))
}

unsafe extern "C" fn unfreeze_fs<T: FileSystem>(sb: *mut b::super_block) -> c_int {
    // SAFETY: The VFS lends a super block of ours.
    let sb = unsafe { SuperBlock::borrow(sb) };
    from_result(|| T::thaw(sb).map(|()| 0))
}

unsafe extern "C" fn statfs<T: FileSystem>(
    dentry: *mut b::dentry,
    out: *mut kernel::bindings::kstatfs,
) -> c_int {
    // SAFETY: The VFS lends a dentry with an inode of ours.
    let (inode, sb) = unsafe {
        (
            Inode::borrow((*dentry).d_inode),
            SuperBlock::borrow((*dentry).d_sb),
        )
    };
    from_result(|| {
        let shown = sb.payload::<T>().ok_or(EINVAL)?.statfs(inode)?;
        let out: *mut b::kstatfs = out.cast();
        // SAFETY: The VFS lends a zeroed structure.
        unsafe {
            (*out).f_type = (*sb.as_ptr()).s_magic as c_long;
            (*out).f_bsize = shown.block_size as c_long;
            (*out).f_blocks = shown.blocks;
            (*out).f_bfree = shown.free;
            (*out).f_bavail = shown.available;
            (*out).f_namelen = b::NAME_MAX as c_long;
            (*out).f_fsid.val = shown.fsid.map(|half| half as c_int);
        }
        Ok(0)
    })
}

unsafe extern "C" fn show_options<T: FileSystem>(
    seq: *mut b::seq_file,
    dentry: *mut b::dentry,
) -> c_int {
    // SAFETY: The VFS lends a dentry with an inode of ours, and the only user's sequence file.
    let (inode, sb, out) = unsafe {
        (
            Inode::borrow((*dentry).d_inode),
            SuperBlock::borrow((*dentry).d_sb),
            ShownOptions::new(seq),
        )
    };
    if let Some(fs) = sb.payload::<T>() {
        let _nofs = NofsScope::enter();
        fs.show_options(inode, &out);
    }
    0
}

/// What a context asks for.
///
/// # Safety
///
/// `fc` is a context that [`init_context`] set up, alive for `'a` and used by nobody else.
pub(super) unsafe fn asked<'a, T: FileSystem>(
    fc: *mut b::fs_context,
) -> Result<Asked<'a, T::Options>> {
    // SAFETY: By the function's contract. Of a remount the VFS takes the flags in the mask, and lends the root.
    let (options, flags, log) = unsafe {
        let options = private::get_mut((*fc).fs_private).ok_or(EINVAL)?;
        let mut flags = (*fc).sb_flags;
        if (*fc).purpose() == b::fs_context_purpose_FS_CONTEXT_FOR_RECONFIGURE {
            let now = (*(*(*fc).root).d_sb).s_flags as c_uint;
            let mask = (*fc).sb_flags_mask;
            flags = (now & !mask) | (flags & mask);
        }
        (options, flags, MountLog::of(fc))
    };
    let access = match flags & b::SB_RDONLY {
        0 => Access::ReadWrite,
        _ => Access::ReadOnly,
    };
    Ok(Asked {
        options,
        access,
        log,
    })
}

unsafe extern "C" fn free_context(fc: *mut b::fs_context) {
    // SAFETY: The context ends; `fs_private` is null or from `init_context`.
    unsafe {
        let options = core::mem::replace(&mut (*fc).fs_private, core::ptr::null_mut());
        private::drop_private(options);
    }
}

unsafe extern "C" fn parse_param<T: FileSystem>(
    fc: *mut b::fs_context,
    param: *mut b::fs_parameter,
) -> c_int {
    from_result(|| {
        // SAFETY: `init_context` set the context up; the VFS serialises its use.
        let asked = unsafe { asked::<T>(fc) }?;
        // SAFETY: The VFS lends both.
        unsafe { options::parse(asked.options, &asked.log, param) }.map(|()| 0)
    })
}

/// Opens the volume on the device of a new super block. Called by [`subtree`].
pub(super) unsafe extern "C" fn fill_super<T: FileSystem>(
    sb: *mut b::super_block,
    fc: *mut b::fs_context,
) -> c_int {
    from_result(|| {
        // SAFETY: `subtree` passed a context of ours, in use by this task alone.
        let asked = unsafe { asked::<T>(fc) }?;
        // SAFETY: `setup_bdev_super` set the device.
        let device = unsafe { BlockDevice::of_super(sb) };
        // SAFETY: The super block is new; the tables are static.
        let this = unsafe {
            (*sb).s_op = &Table::<T>::SUPER;
            (*sb).s_xattr = super::xattr::Table::<T::Xattrs>::handlers().cast();
            (*sb).s_export_op =
                core::ptr::from_ref(super::export::Table::<T::Xattrs>::EXPORT).cast();
            SuperBlock::borrow(sb)
        };
        // SAFETY: The super block is new and has no inodes.
        unsafe { own_bdi(sb) }?;
        let fs = T::open(this, device, &asked)?;
        this.set_parameters(&fs.parameters());
        if T::has_acls(asked.options) {
            this.set_acls();
        }
        this.set_payload(fs)?;
        let root = T::top(this)?;
        // SAFETY: It takes the inode's reference over.
        let root = unsafe { b::d_make_root(Inode::into_ptr(root)) };
        if root.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: The super block is new.
        unsafe { (*sb).s_root = root };
        Ok(0)
    })
}

/// What is read ahead at least, in bytes: a request of that size keeps a drive busy while the one before is checked.
const READ_AHEAD: usize = 4 << 20;

/// Gives a super block write-back and read-ahead of its own, in place of the device's.
///
/// # Safety
///
/// `sb` is being filled and has no inodes.
unsafe fn own_bdi(sb: *mut b::super_block) -> Result {
    // SAFETY: By the function's contract nobody else uses the field. The reference of `setup_bdev_super` is given
    // back; the kernel's own placeholder needs none, and `generic_shutdown_super` gives up whichever is there.
    unsafe {
        b::bdi_put((*sb).s_bdi);
        (*sb).s_bdi = addr_of_mut!(b::noop_backing_dev_info);
        to_result(b::super_setup_bdi(sb))?;
        let pages = &mut (*(*sb).s_bdi).ra_pages;
        *pages = (*pages).max(READ_AHEAD / kernel::page::PAGE_SIZE);
    }
    Ok(())
}

unsafe extern "C" fn reconfigure<T: FileSystem>(fc: *mut b::fs_context) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends the context, of a mounted super block of ours.
        let (sb, asked) = unsafe { (SuperBlock::borrow((*(*fc).root).d_sb), asked::<T>(fc)?) };
        if asked.access == Access::ReadOnly && !sb.is_read_only() {
            // SAFETY: The super block is mounted; `s_umount` is held by the VFS.
            to_result(unsafe { b::sync_filesystem(sb.as_ptr()) })?;
        }
        T::reconfigure(sb, &asked)?;
        let acls = match T::has_acls(asked.options) {
            true => b::SB_POSIXACL,
            false => 0,
        };
        // SAFETY: As above. The VFS refuses a file system's own bits in the mask before this call, and takes them after.
        unsafe {
            (*fc).sb_flags = ((*fc).sb_flags & !b::SB_POSIXACL) | acls;
            (*fc).sb_flags_mask |= b::SB_POSIXACL;
        }
        Ok(0)
    })
}

unsafe extern "C" fn init_context<T: FileSystem>(fc: *mut kernel::bindings::fs_context) -> c_int {
    from_result(|| {
        let fc: *mut b::fs_context = fc.cast();
        let options = private::put(T::Options::default())?;
        // SAFETY: The VFS lends a new context.
        unsafe {
            (*fc).fs_private = options.as_ptr();
            (*fc).ops = &Table::<T>::CONTEXT;
        }
        Ok(0)
    })
}

unsafe extern "C" fn kill_super<T: FileSystem>(sb: *mut b::super_block) {
    // SAFETY: The VFS gives up a super block of ours, with `s_umount` held. Without a root `put_super` is not called:
    // what `fill_super` left behind goes here, while the device is open.
    unsafe {
        let this = SuperBlock::borrow(sb);
        if (*sb).s_root.is_null() {
            this.drop_payload();
        } else if let Some(fs) = this.payload::<T>() {
            // An error was told to whoever waits for one; nobody does here.
            b::sync_filesystem(sb);
            fs.drain();
        }
        b::kill_block_super(sb);
    }
}

/// Where the type stands while it is registered: lockdep takes the keys in it only from static memory.
///
/// # Invariants
///
/// Only the [`Registration`] that set `TAKEN` writes it, and not while it is registered.
struct Slot(UnsafeCell<b::file_system_type>);

// SAFETY: By the type invariant.
unsafe impl Sync for Slot {}

static SLOT: Slot = Slot(UnsafeCell::new(pin_init::zeroed()));
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The registered file system type.
///
/// # Invariants
///
/// `TAKEN` is set, and `SLOT` registered.
pub(crate) struct Registration(());

impl Registration {
    /// Registers `T` under `name`. `EBUSY` if there is a registration.
    pub(crate) fn new<T: FileSystem>(
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result<Self> {
        if TAKEN.swap(true, Ordering::Acquire) {
            return Err(EBUSY);
        }
        // SAFETY: `TAKEN` makes it ours, and it is not registered yet. It is static and so stays.
        let result = unsafe {
            let kind = &mut *SLOT.0.get();
            kind.owner = module.as_ptr();
            kind.name = name.as_ptr().cast();
            // The calls that make inodes or change owners are given the mount's map and use it.
            kind.fs_flags = (b::FS_REQUIRES_DEV | b::FS_ALLOW_IDMAP) as c_int;
            kind.init_fs_context = Some(init_context::<T>);
            kind.kill_sb = Some(kill_super::<T>);
            to_result(b::register_filesystem(kind))
        };
        if let Err(error) = result {
            TAKEN.store(false, Ordering::Release);
            return Err(error);
        }
        // INVARIANT: Both were done.
        Ok(Self(()))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: The type invariant; the module is not in use, so nothing is mounted. Inodes are freed
        // after a grace period, by functions of the kernel, but their callbacks must have run.
        unsafe {
            b::unregister_filesystem(SLOT.0.get());
            b::rcu_barrier();
        }
        TAKEN.store(false, Ordering::Release);
    }
}
