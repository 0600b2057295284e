// SPDX-License-Identifier: GPL-2.0

//! From a device to a mounted volume.

use super::options::settings::{check_rescue, facts, Settings};
use super::options::space_cache::{self, Belief};
use super::subvolumes::SubvolumeDevices;
use super::{Mount, MountOptions, Schedule, Told};
use crate::io::checksums::KernelChecksums;
use crate::io::clock::KernelClock;
use crate::io::data::{DataPath, DataTally, Hope, Refusals};
use crate::io::device::{Devices, Disk};
use crate::io::metadata::MetadataCache;
use crate::linux::mount::{Asked, MountAccess};
use crate::linux::queue::OwnedQueue;
use crate::linux::{BlockDevice, SuperBlock};
use crate::vfs::committer::Committer;
use crate::vfs::counters::CounterFile;
use crate::vfs::memory::Memory;
use crate::vfs::replaced::Replaced;
use crate::vfs::sysfs::VolumeFolder;
use core::sync::atomic::AtomicU32;
use engine::btree::Store;
use engine::fs;
use engine::registry::Registry;
use engine::txn::{self, LogTree, Roots, Transactions, TreeTrust, Witness};
use engine::volume::device::Device;
use engine::volume::{self, Volume, Writes};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// Opens the volume on `device` for a new super block.
pub(super) fn open(
    sb: &SuperBlock,
    device: BlockDevice,
    asked: &Asked<'_, MountOptions>,
) -> Result<Mount> {
    let device = Arc::new(device, GFP_KERNEL)?;
    let opened = core::slice::from_ref(&device);
    let volume = open_volume(opened, asked.access)?;
    let devices = Devices::new(&volume, opened)?;
    let cache = MetadataCache::new(sb, volume.clone(), devices.clone())?;
    let word = asked.options.space_cache;
    space_cache::check(&volume, word, Belief::of(asked.options), &asked.log)?;
    check_rescue(asked)?;
    let settings = Settings::new(asked.options, facts(&volume), &device);
    let fs = open_files(&volume, &cache, &settings, asked)?;
    let data_path = DataPath {
        fs: fs.clone(),
        volume: volume.clone(),
        device,
        devices,
        queue: OwnedQueue::new(c"rbtrfs-data")?,
        fixup_queue: OwnedQueue::new(c"rbtrfs-fixup")?,
        tally: DataTally::default(),
        hope: Hope::default(),
        refusals: Refusals::default(),
    };
    let data_path = Arc::new(data_path, GFP_KERNEL)?;
    let told = Told {
        _counters: CounterFile::new(sb, fs.clone(), data_path.clone())?,
        _folder: folder_of(sb, &fs)?,
    };
    let memory = Memory::new(sb, fs.transactions().clone())?;
    let schedule = Schedule {
        interval: AtomicU32::new(settings.commit_interval),
    };
    let mount = Mount {
        fs,
        cache,
        data_path,
        views: Registry::new(Rank::Views, |_| true)?,
        devices: SubvolumeDevices::new()?,
        schedule: Arc::new(schedule, GFP_KERNEL)?,
        replaced: Arc::new(Replaced::new()?, GFP_KERNEL)?,
        committer: Committer::new()?,
        told: Mutex::new(Some(told), Rank::Told)?,
        _memory: memory,
        settings: Mutex::new(settings, Rank::Settings)?,
    };
    // From here on blocks are written, and bad copies repaired.
    let order = mount.transactions().space().write_order();
    mount.cache.set_write_order(order);
    match volume.writes() {
        Writes::Now => mount.begin_writing(word)?,
        _ => sb.set_read_only(),
    }
    tell_of_tools(sb, &mount.data_path.device);
    Ok(mount)
}

/// Some tools of btrfs-progs write to a device unless `/proc/mounts` has it with type btrfs.
fn tell_of_tools(sb: &SuperBlock, device: &BlockDevice) {
    if !sb.is_of_type(c"btrfs") && !device.keeps_writers_out() {
        pr_info!(
            "{}: btrfs-progs does not see that it is mounted: see rbtrfs(5), OTHER PROGRAMS\n",
            sb.name()
        );
    }
}

/// The volume's folder in sysfs, but for one that looks like another that is mounted.
fn folder_of(sb: &SuperBlock, fs: &Arc<fs::FileSystem>) -> Result<Option<VolumeFolder>> {
    match VolumeFolder::new(fs.clone()) {
        Err(error) if error == EEXIST => {
            pr_warn!(
                "{}: another volume with this UUID is mounted, whose files in /sys/fs stay\n",
                sb.name()
            );
            Ok(None)
        }
        made => made.map(Some),
    }
}

/// Opens so that a remount can make a read-only mount writable.
/// Apart from its caller: with the frames of all that it opens it would be a large one.
#[inline(never)]
fn open_volume(devices: &[Arc<BlockDevice>], access: MountAccess) -> Result<Arc<Volume>> {
    let mut disks: KVec<Arc<dyn Device>> = KVec::new();
    for device in devices {
        let disk: Arc<dyn Device> = Arc::new(Disk::new(device.clone())?, GFP_KERNEL)?;
        disks.push(disk, GFP_KERNEL)?;
    }
    let options = volume::Options {
        writes: match access {
            MountAccess::ReadWrite => Writes::Now,
            MountAccess::ReadOnly => Writes::Later,
        },
        copies: volume::Copies::Primary,
    };
    Volume::open(disks, Arc::new(KernelChecksums, GFP_KERNEL)?, options)
}

/// Opens the trees and what files need of them.
/// Apart from its caller as [`open_volume`] is.
#[inline(never)]
fn open_files(
    volume: &Arc<Volume>,
    cache: &Arc<MetadataCache>,
    settings: &Settings,
    asked: &Asked<'_, MountOptions>,
) -> Result<Arc<fs::FileSystem>> {
    let store: Arc<dyn Store> = cache.clone();
    let witness: Arc<dyn Witness> = cache.clone();
    let mut txn_options = txn_options(asked)?;
    txn_options.discard = settings.discard;
    txn_options.witness = Some(witness);
    let txns = Transactions::open(volume.clone(), store, txn_options)?;
    fs::FileSystem::open(txns, settings.of_files())
}

fn txn_options(asked: &Asked<'_, MountOptions>) -> Result<txn::Options> {
    let options = asked.options;
    let mut txn_options = txn::Options::new(txn::Access::ReadWrite);
    if options.ignores_log {
        txn_options.access = txn::Access::ReadOnly;
        txn_options.log_tree = LogTree::Ignore;
    }
    if options.tries_backup_roots {
        txn_options.roots = Roots::OrBackup;
    }
    txn_options.keep = space_cache::keep(options.space_cache);
    if options.clears_cache {
        txn_options.free_space = TreeTrust::Doubted;
    }
    let clock: Arc<dyn txn::Clock> = Arc::new(KernelClock, GFP_KERNEL)?;
    txn_options.clock = Some(clock);
    Ok(txn_options)
}
