// SPDX-License-Identifier: GPL-2.0

//! What a file system is to the VFS, and what a call of mount asks of it.
//!
//! C headers: `include/linux/fs_context.h`, `include/linux/fs/super_types.h`

use super::options::{MountLog, Options};
use crate::linux::bindings as b;
use crate::linux::export::Export;
use crate::linux::private;
use crate::linux::seq::ShownOptions;
use crate::linux::super_block::Parameters;
use crate::linux::xattr::Xattrs;
use crate::linux::{BlockDevice, Held, Inode, SuperBlock};
use kernel::ffi::c_uint;
use kernel::sync::aref::ARef;
use latch::prelude::*;
use latch::Bug;

/// What only [`super::context`] could have forgotten.
pub(super) const NO_OPTIONS: Bug = Bug::new("a context of a mount has no options");

/// Whether a mount may change the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MountAccess {
    /// The mount is `ro`.
    ReadOnly,
    /// The mount is `rw`.
    ReadWrite,
}

impl MountAccess {
    /// What a mounted super block allows now.
    pub(crate) fn of_super(sb: &SuperBlock) -> Self {
        match sb.is_read_only() {
            true => Self::ReadOnly,
            false => Self::ReadWrite,
        }
    }

    /// What the flags of a super block say.
    fn of(flags: c_uint) -> Self {
        match flags & b::SB_RDONLY {
            0 => Self::ReadWrite,
            _ => Self::ReadOnly,
        }
    }
}

/// What one mount call asks for.
pub(crate) struct Asked<'a, O> {
    /// The options of the call.
    pub(crate) options: &'a O,
    /// `ro` or `rw`.
    pub(crate) access: MountAccess,
    /// Where a refusal is told.
    pub(crate) log: MountLog<'a>,
}

/// What a context asks for whose super block is to have `flags`.
///
/// # Safety
///
/// `fc` is a context that [`super::context`] set up for `T`, alive for `'a` and used by this task alone, which takes no
/// more options over.
pub(super) unsafe fn asked<'a, T: FileSystem>(
    fc: *mut b::fs_context,
    flags: c_uint,
) -> Result<Asked<'a, T::Options>> {
    // SAFETY: By the function's contract.
    let (options, log) = unsafe {
        let options = private::get((*fc).fs_private).ok_or(NO_OPTIONS)?;
        (options, MountLog::of(fc))
    };
    Ok(Asked {
        options,
        access: MountAccess::of(flags),
        log,
    })
}

/// The two turns that the VFS has of a sync: it asks all file systems to begin, and then each to end (C: `wait` of `sync_fs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncTurn {
    /// What takes time is begun.
    Begins,
    /// All is durable when it returns.
    Ends,
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
    /// The file system's extended attributes and file handles.
    type Xattrs: Xattrs + Export;

    /// What the options of one mount call say.
    type Options: Options;

    /// What `stat -f` knows it by, block size and so on.
    fn parameters(&self) -> Parameters;

    /// Whether POSIX ACLs are to be minded; `None` if the options do not say.
    fn wants_acls(options: &Self::Options) -> Option<bool>;

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

    /// A further mount is read-write, and those before were not. The options stay theirs. The super block is shown as
    /// writable already, and read-only again where this fails.
    fn make_writable(sb: &SuperBlock, log: &MountLog<'_>) -> Result;

    /// Shows the options for `/proc/mounts`, each after a comma. `root` is the directory mounted.
    fn show_options(&self, root: &Inode, out: &ShownOptions<'_>);

    /// What statfs shows.
    fn statfs(&self, root: &Inode) -> Result<Statfs>;

    /// Makes all that completed before the call durable; the first turn may leave that to the second.
    fn sync(sb: Held<'_>, turn: SyncTurn) -> Result;

    /// Forbids and allows changes (C: `freeze_fs`, `unfreeze_fs`).
    fn freeze(sb: Held<'_>) -> Result;
    /// Allows the changes that [`Self::freeze`] forbade.
    fn thaw(sb: &SuperBlock) -> Result;

    /// The device is gone. It may be frozen.
    fn shutdown(sb: &SuperBlock);

    /// The last user is going, and what the kernel writes out of its own accord is written. Writes out the rest; afterwards no
    /// work keeps an inode.
    fn drain(&self, sb: Held<'_>);

    /// The last user is gone: end all work. The value is dropped afterwards.
    fn close(&self);

    /// Writes the attributes that are only in memory.
    fn write_inode(inode: &Inode) -> Result;

    /// An inode without names leaves memory and is to be deleted; its pages are gone already. The file system cannot be
    /// frozen meanwhile.
    fn evict(inode: &Inode);

    /// An inode without names leaves memory while the file system is frozen, or about to be: it is to be deleted later.
    /// Nothing is written.
    fn leave(inode: &Inode);
}
