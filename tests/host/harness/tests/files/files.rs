// SPDX-License-Identifier: GPL-2.0
//! Files of a mounted volume, used as the kernel edge would: one inode object for each, data by whole sectors.

use engine::disk::{Bytes, Checksums, FileOffset, InodeFlags, Logical, ObjectId};
use engine::fs::{
    FileSystem, Inode, MappingKind, OrderedExtent, Subvolume, Target, Times, WriteReservation,
};
use engine::txn::Transactions;
use harness::checksums::HostChecksums;
use harness::device::Image;
use harness::mount::{Access, Mounted, FILE, NOW};
use kernel::prelude::*;
use kernel::sync::Arc;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
/// Bytes of a sector.
pub(crate) const SECTOR: u64 = 4096;
/// A mounted volume.
pub(crate) struct Files {
    pub mounted: Mounted,
    pub fs: Arc<FileSystem>,
    pub top: Subvolume,
    pub root: Arc<Inode>,
}

impl Files {
    /// Mounts a device.
    pub(crate) fn mount(image: Image) -> Self {
        let mounted = Mounted::mount(vec![image], Access::ReadWrite).expect("mount");
        let (fs, top) = (mounted.fs.clone(), mounted.subvolume.clone());
        let root = fs.inodes().root(&top).expect("the topmost directory");
        Self {
            mounted,
            fs,
            top,
            root,
        }
    }

    /// Unmounts; what the device holds then.
    pub(crate) fn unmount(self) -> Image {
        let Self {
            mounted,
            fs,
            top,
            root,
        } = self;
        drop((fs, top, root));
        assert_eq!(mounted.violations(), Vec::<String>::new());
        mounted.unmount().expect("unmount").remove(0)
    }

    /// What the device holds now.
    pub(crate) fn image(&self) -> Image {
        self.mounted.images().remove(0)
    }

    pub(crate) fn txns(&self) -> &Transactions {
        &self.mounted.txns
    }

    /// Makes a file in the topmost directory.
    pub(crate) fn file(&self, name: &[u8]) -> Arc<Inode> {
        self.fs
            .names()
            .create(&self.root, name, &FILE)
            .expect("create")
    }

    /// Where the data of a file are that it has at `at`.
    pub(crate) fn address(&self, inode: &Inode, at: u64) -> Logical {
        let found = self
            .fs
            .mappings()
            .find(inode, FileOffset::new(at), Bytes::new(1));
        match found.expect("a look-up").kind {
            MappingKind::Data { logical } => logical,
            other => panic!("{other:?} at {at}"),
        }
    }

    /// Reads `len` bytes at `at`, checking what has checksums. Zeros behind the end.
    pub(crate) fn read(&self, inode: &Inode, at: u64, len: u64) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        while (out.len() as u64) < len {
            let at = at + out.len() as u64;
            let wanted = len - out.len() as u64;
            let found = self
                .fs
                .mappings()
                .find(inode, FileOffset::new(at), Bytes::new(wanted))?;
            assert!(
                found.len > Bytes::ZERO
                    && found.len <= Bytes::new(wanted)
                    && found.offset.get() == at
            );
            match found.kind {
                MappingKind::Hole | MappingKind::Prealloc { .. } => {
                    out.resize(out.len() + found.len.get() as usize, 0);
                }
                MappingKind::Inline(data) => {
                    let end = out.len() + found.len.get() as usize;
                    out.extend(data.iter().take(found.len.get() as usize));
                    out.resize(end, 0);
                }
                MappingKind::Data { logical } => {
                    let first = at % SECTOR;
                    let start = logical.get() - first;
                    let sectors = (first + found.len.get()).div_ceil(SECTOR);
                    let data = self.read_extent(inode, start, sectors * SECTOR)?;
                    out.extend(&data[first as usize..][..found.len.get() as usize]);
                }
                MappingKind::Compressed(_) => return Err(EOPNOTSUPP),
            }
        }
        Ok(out)
    }

    fn read_extent(&self, inode: &Inode, logical: u64, len: u64) -> Result<Vec<u8>> {
        let logical = Logical::new(logical);
        let mut data = vec![0; len as usize];
        self.mounted.read_data(logical, &mut data)?;
        let kind = self.mounted.volume.format().checksum;
        if let Some(sums) = self.fs.data().checksums(inode, logical, Bytes::new(len))? {
            for (n, sector) in data.chunks(SECTOR as usize).enumerate() {
                let digest = HostChecksums.digest(kind, sector);
                assert_eq!(
                    sums.get(n),
                    Some(&digest[..kind.size()]),
                    "checksum of sector {n}"
                );
            }
        }
        Ok(data)
    }

    /// Writes as the page cache would: whole sectors; a small file goes into the tree.
    pub(crate) fn write(&self, inode: &Inode, offset: u64, data: &[u8]) -> Result {
        let end = offset + data.len() as u64;
        let start = offset / SECTOR * SECTOR;
        let mut sectors = self.read(inode, start, end.next_multiple_of(SECTOR) - start)?;
        let size = inode.attributes().size;
        let known = size
            .saturating_sub(Bytes::new(start))
            .min(Bytes::from(sectors.len()));
        sectors[known.get() as usize..].fill(0);
        sectors[(offset - start) as usize..][..data.len()].copy_from_slice(data);
        let size = size.max(Bytes::new(end));
        if start == 0 && size <= Bytes::from(sectors.len()) {
            let reservation =
                self.fs
                    .data()
                    .reserve_write(inode, FileOffset::new(0), Bytes::new(SECTOR))?;
            let bytes = &sectors[..size.get() as usize];
            if self
                .fs
                .data()
                .write_inline(inode, bytes, reservation)?
                .is_none()
            {
                return Ok(());
            }
        }
        self.write_sectors(inode, start, &sectors, end)
    }

    /// Writes whole sectors in pieces; the user wrote up to `end`.
    pub(crate) fn write_sectors(
        &self,
        inode: &Inode,
        start: u64,
        sectors: &[u8],
        end: u64,
    ) -> Result {
        let len = sectors.len() as u64;
        let reservation =
            self.fs
                .data()
                .reserve_write(inode, FileOffset::new(start), Bytes::new(len))?;
        self.write_reserved(inode, start, sectors, end, reservation)
    }

    /// Writes with space that was promised before.
    pub(crate) fn write_reserved(
        &self,
        inode: &Inode,
        start: u64,
        sectors: &[u8],
        end: u64,
        mut reservation: WriteReservation,
    ) -> Result {
        let len = sectors.len() as u64;
        let mut done = 0;
        while done < len {
            let longest = match len > MIB {
                true => MIB,
                false => SECTOR * (1 + (start / SECTOR + len) % 9),
            };
            let wanted = (len - done).min(longest);
            let data = &sectors[done as usize..][..wanted as usize];
            let ordered = self.to_device(inode, start + done, data, end, &mut reservation)?;
            inode.note_times(&Times {
                mtime: Some(NOW),
                ctime: Some(NOW),
                ..Times::default()
            });
            done += ordered.extent.get().len.get();
            self.fs.data().finish_ordered(inode, ordered)?;
        }
        Ok(())
    }

    /// Brings as much of `sectors` to the device as one extent takes.
    pub(crate) fn to_device(
        &self,
        inode: &Inode,
        start: u64,
        sectors: &[u8],
        end: u64,
        reservation: &mut WriteReservation,
    ) -> Result<OrderedExtent> {
        let most = self.mounted.volume.rules().max_extent_len().get();
        let wanted = (sectors.len() as u64).min(most);
        let mut piece = reservation.split(Bytes::new(wanted))?;
        let mut new = self
            .fs
            .data()
            .allocate_write(&mut piece, Bytes::new(wanted))?;
        let extent = new.get();
        assert!(
            extent.len > Bytes::ZERO
                && extent.len <= Bytes::new(wanted)
                && extent.len.get() % SECTOR == 0
        );
        if extent.len < Bytes::new(wanted) {
            reservation.merge(piece.split(Bytes::new(wanted - extent.len.get()))?);
        }
        let data = &sectors[..extent.len.get() as usize];
        self.mounted.put_data(&mut new, data)?;
        Ok(OrderedExtent {
            ram_len: extent.len,
            offset: FileOffset::new(start),
            extent: new,
            checksums: self.sums(inode, data)?,
            new_size: Bytes::new(end.min(start + extent.len.get())),
            reservation: piece,
        })
    }

    pub(crate) fn sums(&self, inode: &Inode, data: &[u8]) -> Result<KVVec<u8>> {
        let kind = self.mounted.volume.format().checksum;
        let mut sums = KVVec::new();
        if inode.attributes().flags.contains(InodeFlags::NODATASUM) {
            return Ok(sums);
        }
        for sector in data.chunks(SECTOR as usize) {
            let digest = HostChecksums.digest(kind, sector);
            sums.extend_from_slice(&digest[..kind.size()], GFP_KERNEL)?;
        }
        Ok(sums)
    }

    /// The entries of a directory, by name; each is looked up too.
    pub(crate) fn entries(&self, dir: &Inode) -> Result<BTreeMap<Vec<u8>, ObjectId>> {
        let mut entries = BTreeMap::new();
        let mut last = 1;
        self.fs.names().read_dir(dir, 0, &mut |entry| {
            assert!(entry.position > last);
            last = entry.position;
            let Target::Inode(number, _) = entry.target else {
                panic!("{entry:?}");
            };
            assert!(entries.insert(entry.name.to_vec(), number).is_none());
            assert_eq!(self.fs.names().lookup(dir, entry.name)?, Some(entry.target));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(entries)
    }
}
