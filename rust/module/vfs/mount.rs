// SPDX-License-Identifier: GPL-2.0

//! A mounted volume: what its super block owns.

use super::committer::{self, Schedule};
use super::counters::CounterFile;
use super::node::{mount, node, SubvolumeView, ViewInUse};
use super::options::MountOptions;
use super::settings::{Facts, Settings, SpaceCache};
use super::shown;
use crate::io::checksums::KernelChecksums;
use crate::io::clock::KernelClock;
use crate::io::data::{DataPath, DataTally};
use crate::io::device::{Devices, Disk};
use crate::io::metadata::MetadataCache;
use crate::linux::mount::{Access, Asked, FileSystem, Statfs};
use crate::linux::options::MountLog;
use crate::linux::queue::OwnedQueue;
use crate::linux::seq::ShownOptions;
use crate::linux::super_block::{AnonymousDevice, Parameters};
use crate::linux::thread::Thread;
use crate::linux::{BlockDevice, Inode, SuperBlock};
use core::sync::atomic::{AtomicU32, Ordering};
use engine::btree::Store;
use engine::disk::{CompatRo, Incompat, ObjectId};
use engine::fs::{self, Subvolume};
use engine::registry::Registry;
use engine::txn::{self, LogTree, Roots, Transactions, Witness};
use engine::volume::device::Device;
use engine::volume::{self, Volume, Writes};
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// What statfs knows the format by (C: `BTRFS_SUPER_MAGIC`).
const MAGIC: u32 = 0x9123_683e;

/// A mounted volume.
pub(crate) struct Mount {
    fs: Arc<fs::FileSystem>,
    cache: Arc<MetadataCache>,
    data_path: Arc<DataPath>,
    /// The subvolumes in use, each with its device number.
    views: Registry<ObjectId, SubvolumeView>,
    schedule: Arc<Schedule>,
    committer: Mutex<Option<Thread>>,
    counters: Mutex<Option<CounterFile>>,
    settings: Mutex<Settings>,
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

    /// The volume.
    pub(crate) fn volume(&self) -> &Volume {
        self.fs.transactions().volume()
    }

    /// Whether file data are never overwritten in place, whatever a file says.
    pub(super) fn is_zoned(&self) -> bool {
        self.volume().format().incompat.contains(Incompat::ZONED)
    }

    /// Bytes in a sector.
    pub(crate) fn sector_size(&self) -> u32 {
        self.volume().format().sector_size
    }

    /// Slows a writer of metadata down when there is too much unwritten. No locks, no handle may be held.
    pub(super) fn throttle(&self) {
        self.cache.throttle();
    }

    /// The subvolume with what the VFS shows of it.
    pub(super) fn view(&self, sb: &SuperBlock, subvolume: Subvolume) -> Result<ViewInUse> {
        let id = subvolume.id();
        if let Some(view) = self.views.get(&id) {
            return Ok(view);
        }
        if let Some(_unfrozen) = sb.hold_unfrozen() {
            self.clean_orphans(&subvolume);
        }
        let view = SubvolumeView {
            subvolume,
            device: AnonymousDevice::new()?,
        };
        self.views.add(id, view)
    }

    /// Finishes what a crash cut, if the volume may be written.
    fn clean_orphans(&self, subvolume: &Subvolume) {
        if let Err(error) = self.fs.inodes().clean_orphans(subvolume) {
            pr_warn!(
                "tree {}: orphans cannot be cleaned: {error:?}\n",
                subvolume.id()
            );
        }
    }

    /// Whether a transaction was aborted: what was done last will never be on disk.
    pub(super) fn has_failed(&self) -> bool {
        self.volume().writes() == Writes::Aborted
    }

    fn transactions(&self) -> &Arc<Transactions> {
        self.fs.transactions()
    }

    /// Writes out what was dirtied behind our back, which whoever called has left out: the workers find space for it.
    ///
    /// They wait while the volume is frozen, and a thaw waits for the caller, who holds `s_umount`. So it is `EAGAIN`
    /// then, and what there is stays dirty. Where the volume is not frozen, the same lock keeps it so.
    fn settle(&self, sb: &SuperBlock) -> Result {
        let path = &self.data_path;
        path.tally.fixups.settle(|| {
            drop(sb.hold_unfrozen().ok_or(EAGAIN)?);
            path.fixup_queue.flush();
            sb.write_out();
            Ok(())
        })
    }

    fn start_committer(&self) -> Result {
        let thread = committer::spawn(self.transactions().clone(), self.schedule.clone())?;
        *self.committer.lock() = Some(thread);
        Ok(())
    }

    fn stop_committer(&self) {
        // Taken out first: the thread's end is waited for without the lock.
        let thread = self.committer.lock().take();
        drop(thread);
    }

    /// Takes over what a remount says.
    fn set_options(&self, options: &MountOptions) {
        let settings = {
            let mut settings = self.settings.lock();
            settings.change(options, facts(self.volume()));
            *settings
        };
        self.schedule
            .interval
            .store(settings.commit_interval, Ordering::Relaxed);
        self.fs
            .set_file_options(settings.max_inline, settings.makes_checksums());
        self.transactions().space().set_discard(settings.discard);
    }

    fn begin_writing(&self) -> Result {
        self.volume().check_data_copies()?;
        // Before the rest, as it can fail: then nothing has become writable.
        self.start_committer()?;
        self.transactions()
            .begin_writing()
            .inspect_err(|_| self.stop_committer())?;
        self.clean_all_orphans();
        if self.has_failed() {
            // The super block was made read-only, and who asked must not make it writable again.
            self.stop_committer();
            return Err(EROFS);
        }
        Ok(())
    }

    /// Finishes what a crash cut in all subvolumes in use: they came into it while nothing could be written.
    fn clean_all_orphans(&self) {
        let mut next = Some(ObjectId::new(0));
        while let Some(view) = next.and_then(|from| self.views.ceiling(&from)) {
            self.clean_orphans(&view.subvolume);
            next = view.key().checked_add(1);
        }
    }

    fn end_writing(&self) -> Result {
        // First: what changed behind the commit would wait for the unmount.
        self.volume().pause_writing();
        self.stop_committer();
        self.transactions().commit()
    }
}

impl FileSystem for Mount {
    type Xattrs = super::Rbtrfs;
    type Options = MountOptions;

    fn has_acls(options: &MountOptions) -> bool {
        !options.ignores_acls
    }

    fn parameters(&self) -> Parameters {
        Parameters {
            block_size: self.sector_size(),
            max_size: i64::MAX,
            magic: MAGIC,
            uuid: self.volume().superblock().fsid.0,
        }
    }

    fn open(sb: &SuperBlock, device: BlockDevice, asked: &Asked<'_, MountOptions>) -> Result<Self> {
        let (options, access) = (asked.options, asked.access);
        let device = Arc::new(device, GFP_KERNEL)?;
        let opened = core::slice::from_ref(&device);
        let volume = open_volume(opened, access)?;
        let devices = Devices::new(&volume, opened)?;
        let cache = MetadataCache::new(sb, volume.clone(), devices.clone())?;
        let store: Arc<dyn Store> = cache.clone();
        check_space_cache(&volume, asked)?;
        let settings = Settings::new(options, facts(&volume), &device);
        let mut txn_options = txn_options(asked)?;
        txn_options.discard = settings.discard;
        let witness: Arc<dyn Witness> = cache.clone();
        txn_options.witness = Some(witness);
        let txns = Transactions::open(volume.clone(), store, txn_options)?;
        let writes = volume.writes();
        if writes != Writes::Now {
            sb.set_read_only();
        }
        let mut fs_options = fs::Options::new();
        fs_options.max_inline = settings.max_inline;
        fs_options.checksums = settings.makes_checksums();
        let schedule = Schedule {
            interval: AtomicU32::new(settings.commit_interval),
        };
        let fs = fs::FileSystem::open(txns, fs_options)?;
        let data_path = DataPath {
            fs: fs.clone(),
            volume,
            device,
            devices,
            queue: OwnedQueue::new(c"rbtrfs-data")?,
            fixup_queue: OwnedQueue::new(c"rbtrfs-fixup")?,
            tally: DataTally::default(),
        };
        let data_path = Arc::new(data_path, GFP_KERNEL)?;
        let counters = CounterFile::new(sb, fs.transactions().clone(), data_path.clone())?;
        let this = Self {
            fs,
            cache,
            data_path,
            views: Registry::new(Rank::Views, |_| true)?,
            schedule: Arc::new(schedule, GFP_KERNEL)?,
            committer: Mutex::new(None, Rank::Committer)?,
            counters: Mutex::new(Some(counters), Rank::CounterFile)?,
            settings: Mutex::new(settings, Rank::Settings)?,
        };
        // From here on blocks are written, and bad copies repaired.
        this.cache
            .set_write_order(this.transactions().space().write_order());
        if writes == Writes::Now {
            this.begin_writing()?;
        }
        Ok(this)
    }

    fn top(sb: &SuperBlock) -> Result<ARef<Inode>> {
        let this = mount(sb)?;
        this.top_of(sb, this.fs.subvolumes().get(ObjectId::FS_TREE)?)
    }

    fn shown_path(sb: &SuperBlock, asked: &Asked<'_, MountOptions>) -> Result<KVec<u8>> {
        shown::path(&mount(sb)?.fs, asked)
    }

    fn check_root(root: &Inode, asked: &Asked<'_, MountOptions>) -> Result {
        shown::check(root, asked)
    }

    fn reconfigure(sb: &SuperBlock, asked: &Asked<'_, MountOptions>) -> Result {
        let this = mount(sb)?;
        check_rescue(asked)?;
        check_space_cache(this.volume(), asked)?;
        match (asked.access, sb.is_read_only()) {
            (Access::ReadWrite, true) => Self::make_writable(sb, &asked.log)?,
            (Access::ReadOnly, false) => this.end_writing()?,
            _ => {}
        }
        // Last, as it cannot fail: a remount that does leaves the options as they were.
        this.set_options(asked.options);
        Ok(())
    }

    fn make_writable(sb: &SuperBlock, log: &MountLog<'_>) -> Result {
        let this = mount(sb)?;
        if !this.volume().writes().is_possible() {
            log.error(fmt!(
                "the volume cannot be made writable without mounting it anew"
            ));
            return Err(EROFS);
        }
        this.begin_writing()
    }

    fn show_options(&self, root: &Inode, out: &ShownOptions<'_>) {
        let settings = *self.settings.lock();
        settings.show(
            space_cache(self.volume()),
            root.super_block().has_acls(),
            out,
        );
        let Ok(node) = node(root) else { return };
        let id = node.subvolume.subvolume.id();
        out.number(c"subvolid", id.get());
        let path = self.fs.subvolumes().path(id).and_then(|mut path| {
            path.push(0, GFP_KERNEL)?;
            Ok(path)
        });
        let path = path.as_deref().ok();
        if let Some(path) = path.and_then(|path| CStr::from_bytes_with_nul(path).ok()) {
            out.value(c"subvol", path);
        }
    }

    fn statfs(&self, root: &Inode) -> Result<Statfs> {
        let shown = self.fs.statistics()?;
        let block = u64::from(shown.block_size.max(1));
        let id = node(root)?.subvolume.subvolume.id().get();
        Ok(Statfs {
            block_size: shown.block_size,
            blocks: shown.total / block,
            free: shown.free / block,
            available: shown.available / block,
            fsid: fsid(&self.volume().superblock().fsid.0, id),
        })
    }

    fn sync(sb: &SuperBlock, wait: bool) -> Result {
        let this = mount(sb)?;
        if this.has_failed() {
            return Err(EROFS);
        }
        if !wait || sb.is_read_only() {
            return Ok(());
        }
        let settled = this.settle(sb);
        this.transactions().commit().and(settled)
    }

    fn freeze(sb: &SuperBlock) -> Result {
        let this = mount(sb)?;
        this.stop_committer();
        this.transactions().commit()
    }

    fn thaw(sb: &SuperBlock) -> Result {
        match sb.is_read_only() {
            true => Ok(()),
            false => {
                let this = mount(sb)?;
                this.start_committer()?;
                this.clean_all_orphans();
                Ok(())
            }
        }
    }

    fn drain(&self) {
        self.data_path.tally.fixups.close();
        self.data_path.fixup_queue.flush();
    }

    fn close(&self) {
        self.stop_committer();
        let counters = self.counters.lock().take();
        drop(counters);
        // An abort was reported when it happened.
        let was_aborted = self.has_failed();
        match self.transactions().close() {
            Err(error) if !was_aborted => pr_err!("the last commit failed: {error:?}\n"),
            _ => {}
        }
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
            // The orphan item stays; the next mount that may write goes on.
            Err(error) if error == EROFS => {}
            Err(error) => pr_warn!(
                "inode {} is left to the next mount: {error:?}\n",
                inode.number()
            ),
        }
    }
}

/// Opens so that a remount can make a read-only mount writable.
/// Apart from its caller: with the frames of all that it opens it would be a large one.
#[inline(never)]
fn open_volume(devices: &[Arc<BlockDevice>], access: Access) -> Result<Arc<Volume>> {
    let mut disks: KVec<Arc<dyn Device>> = KVec::new();
    for device in devices {
        let disk: Arc<dyn Device> = Arc::new(Disk::new(device.clone())?, GFP_KERNEL)?;
        disks.push(disk, GFP_KERNEL)?;
    }
    let options = volume::Options {
        writes: match access {
            Access::ReadWrite => Writes::Now,
            Access::ReadOnly => Writes::Later,
        },
        copies: volume::Copies::Primary,
    };
    Volume::open(disks, Arc::new(KernelChecksums, GFP_KERNEL)?, options)
}

fn txn_options(asked: &Asked<'_, MountOptions>) -> Result<txn::Options> {
    let options = asked.options;
    let mut txn_options = txn::Options::new(txn::Access::ReadWrite);
    check_rescue(asked)?;
    if options.ignores_log {
        txn_options.access = txn::Access::ReadOnly;
        txn_options.log_tree = LogTree::Ignore;
    }
    if options.tries_backup_roots {
        txn_options.roots = Roots::OrBackup;
    }
    let clock: Arc<dyn txn::Clock> = Arc::new(KernelClock, GFP_KERNEL)?;
    txn_options.clock = Some(clock);
    Ok(txn_options)
}

/// Refuses what would write to a volume of which something is to be ignored.
fn check_rescue(asked: &Asked<'_, MountOptions>) -> Result {
    let word = match (asked.options.ignores_log, asked.options.tries_backup_roots) {
        (true, _) => "nologreplay",
        (_, true) => "usebackuproot",
        _ => return Ok(()),
    };
    match asked.access {
        Access::ReadOnly => Ok(()),
        Access::ReadWrite => {
            asked
                .log
                .error(fmt!("mount option rescue={word} goes with ro alone"));
            Err(EINVAL)
        }
    }
}

fn facts(volume: &Volume) -> Facts {
    Facts {
        is_zoned: volume.has_sequential_zones(),
        sector_size: volume.format().sector_size,
    }
}

fn has_free_space_tree(volume: &Volume) -> bool {
    let features = volume.format().compat_ro;
    features.contains(CompatRo::FREE_SPACE_TREE)
}

/// A free space tree that is there is kept up to date, whatever is asked for.
fn check_space_cache(volume: &Volume, asked: &Asked<'_, MountOptions>) -> Result {
    if asked.options.drops_tree && has_free_space_tree(volume) {
        asked.log.error(fmt!(
            "the free space tree cannot be given up: mount with space_cache=v2"
        ));
        return Err(EINVAL);
    }
    Ok(())
}

/// As C shows it: the old cache, which is neither read nor written here, is what C will use.
fn space_cache(volume: &Volume) -> SpaceCache {
    let old = || volume.superblock().cache_generation;
    match has_free_space_tree(volume) {
        true => SpaceCache::Tree,
        false if old() != 0 => SpaceCache::Old,
        false => SpaceCache::None,
    }
}

/// As C mixes the UUID and the subvolume's id.
fn fsid(uuid: &[u8; 16], id: u64) -> [u32; 2] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(uuid.chunks_exact(4)) {
        *word = bytes
            .first_chunk()
            .map_or(0, |bytes| u32::from_be_bytes(*bytes));
    }
    let [a, b, c, d] = words;
    [a ^ c ^ (id >> 32) as u32, b ^ d ^ id as u32]
}
