// SPDX-License-Identifier: GPL-2.0
//! Files in the top level subvolume, item by item: enough that `btrfs check` finds nothing to say.

use engine::btree::{Allocate, DataRef, Holder, Sought, Tree, Writer};
use engine::disk::raw::{
    RawDirItem, RawFileExtent, RawFileExtentHead, RawFileExtentTail, RawInodeItem, RawInodeRef,
    RawKey,
};
use engine::disk::{name_hash, Bytes, FileType, Key, Kind, Logical, ObjectId, Uuid};
use engine::fs;
use engine::space::{DataExtent, Relief};
use engine::txn::{Handle, OpenTree, Transactions, Units};
use kernel::prelude::*;
use kernel::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::vec::Vec;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

const ROOT_DIR: u64 = 256;
const SECTOR: u64 = 4096;
const EXTENTS_AT_ONCE: usize = 4;

/// A file that exists.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub inode: u64,
    pub name: String,
    index: u64,
    pub extents: Vec<(Logical, Bytes)>,
}

/// The files of the top level subvolume.
pub(crate) struct Files<'a> {
    txns: &'a Arc<Transactions>,
    tree: OpenTree,
    checksums: Arc<Tree>,
    next: AtomicU64,
    in_order: Mutex<()>,
}

impl<'a> Files<'a> {
    pub(crate) fn new(txns: &'a Arc<Transactions>) -> Self {
        Self::of(txns, ObjectId::FS_TREE)
    }

    /// The files of a subvolume.
    pub(crate) fn of(txns: &'a Arc<Transactions>, subvolume: ObjectId) -> Self {
        let tree = txns.tree(subvolume).unwrap();
        let checksums = txns.required_tree(ObjectId::CSUM_TREE).unwrap();
        let last = Key::new(ROOT_DIR, Kind::DIR_INDEX, u64::MAX);
        let last = tree.floor(&last, |key, _| match key.kind {
            Kind::DIR_INDEX => key.offset,
            _ => 1,
        });
        let next = AtomicU64::new(last.unwrap().unwrap() + 1);
        Self {
            txns,
            tree,
            checksums,
            next,
            in_order: Mutex::new(()),
        }
    }

    /// Makes a file of `len` bytes of data in extents of at most `piece`.
    pub(crate) fn create(&self, name: &str, len: u64, piece: u64) -> Result<File> {
        let extents = self.allocate(len, piece)?;
        let units = Units::inserts(5 + 2 * extents.len() as u32);
        let handle = match self.txns.start(units) {
            Ok(handle) => handle,
            Err(error) => {
                self.give_back(&extents);
                return Err(error);
            }
        };
        let file = self.name(name, extents);
        let done = self.enter(&handle, &file, Share::New);
        done.inspect_err(|error| handle.abort(*error))?;
        Ok(file)
    }

    /// Makes a file that shares the extents of another.
    pub(crate) fn share(&self, from: &File, name: &str) -> Result<File> {
        let handle = self
            .txns
            .start(Units::inserts(5 + from.extents.len() as u32))?;
        let file = self.name(name, from.extents.clone());
        let done = self.enter(&handle, &file, Share::Known);
        done.inspect_err(|error| handle.abort(*error))?;
        Ok(file)
    }

    /// Removes a file, a few extents at a time.
    pub(crate) fn remove(&self, file: &File) -> Result {
        let mut file = file.clone();
        while file.extents.len() > EXTENTS_AT_ONCE {
            let left = file.extents.len() - EXTENTS_AT_ONCE;
            let handle = self
                .txns
                .start_freeing(Units::updates(1 + 2 * EXTENTS_AT_ONCE as u32))?;
            let done = self.cut(&handle, &file, left);
            done.inspect_err(|error| handle.abort(*error))?;
            file.extents.truncate(left);
        }
        let units = Units::updates(5 + 2 * file.extents.len() as u32);
        let handle = self.txns.start_freeing(units)?;
        let done = self.take_out(&handle, &file);
        done.inspect_err(|error| handle.abort(*error))
    }

    /// Drops the extents of a file from the `left`th on.
    fn cut(&self, handle: &Handle, file: &File, left: usize) -> Result {
        let keys = file_keys(file);
        let mut offset = 0;
        for (n, (&(addr, len), key)) in file.extents.iter().zip(&keys[4..]).enumerate() {
            if n >= left {
                self.tree.remove(handle, key)?;
                handle.release_data(&self.data_ref(file, addr, len.get(), offset))?;
            }
            offset += len.get();
        }
        let size = file.extents[..left].iter().map(|(_, len)| len.get()).sum();
        self.tree.update(handle, &keys[0], |bytes| {
            let inode = RawInodeItem::mut_from_bytes(bytes).unwrap();
            inode.size.set(size);
            inode.nbytes.set(size);
        })
    }

    /// Whether all of a file's items are there.
    pub(crate) fn has(&self, file: &File) -> bool {
        let keys = file_keys(file);
        let found = keys
            .iter()
            .filter(|key| self.tree.get(key, |_| ()).unwrap().is_some())
            .count();
        assert!(
            found == 0 || found == keys.len(),
            "half of {file:?} is there"
        );
        found > 0
    }

    fn name(&self, name: &str, extents: Vec<(Logical, Bytes)>) -> File {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        File {
            inode: ROOT_DIR + index,
            name: name.into(),
            index,
            extents,
        }
    }

    fn allocate(&self, len: u64, piece: u64) -> Result<Vec<(Logical, Bytes)>> {
        let mut extents = Vec::new();
        let mut left = len;
        while left > 0 {
            match self.allocate_one(left.min(piece)) {
                Ok(extent) => {
                    left -= extent.len.get();
                    extents.push((extent.logical, extent.len));
                }
                Err(error) => {
                    self.give_back(&extents);
                    return Err(error);
                }
            }
        }
        Ok(extents)
    }

    /// Gives back what [`Self::allocate`] found. On zones it was written: to say that it was not would take it for
    /// another's that is on its way, whose zone may be finished then before that write arrives.
    fn give_back(&self, extents: &[(Logical, Bytes)]) {
        for &(addr, len) in extents {
            self.txns.space().release_written(addr, len);
        }
    }

    fn allocate_one(&self, wanted: u64) -> Result<DataExtent> {
        let reservation = self.txns.reserve_data(Bytes::new(wanted))?;
        let space = self.txns.space();
        if !self.txns.volume().rules().writes_in_order() {
            return space.allocate_data(&reservation, Bytes::new(wanted), Bytes::new(SECTOR));
        }
        // Zones are written in the order of allocation.
        let _in_order = self.in_order.lock().unwrap();
        let extent = loop {
            match space.allocate_data(&reservation, Bytes::new(wanted), Bytes::new(SECTOR)) {
                Err(error) if error == EAGAIN => {
                    // What was allocated from the active zones becomes extents with items.
                    if space.relieve_zones()? == Relief::None {
                        self.txns.commit()?;
                    }
                }
                extent => break extent?,
            }
        };
        let volume = self.txns.volume();
        for place in volume.map(extent.logical, extent.len)?.copies() {
            let device = volume.device(place.devid).unwrap();
            device.write(place.at, &vec![0; extent.len.get() as usize])?;
        }
        space.data_written(extent)?;
        Ok(extent)
    }

    fn enter(&self, handle: &Handle, file: &File, share: Share) -> Result {
        let len: u64 = file.extents.iter().map(|(_, len)| len.get()).sum();
        let mut inode = RawInodeItem::new_zeroed();
        inode.generation.set(handle.generation().get());
        inode.transid.set(handle.generation().get());
        inode.size.set(len);
        inode.nbytes.set(len);
        inode.nlink.set(1);
        inode.mode.set(0o100644);
        let keys = file_keys(file);
        self.tree.insert(handle, &keys[0], inode.as_bytes())?;
        let reference = RawInodeRef {
            index: file.index.into(),
            name_len: (file.name.len() as u16).into(),
        };
        let reference = [reference.as_bytes(), file.name.as_bytes()].concat();
        self.tree.insert(handle, &keys[1], &reference)?;
        let entry = RawDirItem {
            location: RawKey::from(keys[0]),
            transid: handle.generation().get().into(),
            data_len: 0.into(),
            name_len: (file.name.len() as u16).into(),
            kind: FileType::Regular.get(),
        };
        let entry = [entry.as_bytes(), file.name.as_bytes()].concat();
        self.tree.insert(handle, &keys[2], &entry)?;
        self.tree.insert(handle, &keys[3], &entry)?;
        self.grow_root(handle, 2 * file.name.len() as i64)?;
        let mut offset = 0;
        for (&(addr, len), key) in file.extents.iter().zip(&keys[4..]) {
            let extent = file_extent(handle, addr, len.get());
            self.tree.insert(handle, key, extent.as_bytes())?;
            let data = self.data_ref(file, addr, len.get(), offset);
            match share {
                Share::New => {
                    handle.add_data(&data)?;
                    self.insert_checksums(handle, addr, len.get())?;
                }
                Share::Known => handle.share_data(&data)?,
            }
            offset += len.get();
        }
        Ok(())
    }

    fn take_out(&self, handle: &Handle, file: &File) -> Result {
        // The inode item goes last: blocks are written at any time, and the gate wants it before the others.
        for key in file_keys(file).iter().rev() {
            self.tree.remove(handle, key)?;
        }
        self.grow_root(handle, -2 * file.name.len() as i64)?;
        let mut offset = 0;
        for &(addr, len) in &file.extents {
            handle.release_data(&self.data_ref(file, addr, len.get(), offset))?;
            offset += len.get();
        }
        Ok(())
    }

    fn data_ref(&self, file: &File, addr: Logical, len: u64, offset: u64) -> DataRef {
        DataRef {
            addr,
            len: Bytes::new(len),
            holder: Holder::Tree(self.tree.owner()),
            root: self.tree.owner(),
            inode: ObjectId::new(file.inode),
            offset,
        }
    }

    fn grow_root(&self, handle: &Handle, by: i64) -> Result {
        let root = Key::new(ROOT_DIR, Kind::INODE_ITEM, 0);
        self.tree.update(handle, &root, |bytes| {
            let inode = RawInodeItem::mut_from_bytes(bytes).unwrap();
            inode
                .size
                .set(inode.size.get().checked_add_signed(by).unwrap());
        })
    }

    /// Makes the subvolume `id`, the next one, as a snapshot of this one, with an entry in this one's root directory.
    pub(crate) fn snapshot(&self, id: ObjectId, name: &str) -> Result {
        let options = fs::Options::new();
        let fs = fs::FileSystem::open(self.txns.clone(), options)?;
        let source = fs.subvolumes().get(self.tree.owner())?;
        let dir = fs.inodes().root(&source)?;
        let new = fs::NewSubvolume {
            dir: &dir,
            name: name.as_bytes(),
            uuid: Uuid([id.get() as u8; 16]),
            now: fs::Time::default(),
        };
        assert_eq!(fs.subvolumes().snapshot(&source, &new)?, id);
        self.next.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Extends the item before, if it ends here.
    fn insert_checksums(&self, handle: &Handle, addr: Logical, len: u64) -> Result {
        let size = self.txns.volume().format().checksum.size() as u64;
        let sums = vec![0xa5; (len / SECTOR * size) as usize];
        let key = Key::new(ObjectId::EXTENT_CSUM.get(), Kind::EXTENT_CSUM, addr.get());
        let mut writer = Writer::new(&self.checksums, handle);
        if writer.seek_floor(&key)? == Sought::Found {
            let room = writer.room_here()?;
            let (before, old) = writer
                .item()?
                .map(|(key, bytes)| (key, bytes.len()))
                .unwrap();
            let end = before.offset + old as u64 / size * SECTOR;
            let is_near = before.objectid == key.objectid && end == addr.get();
            if is_near && sums.len() <= room && old + sums.len() < 3000 {
                let item = writer.resize_here(old + sums.len())?;
                item[old..].copy_from_slice(&sums);
                return Ok(());
            }
        }
        writer.insert_here(&key, sums.len())?.copy_from_slice(&sums);
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Share {
    New,
    Known,
}

/// Inode, name, entry, index, extents.
fn file_keys(file: &File) -> Vec<Key> {
    let hash = name_hash(file.name.as_bytes());
    let mut keys = vec![
        Key::new(file.inode, Kind::INODE_ITEM, 0),
        Key::new(file.inode, Kind::INODE_REF, ROOT_DIR),
        Key::new(ROOT_DIR, Kind::DIR_ITEM, hash),
        Key::new(ROOT_DIR, Kind::DIR_INDEX, file.index),
    ];
    let mut offset = 0;
    for (_, len) in &file.extents {
        keys.push(Key::new(file.inode, Kind::EXTENT_DATA, offset));
        offset += len.get();
    }
    keys
}

fn file_extent(handle: &Handle, addr: Logical, len: u64) -> RawFileExtent {
    RawFileExtent {
        head: RawFileExtentHead {
            generation: handle.generation().get().into(),
            ram_bytes: len.into(),
            compression: 0,
            encryption: 0,
            other_encoding: 0.into(),
            kind: 1,
        },
        tail: RawFileExtentTail {
            disk_addr: addr.get().into(),
            disk_len: len.into(),
            offset: 0.into(),
            len: len.into(),
        },
    }
}
