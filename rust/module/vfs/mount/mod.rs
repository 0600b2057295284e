// SPDX-License-Identifier: GPL-2.0

//! A mounted volume: what its super block owns.
//!
//! | module       | what is in it                                                        |
//! |--------------|----------------------------------------------------------------------|
//! | `options`    | mount options: their words, and those in force                       |
//! | `chosen`     | the directory that a mount shows: `subvol=`, `subvolid=`             |
//! | `inodes`     | the VFS's inodes, made from the engine's                             |
//! | `open`       | from a device to a mounted volume                                    |
//! | `remount`    | between read-only and read-write; options that change                |
//! | `sync`       | sync, freezing, the end of a mount                                   |
//! | `subvolumes` | the subvolumes in use, and their orphans                             |
//! | `show`       | what `/proc/mounts` and statfs show                                  |

mod chosen;
mod inodes;
mod open;
mod options;
mod remount;
mod show;
mod subvolumes;
mod sync;

use super::committer::{Committer, Schedule};
use super::counters::CounterFile;
use super::memory::Memory;
use super::node::{node, SubvolumeView};
use super::replaced::Replaced;
use super::sysfs::VolumeFolder;
use crate::io::data::DataPath;
use crate::io::metadata::MetadataCache;
use crate::linux::mount::{Asked, FileSystem, Statfs, SyncTurn};
use crate::linux::options::MountLog;
use crate::linux::seq::ShownOptions;
use crate::linux::super_block::Parameters;
use crate::linux::{BlockDevice, Held, Inode, SuperBlock};
use engine::disk::{Bytes, ObjectId};
use engine::fs;
use engine::registry::Registry;
use engine::txn::Transactions;
use engine::volume::{Volume, Writes};
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Bug, Listening, Mutex};
use options::settings::Settings;
use options::MountOptions;
use subvolumes::SubvolumeDevices;

/// What statfs knows the format by (C: `BTRFS_SUPER_MAGIC`).
const MAGIC: u32 = 0x9123_683e;

/// A mounted volume.
pub(crate) struct Mount {
    fs: Arc<fs::FileSystem>,
    cache: Arc<MetadataCache>,
    data_path: Arc<DataPath>,
    /// The subvolumes in use.
    views: Registry<ObjectId, SubvolumeView>,
    /// The device numbers of these, and of those that were in use before.
    devices: SubvolumeDevices,
    schedule: Arc<Schedule>,
    replaced: Arc<Replaced>,
    committer: Committer,
    told: Mutex<Option<Told>>,
    /// Goes with the mount.
    _memory: Memory,
    settings: Mutex<Settings>,
}

/// What tells of the mount, as long as it is kept.
struct Told {
    _counters: CounterFile,
    _folder: Option<VolumeFolder>,
}

/// The mount that `inode` belongs to.
pub(in crate::vfs) fn mount_of(inode: &Inode) -> Result<&Mount> {
    mount(inode.super_block())
}

/// The mount behind a super block.
pub(in crate::vfs) fn mount(sb: &SuperBlock) -> Result<&Mount> {
    const NO_MOUNT: Bug = Bug::new("a super block has no mount");
    Ok(sb.payload::<Mount>().ok_or(NO_MOUNT)?)
}

impl Mount {
    /// The engine's file system.
    pub(crate) fn fs(&self) -> &fs::FileSystem {
        &self.fs
    }

    /// What the mount's regular files share.
    pub(super) fn data_path(&self) -> &Arc<DataPath> {
        &self.data_path
    }

    /// The volume that is mounted.
    pub(crate) fn volume(&self) -> &Volume {
        self.fs.transactions().volume()
    }

    /// The files that have taken the place of others.
    pub(super) fn replaced(&self) -> &Replaced {
        &self.replaced
    }

    /// Bytes in a sector.
    pub(crate) fn sector_size(&self) -> u32 {
        self.volume().format().sector_size
    }

    /// Slows a writer of metadata down when there is too much unwritten. No locks, no handle may be held.
    pub(super) fn throttle(&self) {
        self.cache.throttle();
    }

    /// Whether a transaction was aborted: what was done last will never be on disk.
    pub(super) fn has_failed(&self) -> bool {
        self.volume().writes() == Writes::Aborted
    }

    /// Nothing reaches the device any more, as after an aborted transaction.
    pub(super) fn shut_down(&self) {
        self.transactions().abort(EIO);
    }

    fn transactions(&self) -> &Arc<Transactions> {
        self.fs.transactions()
    }
}

impl FileSystem for Mount {
    type Xattrs = super::Rbtrfs;
    type Options = MountOptions;

    fn wants_acls(options: &MountOptions) -> Option<bool> {
        options.acls
    }

    fn parameters(&self) -> Parameters {
        Parameters {
            block_size: self.sector_size(),
            max_size: Bytes::MAX,
            magic: MAGIC,
            uuid: self.volume().superblock().fsid.0,
        }
    }

    fn open(sb: &SuperBlock, device: BlockDevice, asked: &Asked<'_, MountOptions>) -> Result<Self> {
        // What the engine refuses it logs.
        let listening = Listening::begin();
        open::open(sb, device, asked).inspect_err(|_| {
            if let Some(line) = listening.heard() {
                asked.log.repeat(line);
            }
        })
    }

    fn top(sb: &SuperBlock) -> Result<ARef<Inode>> {
        let this = mount(sb)?;
        this.top_of(sb, this.fs.subvolumes().topmost()?)
    }

    fn shown_path(sb: &SuperBlock, asked: &Asked<'_, MountOptions>) -> Result<KVec<u8>> {
        chosen::path(&mount(sb)?.fs, asked)
    }

    fn check_root(root: &Inode, asked: &Asked<'_, MountOptions>) -> Result {
        chosen::check(root, asked)
    }

    fn reconfigure(sb: &SuperBlock, asked: &Asked<'_, MountOptions>) -> Result {
        mount(sb)?.remount(sb, asked)
    }

    fn make_writable(sb: &SuperBlock, log: &MountLog<'_>) -> Result {
        mount(sb)?.become_writable(log)
    }

    fn show_options(&self, root: &Inode, out: &ShownOptions<'_>) {
        self.show(root, out);
    }

    fn statfs(&self, root: &Inode) -> Result<Statfs> {
        self.statistics(root)
    }

    fn sync(sb: Held<'_>, turn: SyncTurn) -> Result {
        mount(&sb)?.sync_all(sb, turn)
    }

    fn freeze(sb: Held<'_>) -> Result {
        mount(&sb)?.become_frozen(sb)
    }

    fn thaw(sb: &SuperBlock) -> Result {
        mount(sb)?.become_thawed(sb);
        Ok(())
    }

    fn shutdown(sb: &SuperBlock) {
        if let Ok(this) = mount(sb) {
            pr_crit!("{}: the device is gone\n", sb.name());
            this.shut_down();
        }
    }

    fn drain(&self, sb: Held<'_>) {
        self.drain_all(sb);
    }

    fn close(&self) {
        self.end();
    }

    fn write_inode(inode: &Inode) -> Result {
        let Ok(this) = node(inode) else { return Ok(()) };
        mount(inode.super_block())?
            .fs
            .inodes()
            .write_attributes(&this.inode)
    }

    fn evict(inode: &Inode) {
        let (Ok(mount), Ok(this)) = (mount(inode.super_block()), node(inode)) else {
            return;
        };
        match mount.fs.inodes().evict(&this.inode) {
            Ok(()) => {}
            // What is left of it is removed when something may be changed again, or by the next mount.
            Err(error) if error == EROFS => {}
            Err(error) => pr_warn!(
                "inode {} without names is not removed yet: {error:?}\n",
                inode.number()
            ),
        }
    }

    fn leave(inode: &Inode) {
        if let (Ok(mount), Ok(this)) = (mount(inode.super_block()), node(inode)) {
            mount.fs.inodes().leave(&this.inode);
        }
    }
}
