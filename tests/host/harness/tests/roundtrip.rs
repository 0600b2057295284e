// SPDX-License-Identifier: GPL-2.0
//! What is written is what is read: for every decoded item that the engine writes, parsing what was written gives the
//! item back, whatever its members are.

use engine::disk::{
    keyed_ref, BlockGroupFlags, BlockGroupItem, Bytes, ChunkItem, Compression, DevExtent, DevItem,
    DeviceId, DirEntries, DirEntry, EntryTarget, ExtentFlags, ExtentHead, ExtentItem, ExtentState,
    FileExtent, FileRef, FileType, FreeSpaceForm, FreeSpaceInfo, Generation, InlineExtent,
    InlineRef, InodeExtref, InodeExtrefs, InodeFlags, InodeItem, InodeRef, InodeRefs, Key, Kind,
    Logical, NewChunk, ObjectId, Physical, RegularExtent, RootItem, RootRef, Stripe, Timespec,
    Uuid,
};
use harness::random::Random;

const ROUNDS: usize = 2000;

/// Bytes of this length with anything in them: what an item does not set must not show.
fn dirty(random: &mut Random, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    random.fill(&mut bytes);
    bytes
}

fn name(random: &mut Random) -> Vec<u8> {
    let len = 1 + random.below(255) as usize;
    (0..len).map(|_| b'a' + random.below(26) as u8).collect()
}

fn time(random: &mut Random) -> Timespec {
    Timespec {
        sec: random.next() as i64,
        nsec: random.below(1_000_000_000) as u32,
    }
}

fn uuid(random: &mut Random) -> Uuid {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    Uuid(bytes)
}

fn generation(random: &mut Random) -> Generation {
    Generation::new(random.next())
}

fn subvolume(random: &mut Random) -> ObjectId {
    ObjectId::new(256 + random.below(1 << 40))
}

fn each(seed: u64, mut check: impl FnMut(&mut Random)) {
    let mut random = Random::new(seed);
    for _ in 0..ROUNDS {
        check(&mut random);
    }
}

#[test]
fn inodes() {
    each(1, |random| {
        let kinds = [0o100_000, 0o120_000, 0o060_000, 0o010_000, 0o140_000];
        let item = InodeItem {
            generation: generation(random),
            transid: generation(random),
            size: Bytes::new(random.next() >> 1),
            nbytes: Bytes::new(random.next()),
            block_group: random.next(),
            nlink: random.next() as u32,
            uid: random.next() as u32,
            gid: random.next() as u32,
            mode: *random.choose(&kinds) | random.below(0o10_000) as u32,
            rdev: random.next(),
            flags: InodeFlags::new(random.next() & InodeFlags::KNOWN.get()),
            sequence: random.next(),
            atime: time(random),
            ctime: time(random),
            mtime: time(random),
            otime: time(random),
        };
        let mut bytes = dirty(random, InodeItem::SIZE);
        item.write_to(&mut bytes).unwrap();
        assert_eq!(InodeItem::parse(&bytes).unwrap(), item);
        assert!(item.write_to(&mut bytes[1..]).is_err());
    });
}

#[test]
fn names() {
    each(2, |random| {
        let (one, two) = (name(random), name(random));
        let [first, second] = [&one, &two].map(|name| InodeRef {
            index: random.next(),
            name,
        });
        let mut bytes = dirty(random, first.encoded_len() + second.encoded_len());
        let (front, back) = bytes.split_at_mut(first.encoded_len());
        first.write_to(front).unwrap();
        second.write_to(back).unwrap();
        let found: Vec<_> = InodeRefs::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(found, [first, second]);

        let extref = InodeExtref {
            parent: ObjectId::new(random.next()),
            index: random.next(),
            name: &one,
        };
        let mut bytes = dirty(random, extref.encoded_len());
        extref.write_to(&mut bytes).unwrap();
        let found: Vec<_> = InodeExtrefs::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(found, [extref]);

        let root = RootRef {
            dir: subvolume(random),
            sequence: random.next(),
            name: &two,
        };
        let mut bytes = dirty(random, root.encoded_len());
        root.write_to(&mut bytes).unwrap();
        assert_eq!(RootRef::parse(&bytes).unwrap(), root);
        assert!(root.write_to(&mut bytes[1..]).is_err());
    });
}

#[test]
fn entries() {
    each(3, |random| {
        let (name, value) = (name(random), name(random));
        let transid = generation(random);
        let entry = match random.below(3) {
            0 => DirEntry {
                target: EntryTarget::Inode(subvolume(random)),
                transid,
                kind: *random.choose(&[FileType::Regular, FileType::Directory, FileType::Fifo]),
                name: &name,
                value: &[],
            },
            1 => DirEntry {
                target: EntryTarget::Subvolume(subvolume(random)),
                transid,
                kind: FileType::Directory,
                name: &name,
                value: &[],
            },
            _ => DirEntry {
                target: EntryTarget::Attribute,
                transid,
                kind: FileType::Xattr,
                name: &name,
                value: &value,
            },
        };
        let mut bytes = dirty(random, entry.encoded_len());
        entry.write_to(&mut bytes).unwrap();
        let found: Vec<_> = DirEntries::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(found, [entry]);
        bytes.push(0);
        assert!(entry.write_to(&mut bytes).is_err());
    });
}

#[test]
fn file_extents() {
    each(4, |random| {
        let len = 1 + random.below(1 << 40);
        let offset = random.below(1 << 40);
        let extent = RegularExtent {
            generation: generation(random),
            state: *random.choose(&[ExtentState::Written, ExtentState::Preallocated]),
            compression: Compression::None,
            ram_bytes: Bytes::new(random.next()),
            disk_addr: Logical::new(random.below(1 << 50)),
            disk_len: Bytes::new(offset + len),
            offset: Bytes::new(offset),
            len: Bytes::new(len),
        };
        let mut bytes = dirty(random, RegularExtent::SIZE);
        extent.write_to(&mut bytes).unwrap();
        let found = FileExtent::parse(&bytes).unwrap();
        assert_eq!(found, FileExtent::Regular(extent));

        let data = name(random);
        let inline = InlineExtent {
            generation: generation(random),
            ram_bytes: Bytes::from(data.len()),
            compression: Compression::None,
            data: &data,
        };
        let mut bytes = dirty(random, inline.encoded_len());
        inline.write_to(&mut bytes).unwrap();
        let found = FileExtent::parse(&bytes).unwrap();
        assert_eq!(found, FileExtent::Inline(inline));
    });
}

#[test]
fn roots() {
    each(5, |random| {
        let mut bytes = vec![0; RootItem::SIZE];
        let mut item = RootItem::parse(&bytes).unwrap();
        item.generation = generation(random);
        item.root_dir = subvolume(random);
        item.addr = Logical::new(random.next());
        item.level = random.below(8) as u8;
        item.bytes_used = Bytes::new(random.next());
        item.last_snapshot = generation(random);
        item.flags = random.below(2);
        item.refs = random.next() as u32;
        item.drop_progress = random.one_in(2).then(|| {
            let key = Key::new(1 + random.below(1 << 40), Kind::EXTENT_DATA, random.next());
            (key, 1 + random.below(7) as u8)
        });
        let extended = item.extended.as_mut().unwrap();
        extended.uuid = uuid(random);
        extended.parent_uuid = uuid(random);
        extended.received_uuid = uuid(random);
        extended.ctransid = generation(random);
        extended.otransid = generation(random);
        extended.stransid = generation(random);
        extended.rtransid = generation(random);
        extended.ctime = time(random);
        extended.otime = time(random);
        extended.stime = time(random);
        extended.rtime = time(random);
        item.write_to(&mut bytes).unwrap();
        assert_eq!(RootItem::parse(&bytes).unwrap(), item);
        // What an older kernel left behind the members that it knew is not taken for current.
        item.extended = None;
        item.generation = item.generation.next();
        item.write_to(&mut bytes).unwrap();
        assert_eq!(RootItem::parse(&bytes).unwrap(), item);
    });
}

#[test]
fn chunks_and_devices() {
    each(6, |random| {
        let stripes = [0, 1].map(|_| Stripe {
            devid: DeviceId::new(1 + random.below(9)),
            at: Physical::new(random.next()),
            dev_uuid: uuid(random),
        });
        let mirrored = random.one_in(2);
        let chunk = NewChunk {
            len: Bytes::new(random.next()),
            flags: if mirrored {
                BlockGroupFlags::METADATA.with(BlockGroupFlags::DUP)
            } else {
                BlockGroupFlags::DATA
            },
            sector_size: 4096,
            stripes: &stripes[..1 + usize::from(mirrored)],
        };
        let mut bytes = dirty(random, chunk.encoded_len());
        chunk.write_to(&mut bytes).unwrap();
        let found = ChunkItem::parse(&bytes).unwrap();
        assert_eq!(
            (found.len, found.flags, found.sector_size),
            (chunk.len, chunk.flags, chunk.sector_size)
        );
        assert_eq!(found.stripes().collect::<Vec<_>>(), chunk.stripes);

        let total_bytes = random.next();
        let device = DevItem {
            devid: DeviceId::new(1 + random.below(9)),
            total_bytes: Bytes::new(total_bytes),
            bytes_used: Bytes::new(random.below(total_bytes.max(1))),
            uuid: uuid(random),
            fsid: uuid(random),
        };
        let mut bytes = dirty(random, DevItem::SIZE);
        device.write_to(&mut bytes).unwrap();
        assert_eq!(DevItem::parse(&bytes).unwrap(), device);

        let extent = DevExtent {
            start: Physical::new(random.next() >> 1),
            len: Bytes::new(1 + (random.next() >> 2)),
            chunk: Logical::new(random.next()),
        };
        let key = Key::new(1, Kind::DEV_EXTENT, extent.start.get());
        let mut bytes = dirty(random, DevExtent::SIZE);
        extent.write_to(&mut bytes).unwrap();
        assert_eq!(DevExtent::parse(&key, &bytes).unwrap(), extent);
    });
}

#[test]
fn groups_and_free_space() {
    each(7, |random| {
        let key = Key::new(random.next() >> 1, Kind::BLOCK_GROUP_ITEM, 1 << 30);
        let group = BlockGroupItem {
            used: Bytes::new(random.below(1 << 30)),
            flags: *random.choose(&[
                BlockGroupFlags::DATA,
                BlockGroupFlags::METADATA.with(BlockGroupFlags::DUP),
                BlockGroupFlags::SYSTEM,
            ]),
        };
        let mut bytes = dirty(random, BlockGroupItem::SIZE);
        group.write_to(&mut bytes).unwrap();
        assert_eq!(BlockGroupItem::parse(&key, &bytes).unwrap(), group);

        let info = FreeSpaceInfo {
            extent_count: random.next() as u32,
            form: *random.choose(&[FreeSpaceForm::Extents, FreeSpaceForm::Bitmaps]),
        };
        let mut bytes = dirty(random, FreeSpaceInfo::SIZE);
        info.write_to(&mut bytes).unwrap();
        assert_eq!(FreeSpaceInfo::parse(&bytes).unwrap(), info);
    });
}

fn reference(random: &mut Random, data: bool) -> InlineRef {
    let (count, addr) = (1 + random.below(9) as u32, Logical::new(random.next()));
    match (data, random.one_in(2)) {
        (true, true) => InlineRef::SharedData(addr, count),
        (true, false) => InlineRef::Data(FileRef {
            root: subvolume(random),
            inode: subvolume(random),
            offset: random.next(),
            count,
        }),
        (false, true) => InlineRef::SharedBlock(addr),
        (false, false) => InlineRef::TreeBlock(ObjectId::new(random.next())),
    }
}

#[test]
fn extents_and_references() {
    each(8, |random| {
        let data = random.one_in(2);
        let kind = *random.choose(&[Kind::EXTENT_ITEM, Kind::METADATA_ITEM]);
        let kind = if data { Kind::EXTENT_ITEM } else { kind };
        let head = ExtentHead {
            refs: 1 + random.below(1 << 40),
            generation: generation(random),
            flags: if data {
                ExtentFlags::DATA
            } else {
                ExtentFlags::TREE_BLOCK
            },
            block_info: (!data && kind == Kind::EXTENT_ITEM).then(|| {
                let key = Key::new(random.next(), Kind::DIR_ITEM, random.next());
                (key, random.below(8) as u8)
            }),
        };
        let references: Vec<_> = (0..random.below(4))
            .map(|_| reference(random, data))
            .collect();
        let len: usize = references.iter().map(InlineRef::encoded_len).sum();
        let mut bytes = dirty(random, head.encoded_len() + len);
        head.write_to(&mut bytes).unwrap();
        let mut rest = &mut bytes[head.encoded_len()..];
        for reference in &references {
            let (front, behind) = rest.split_at_mut(reference.encoded_len());
            reference.write_to(front).unwrap();
            rest = behind;
        }
        let (found, _) = ExtentHead::parse(kind, &bytes).unwrap();
        assert_eq!(found, head);
        let item = ExtentItem::parse(kind, &bytes).unwrap();
        let found: Vec<_> = item.inline_refs.map(Result::unwrap).collect();
        assert_eq!(found, references);

        for reference in references {
            let offset = reference.sequence();
            let key = Key::new(1 << 30, reference.kind(), offset);
            let mut bytes = dirty(random, reference.keyed_len());
            reference.write_keyed_to(&mut bytes).unwrap();
            assert_eq!(keyed_ref(&key, &bytes).unwrap(), reference);
        }
    });
}
