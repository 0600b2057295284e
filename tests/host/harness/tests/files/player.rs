// SPDX-License-Identifier: GPL-2.0
//! Plays histories on a mounted file system, as the kernel edge would.

use crate::mounted::Mounted;
use engine::disk::{FileOffset, FileType, InodeFlags, ObjectId};
use engine::fs::{
    Access, Attributes, Changes, FileSystem, FinishedWrite, Inode, MappingKind, New, NewKind,
    Options, Rename, RenameMode, Side, Subvolume, Target, Time, XattrMode,
};
use engine::volume::device::Device;
use harness::checksums::HostChecksums;
use harness::device::Image;
use harness::history::{Contents, File, How, Id, Kind, Op, Open, Path, Place, Snapshot, ROOT};
use harness::history::{Model, XattrMode as ModelXattrMode};
use kernel::prelude::*;
use kernel::sync::Arc;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::vec::Vec;

/// Bytes of a sector.
pub const SECTOR: u64 = 4096;

/// A mounted file system and the inodes that somebody uses.
pub struct Player {
    /// The layers below.
    pub mounted: Mounted,
    /// The layer under test.
    pub fs: Arc<FileSystem>,
    /// The top level subvolume.
    pub top: Arc<Subvolume>,
    /// The number of each file of the history.
    numbers: HashMap<Id, ObjectId>,
    /// Inodes in use: one object each.
    inodes: HashMap<ObjectId, Arc<Inode>>,
    /// Files without a name that are open.
    open: Vec<Id>,
    now: i64,
    /// Whether small files go into the tree.
    pub inline: bool,
}

fn type_bits(kind: &Kind) -> u32 {
    match kind {
        Kind::File => 0o100000,
        Kind::Directory => 0o040000,
        Kind::Symlink(_) => 0o120000,
        Kind::Device(_) => 0o020000,
        Kind::Fifo => 0o010000,
    }
}

fn bytes(vec: &KVec<u8>) -> Vec<u8> {
    vec.to_vec()
}

impl Player {
    /// Mounts an image whose files are not of the history.
    pub fn mount(image: Image) -> Result<Self> {
        Self::with(Mounted::mount(image)?)
    }

    /// Uses what is mounted.
    pub fn with(mounted: Mounted) -> Result<Self> {
        let fs = FileSystem::open(mounted.txns.clone(), Options::new(Access::ReadWrite))?;
        let top = fs.subvolume(ObjectId::FS_TREE)?;
        fs.clean_orphans(&top)?;
        let numbers = HashMap::from([(ROOT, top.root_directory())]);
        Ok(Self {
            mounted,
            fs,
            top,
            numbers,
            inodes: HashMap::new(),
            open: Vec::new(),
            now: 0,
            inline: true,
        })
    }

    /// A new file system whose root directory is as the model's.
    pub fn new(image: Image) -> Result<Self> {
        let mut player = Self::mount(image)?;
        let root = player.inode(ROOT)?;
        let start = Time { sec: 0, nsec: 0 };
        let changes = Changes {
            mode: Some(0o040755),
            mtime: Some(start),
            ..Changes::default()
        };
        player.fs.set_attributes(&root, &changes)?;
        Ok(player)
    }

    /// The last commit; what the device holds then.
    pub fn unmount(self) -> Image {
        drop((self.inodes, self.top, self.fs));
        self.mounted.unmount()
    }

    /// Plays on after a mount: the history goes on.
    pub fn remount(self) -> Result<Self> {
        let (numbers, now, inline) = (self.numbers.clone(), self.now, self.inline);
        let player = Self::mount(self.unmount())?;
        Ok(Self {
            numbers,
            now,
            inline,
            ..player
        })
    }

    /// A step that the player did not see.
    pub fn tick(&mut self) {
        self.now += 1;
    }

    fn time(&self) -> Time {
        Time {
            sec: self.now,
            nsec: 7,
        }
    }

    /// The inode object of a number.
    pub fn inode_at(&mut self, number: ObjectId) -> Result<Arc<Inode>> {
        if let Some(inode) = self.inodes.get(&number) {
            return Ok(inode.clone());
        }
        let inode = self.fs.inode(&self.top, number)?;
        self.inodes.insert(number, inode.clone());
        Ok(inode)
    }

    /// The inode of a file of the history.
    pub fn inode(&mut self, id: Id) -> Result<Arc<Inode>> {
        self.inode_at(self.numbers[&id])
    }

    fn target(&mut self, at: &Place) -> Result<Option<Arc<Inode>>> {
        let dir = self.inode(at.dir)?;
        match self.fs.lookup(&dir, &at.name)? {
            None => Ok(None),
            Some(Target::Inode(number, kind)) => {
                let inode = self.inode_at(number)?;
                assert_eq!(Some(kind), inode.attributes().file_type());
                Ok(Some(inode))
            }
            Some(other) => panic!("{other:?}"),
        }
    }

    fn new_inode<'a>(&self, kind: &'a Kind, mode: u32) -> New<'a> {
        New {
            kind: match kind {
                Kind::File => NewKind::File,
                Kind::Directory => NewKind::Directory,
                Kind::Symlink(target) => NewKind::Symlink(target),
                Kind::Device(number) => NewKind::Device(*number),
                Kind::Fifo => NewKind::Fifo,
            },
            mode: type_bits(kind) | mode,
            uid: 0,
            gid: 0,
            now: self.time(),
            xattrs: &[],
        }
    }

    fn adopt(&mut self, id: Id, inode: Arc<Inode>) {
        self.numbers.insert(id, inode.number());
        assert!(
            self.inodes.insert(inode.number(), inode).is_none(),
            "a number was given twice"
        );
    }

    /// The last user of an inode went, unless it is open.
    fn put(&mut self, inode: Arc<Inode>) -> Result {
        let open = self
            .open
            .iter()
            .any(|id| self.numbers[id] == inode.number());
        if inode.attributes().nlink == 0 && !open {
            self.fs.evict(&inode)?;
            self.inodes.remove(&inode.number());
        }
        Ok(())
    }

    /// Does a step.
    pub fn apply(&mut self, op: &Op) -> Result {
        self.now += 1;
        let now = self.time();
        match op {
            Op::Create { id, at, kind, mode } => {
                let dir = self.inode(at.dir)?;
                let inode = self
                    .fs
                    .create(&dir, &at.name, &self.new_inode(kind, *mode))?;
                self.adopt(*id, inode);
            }
            Op::CreateUnnamed { id, dir } => {
                let dir = self.inode(*dir)?;
                let new = self.new_inode(&Kind::File, 0o600);
                let inode = self.fs.create_unnamed(&dir, &new)?;
                self.adopt(*id, inode);
                self.open.push(*id);
            }
            Op::Link { id, at } => {
                let (dir, inode) = (self.inode(at.dir)?, self.inode(*id)?);
                self.fs.link(&dir, &at.name, &inode, now)?;
                self.open.retain(|open| open != id);
            }
            Op::Unlink { at, open } => {
                let (dir, inode) = (self.inode(at.dir)?, self.target(at)?.ok_or(ENOENT)?);
                self.fs.unlink(&dir, &at.name, &inode, now)?;
                if *open == Open::Yes {
                    let found = self
                        .numbers
                        .iter()
                        .find(|(_, number)| **number == inode.number());
                    self.open.push(*found.unwrap().0);
                }
                self.put(inode)?;
            }
            Op::Close { id } => {
                self.open.retain(|open| open != id);
                let inode = self.inode(*id)?;
                self.put(inode)?;
            }
            Op::Rmdir { at } => {
                let (dir, inode) = (self.inode(at.dir)?, self.target(at)?.ok_or(ENOENT)?);
                self.fs.rmdir(&dir, &at.name, &inode, now)?;
                self.put(inode)?;
            }
            Op::Rename { from, to, how } => self.rename(from, to, how)?,
            Op::Write {
                id,
                offset,
                len,
                seed,
            } => {
                let inode = self.inode(*id)?;
                self.write(&inode, *offset, &Op::bytes(*len, *seed))?;
            }
            Op::Truncate { id, size } => {
                let inode = self.inode(*id)?;
                self.truncate(&inode, *size)?;
            }
            Op::PunchHole { id, offset, len } => {
                let inode = self.inode(*id)?;
                self.punch(&inode, *offset, *len)?;
            }
            Op::Preallocate { id, offset, len } => {
                let inode = self.inode(*id)?;
                self.preallocate(&inode, *offset, *len)?;
            }
            Op::SetXattr {
                id,
                name,
                value,
                mode,
            } => {
                let inode = self.inode(*id)?;
                let mode = match mode {
                    ModelXattrMode::Any => XattrMode::Any,
                    ModelXattrMode::Create => XattrMode::Create,
                    ModelXattrMode::Replace => XattrMode::Replace,
                };
                self.fs.set_xattr(&inode, name, value, mode, now)?;
            }
            Op::RemoveXattr { id, name } => {
                let inode = self.inode(*id)?;
                self.fs.remove_xattr(&inode, name, now)?;
            }
            Op::SetAttributes { id, mode, owner } => {
                let inode = self.inode(*id)?;
                let kind = inode.attributes().mode & 0o170000;
                let changes = Changes {
                    mode: Some(kind | mode),
                    uid: Some(*owner),
                    gid: Some(*owner),
                    ctime: Some(now),
                    ..Changes::default()
                };
                self.fs.set_attributes(&inode, &changes)?;
            }
            Op::Sync => self.mounted.txns.commit()?,
            Op::Fsync { id } => {
                let inode = self.inode(*id)?;
                self.fs.sync(&inode)?;
                assert!(inode.attributes().changed_in() <= self.mounted.txns.committed());
            }
            Op::DropCaches => {
                self.inodes.retain(|_, inode| inode.attributes().nlink == 0);
                self.mounted.store.shrink();
            }
            Op::Remount => panic!("Player::remount"),
        }
        Ok(())
    }

    fn rename(&mut self, from: &Place, to: &Place, how: &How) -> Result {
        let now = self.time();
        let (from_dir, to_dir) = (self.inode(from.dir)?, self.inode(to.dir)?);
        let moved = self.target(from)?.ok_or(ENOENT)?;
        let there = self.target(to)?;
        let hole = self.new_inode(&Kind::Device(0), 0);
        let mode = match how {
            How::Exchange => RenameMode::Exchange(there.as_deref().ok_or(ENOENT)?),
            How::NoReplace => RenameMode::Move {
                replaced: None,
                whiteout: None,
            },
            How::Replace => RenameMode::Move {
                replaced: there.as_deref(),
                whiteout: None,
            },
            How::Whiteout(_) => RenameMode::Move {
                replaced: there.as_deref(),
                whiteout: Some(&hole),
            },
        };
        self.fs.rename(&Rename {
            from: Side {
                dir: &from_dir,
                name: &from.name,
            },
            to: Side {
                dir: &to_dir,
                name: &to.name,
            },
            moved: &moved,
            mode,
            now,
        })?;
        if let How::Whiteout(id) = how {
            let whiteout = self.target(from)?.ok_or(ENOENT)?;
            self.numbers.insert(*id, whiteout.number());
        }
        match there {
            Some(there) if !matches!(how, How::Exchange) => self.put(there),
            _ => Ok(()),
        }
    }

    // ---- data ----

    /// Reads `len` bytes at `at`, checking what has checksums. Zeros behind the end.
    pub fn read(&self, inode: &Inode, at: u64, len: u64) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        while (out.len() as u64) < len {
            let at = at + out.len() as u64;
            let wanted = len - out.len() as u64;
            let found = self.fs.map(inode, FileOffset::new(at), wanted)?;
            assert!(found.len > 0 && found.len <= wanted && found.offset.get() == at);
            match found.kind {
                MappingKind::Hole | MappingKind::Prealloc { .. } => {
                    out.resize(out.len() + found.len as usize, 0);
                }
                MappingKind::Inline(data) => {
                    let end = out.len() + found.len as usize;
                    out.extend(data.iter().take(found.len as usize));
                    out.resize(end, 0);
                }
                MappingKind::Data { logical } => {
                    let first = at % SECTOR;
                    let start = logical.get() - first;
                    let sectors = (first + found.len).div_ceil(SECTOR);
                    let data = self.read_extent(inode, start, sectors * SECTOR)?;
                    out.extend(&data[first as usize..][..found.len as usize]);
                }
                MappingKind::Compressed(_) => return Err(EOPNOTSUPP),
            }
        }
        Ok(out)
    }

    fn read_extent(&self, inode: &Inode, logical: u64, len: u64) -> Result<Vec<u8>> {
        let volume = self.mounted.txns.volume();
        let logical = engine::disk::Logical::new(logical);
        let mut data = vec![0; len as usize];
        let mut done = 0;
        while done < len {
            let at = logical.checked_add(done).unwrap();
            let mapping = volume.map(at, len - done)?;
            let place = mapping.copies()[0];
            let piece = &mut data[done as usize..][..mapping.len as usize];
            self.mounted.device.read(place.at, piece)?;
            done += mapping.len;
        }
        let kind = volume.format().checksum;
        if let Some(sums) = self.fs.checksums(inode, logical, len)? {
            for (n, sector) in data.chunks(SECTOR as usize).enumerate() {
                let digest = engine::disk::Checksums::digest(&HostChecksums, kind, sector);
                assert_eq!(
                    sums.get(n),
                    Some(&digest[..kind.size()]),
                    "checksum of sector {n}"
                );
            }
        }
        Ok(data)
    }

    /// Writes as the page cache would: whole sectors.
    pub fn write(&mut self, inode: &Inode, offset: u64, data: &[u8]) -> Result {
        let end = offset + data.len() as u64;
        let start = offset / SECTOR * SECTOR;
        let mut sectors = self.read(inode, start, end.next_multiple_of(SECTOR) - start)?;
        let size = inode.attributes().size;
        let known = size.saturating_sub(start).min(sectors.len() as u64);
        sectors[known as usize..].fill(0);
        sectors[(offset - start) as usize..][..data.len()].copy_from_slice(data);
        if !data.is_empty() {
            self.write_sectors(inode, start, &sectors, end)?;
        }
        Ok(())
    }

    /// Writes whole sectors; the user wrote up to `end`.
    pub fn write_sectors(&self, inode: &Inode, start: u64, sectors: &[u8], end: u64) -> Result {
        let len = sectors.len() as u64;
        let mut reservation = self.fs.reserve_write(inode, FileOffset::new(start), len)?;
        let size = inode.attributes().size.max(end);
        if start == 0 && size <= len && self.inline {
            match self
                .fs
                .write_inline(inode, &sectors[..size as usize], reservation)?
            {
                None => {
                    inode.note_times(&self.changed());
                    return Ok(());
                }
                Some(rest) => reservation = rest,
            }
        }
        let mut done = 0;
        while done < len {
            let wanted = (len - done).min(SECTOR * (1 + (start / SECTOR + len) % 9));
            let mut piece = reservation.split(wanted)?;
            let extent = self.fs.allocate_write(&mut piece, wanted)?;
            assert!(extent.len > 0 && extent.len <= wanted && extent.len % SECTOR == 0);
            if extent.len < wanted {
                reservation.merge(piece.split(wanted - extent.len)?);
            }
            let data = &sectors[done as usize..][..extent.len as usize];
            self.write_extent(extent.logical, data)?;
            let finished = FinishedWrite {
                offset: FileOffset::new(start + done),
                extent,
                checksums: &self.sums(inode, data),
                new_size: end.min(start + done + extent.len),
                now: Some(self.time()),
            };
            self.fs.finish_write(inode, &finished, piece)?;
            done += extent.len;
        }
        Ok(())
    }

    fn changed(&self) -> engine::fs::Times {
        engine::fs::Times {
            mtime: Some(self.time()),
            ctime: Some(self.time()),
            ..Default::default()
        }
    }

    fn sums(&self, inode: &Inode, data: &[u8]) -> Vec<u8> {
        let kind = self.mounted.txns.volume().format().checksum;
        if inode.attributes().flags.contains(InodeFlags::NODATASUM) {
            return Vec::new();
        }
        let digest = |sector: &[u8]| engine::disk::Checksums::digest(&HostChecksums, kind, sector);
        data.chunks(SECTOR as usize)
            .flat_map(|s| digest(s)[..kind.size()].to_vec())
            .collect()
    }

    fn write_extent(&self, logical: engine::disk::Logical, data: &[u8]) -> Result {
        let volume = self.mounted.txns.volume();
        let mut done = 0;
        while done < data.len() as u64 {
            let at = logical.checked_add(done).unwrap();
            let mapping = volume.map(at, data.len() as u64 - done)?;
            let piece = &data[done as usize..][..mapping.len as usize];
            for place in mapping.copies() {
                self.mounted.device.write(place.at, piece)?;
            }
            done += mapping.len;
        }
        Ok(())
    }

    /// Makes the rest of the sector at the end of the file zero, as the page cache does.
    fn zero_range(&mut self, inode: &Inode, start: u64, end: u64) -> Result {
        let end = end.min(inode.attributes().size);
        if start < end
            && self
                .read(inode, start, end - start)?
                .iter()
                .any(|byte| *byte != 0)
        {
            let zeros = vec![0; (end - start) as usize];
            self.write(inode, start, &zeros)?;
        }
        Ok(())
    }

    fn truncate(&mut self, inode: &Inode, size: u64) -> Result {
        if size < inode.attributes().size {
            self.zero_range(inode, size, size.next_multiple_of(SECTOR))?;
        }
        self.fs.truncate(inode, size, self.time())
    }

    fn punch(&mut self, inode: &Inode, offset: u64, len: u64) -> Result {
        let end = (offset + len).min(inode.attributes().size);
        if offset >= end {
            inode.note_times(&self.changed());
            return Ok(());
        }
        let inner_start = offset.next_multiple_of(SECTOR);
        let is_last = end == inode.attributes().size;
        let inner_end = if is_last {
            end.next_multiple_of(SECTOR)
        } else {
            end / SECTOR * SECTOR
        };
        if inner_start >= inner_end {
            self.zero_range(inode, offset, end)?;
        } else {
            self.zero_range(inode, offset, inner_start)?;
            self.zero_range(inode, inner_end, end)?;
            let offset = FileOffset::new(inner_start);
            self.fs
                .punch_hole(inode, offset, inner_end - inner_start, self.time())?;
        }
        inode.note_times(&self.changed());
        Ok(())
    }

    fn preallocate(&mut self, inode: &Inode, offset: u64, len: u64) -> Result {
        let start = offset / SECTOR * SECTOR;
        let end = (offset + len).next_multiple_of(SECTOR);
        let new_size = Some(offset + len);
        let at = FileOffset::new(start);
        match self
            .fs
            .preallocate(inode, at, end - start, new_size, self.time())
        {
            // On zoned volumes there is no such thing.
            Err(error) if error == EOPNOTSUPP => {
                let size = inode.attributes().size.max(offset + len);
                self.fs.truncate(inode, size, self.time())
            }
            other => other,
        }
    }

    // ---- all that users can see ----

    /// All that users can see.
    pub fn snapshot(&mut self) -> Result<Snapshot> {
        let mut snapshot = Snapshot::default();
        let mut paths = BTreeMap::new();
        let root = self.inode(ROOT)?;
        self.visit(&root, &mut Path::new(), &mut paths, &mut snapshot)?;
        Ok(snapshot)
    }

    fn visit(
        &mut self,
        inode: &Arc<Inode>,
        path: &mut Path,
        paths: &mut BTreeMap<ObjectId, Path>,
        snapshot: &mut Snapshot,
    ) -> Result {
        let attributes = inode.attributes();
        let first_path = paths
            .entry(inode.number())
            .or_insert_with(|| path.clone())
            .clone();
        snapshot
            .files
            .insert(path.clone(), self.file(inode, &attributes, first_path)?);
        if !attributes.is_directory() {
            return Ok(());
        }
        for (name, number) in self.entries(inode)? {
            let len = path.len();
            path.push(b'/');
            path.extend_from_slice(&name);
            let child = self.inode_at(number)?;
            self.visit(&child, path, paths, snapshot)?;
            path.truncate(len);
        }
        Ok(())
    }

    /// The entries of a directory, by name; each is looked up too.
    pub fn entries(&self, dir: &Inode) -> Result<BTreeMap<Vec<u8>, ObjectId>> {
        let mut entries = BTreeMap::new();
        let mut last = 1;
        self.fs.read_dir(dir, 0, &mut |entry| {
            assert!(entry.position > last);
            last = entry.position;
            let Target::Inode(number, _) = entry.target else {
                panic!("{entry:?}");
            };
            assert!(entries.insert(entry.name.to_vec(), number).is_none());
            assert_eq!(self.fs.lookup(dir, entry.name)?, Some(entry.target));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(entries)
    }

    fn file(&mut self, inode: &Inode, attributes: &Attributes, first_path: Path) -> Result<File> {
        let kind = match attributes.file_type().unwrap() {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink(bytes(&self.fs.read_link(inode)?)),
            FileType::CharDevice => Kind::Device(attributes.rdev),
            FileType::Fifo => Kind::Fifo,
            _ => Kind::File,
        };
        let mut contents = Contents::default();
        if kind == Kind::File {
            contents = self.contents(inode, attributes.size)?;
        }
        Ok(File {
            first_path,
            kind,
            mode: attributes.mode & 0o7777,
            owner: attributes.uid,
            links: attributes.nlink,
            mtime: attributes.mtime.sec,
            contents,
            xattrs: self.xattrs(inode)?,
        })
    }

    fn contents(&mut self, inode: &Inode, size: u64) -> Result<Contents> {
        let mut contents = Contents::default();
        let mut at = 0;
        while at < size {
            let found = self.fs.map(inode, FileOffset::new(at), size - at)?;
            let len = found.len.min(1 << 20);
            if !matches!(found.kind, MappingKind::Hole | MappingKind::Prealloc { .. }) {
                contents.write(at, &self.read(inode, at, len)?);
            }
            at += if matches!(found.kind, MappingKind::Hole) {
                found.len
            } else {
                len
            };
        }
        contents.grow(size);
        Ok(contents)
    }

    fn xattrs(&self, inode: &Inode) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut names = Vec::new();
        self.fs.list_xattrs(inode, &mut |name| {
            names.push(name.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        let mut xattrs = BTreeMap::new();
        for name in names {
            let value = self
                .fs
                .get_xattr(inode, &name)?
                .expect("a listed attribute");
            assert!(xattrs.insert(name, bytes(&value)).is_none());
        }
        Ok(xattrs)
    }

    /// Fails where the file system shows other than the model.
    pub fn compare(&mut self, model: &Model) {
        let seen = self.snapshot().expect("all can be read");
        assert_eq!(model.snapshot().compare(&seen), Vec::<String>::new());
    }
}
