// SPDX-License-Identifier: GPL-2.0
//! The format's structures, numbers and hashes, against values that C made or that are published.

use engine::disk::raw::*;
use engine::disk::{
    check_seal, crc32c, data_ref_hash, extref_hash, name_hash, seal, BlockGroupFlags, Bytes,
    ChecksumKind, Checksums, Compression, DirEntries, DirEntry, EntryTarget, ExtentState,
    FileExtent, FileType, Generation, Incompat, InlineExtent, InodeFlags, InodeItem, Key, Kind,
    Leaf, Logical, Node, ObjectId, RegularExtent, Timespec, Uuid,
};
use harness::checksums::HostChecksums;
use harness::random::Random;
use zerocopy::{FromZeros, IntoBytes};

/// Bytes of each structure, as `sizeof` in C says.
#[test]
fn sizes() {
    let sizes = [
        (RawKey::SIZE, 17),
        (RawHeader::SIZE, 101),
        (RawItem::SIZE, 25),
        (RawKeyPtr::SIZE, 33),
        (RawInodeItem::SIZE, 160),
        (RawInodeRef::SIZE, 10),
        (RawInodeExtref::SIZE, 18),
        (RawDirItem::SIZE, 30),
        (RawFileExtent::SIZE, 53),
        (RawRootItem::SIZE, 439),
        (OLD_ROOT_ITEM_SIZE, 239),
        (RawRootRef::SIZE, 18),
        (RawExtentItem::SIZE, 24),
        (RawTreeBlockInfo::SIZE, 18),
        (RawInlineRef::SIZE, 9),
        (RawDataRef::SIZE, 28),
        (RawBlockGroup::SIZE, 24),
        (RawDevItem::SIZE, 98),
        (RawChunk::SIZE + RawStripe::SIZE, 80),
        (RawDevExtent::SIZE, 48),
        (RawCacheHeader::SIZE, 41),
        (RawCacheEntry::SIZE, 17),
        (RawBalance::SIZE, 448),
        (RawSuperblock::SIZE, 4096),
    ];
    for (found, expected) in sizes {
        assert_eq!(found, expected);
    }
}

/// Where members are that others go wrong with, as `offsetof` in C says.
#[test]
fn offsets() {
    let raw = RawSuperblock::new_zeroed();
    let base = raw.as_bytes().as_ptr() as usize;
    let offset = |at: usize| at - base;
    assert_eq!(offset(std::ptr::from_ref(&raw.magic) as usize), 0x40);
    assert_eq!(offset(std::ptr::from_ref(&raw.dev_item) as usize), 0xc9);
    assert_eq!(offset(std::ptr::from_ref(&raw.label) as usize), 0x12b);
    assert_eq!(
        offset(std::ptr::from_ref(&raw.metadata_uuid) as usize),
        0x23b
    );
    assert_eq!(
        offset(std::ptr::from_ref(&raw.sys_chunk_array) as usize),
        0x32b
    );
    assert_eq!(offset(std::ptr::from_ref(&raw.backups) as usize), 0xb2b);
}

#[test]
fn hashes() {
    // `btrfs_name_hash("default")`: the key of that entry in every root tree.
    assert_eq!(name_hash(b"default"), 2_378_154_706);
    // The check value of the CRC catalogue.
    assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    let mut random = Random::new(9);
    for len in 0..300 {
        let mut data = vec![0; len];
        random.fill(&mut data);
        let seed = random.next() as u32;
        let other = HostChecksums.crc32c(seed, &data);
        assert_eq!(crc32c(seed, &data), other, "{len} bytes");
        let (one, two) = data.split_at(len / 3);
        assert_eq!(crc32c(crc32c(seed, one), two), other);
    }
    let parent = 0x1_0000_0102;
    assert_eq!(extref_hash(parent, b"x"), u64::from(crc32c(0x102, b"x")));
    let (root, inode, offset) = (5u64, 257u64, 4096u64);
    let high = u64::from(crc32c(!0, &root.to_le_bytes()));
    let low = crc32c(crc32c(!0, &inode.to_le_bytes()), &offset.to_le_bytes());
    assert_eq!(
        data_ref_hash(root, inode, offset),
        (high << 31) ^ u64::from(low)
    );
}

#[test]
fn checksums_seal() {
    for number in 0..4 {
        let kind = ChecksumKind::try_from(number).unwrap();
        let mut bytes = vec![7; 4096];
        seal(&mut bytes, kind, &HostChecksums);
        assert_eq!(check_seal(&bytes, kind, &HostChecksums), Ok(()));
        for at in [0, kind.size() - 1, 32, 4095] {
            bytes[at] ^= 4;
            let flaw = check_seal(&bytes, kind, &HostChecksums).unwrap_err();
            assert_eq!(flaw.what, "checksum is wrong", "{kind:?} at {at}");
            bytes[at] ^= 4;
        }
    }
    assert!(ChecksumKind::try_from(4).is_err());
    assert!(check_seal(&[0; 31], ChecksumKind::Crc32c, &HostChecksums).is_err());
}

#[test]
fn well_known_numbers() {
    assert_eq!(ObjectId::DATA_RELOC_TREE.get(), -9i64 as u64);
    assert_eq!(ObjectId::LAST_FREE.get(), -256i64 as u64);
    assert_eq!(ObjectId::EXTENT_CSUM.get(), -10i64 as u64);
    for (id, expected) in [
        (5, true),
        (4, false),
        (255, false),
        (256, true),
        (1 << 48, false),
    ] {
        assert_eq!(ObjectId::new(id).is_subvolume(), expected, "{id}");
    }
    assert!(!ObjectId::DATA_RELOC_TREE.is_subvolume());
    assert!(Key::new(1, Kind::INODE_ITEM, u64::MAX) < Key::new(1, Kind::INODE_REF, 0));
    let features = Incompat::ZONED.with(Incompat::new(1 << 63));
    assert_eq!(
        format!("{}", kernel::fmt::Adapter(&features)),
        "ZONED bit 63"
    );
    assert_eq!(BlockGroupFlags::new(0x22).profile(), BlockGroupFlags::DUP);
    let uuid = Uuid(core::array::from_fn(|i| i as u8));
    let text = format!("{}", kernel::fmt::Adapter(&uuid));
    assert_eq!(text, "00010203-0405-0607-0809-0a0b0c0d0e0f");
}

#[test]
fn items_go_there_and_back() {
    let inode = InodeItem {
        generation: Generation::new(7),
        transid: Generation::new(8),
        size: Bytes::new(9),
        nbytes: Bytes::new(10),
        block_group: 0,
        nlink: 1,
        uid: 11,
        gid: 12,
        mode: 0o100644,
        rdev: 0,
        flags: InodeFlags::NODATASUM,
        sequence: 13,
        atime: Timespec {
            sec: -5,
            nsec: 999_999_999,
        },
        ctime: Timespec { sec: 1, nsec: 2 },
        mtime: Timespec::default(),
        otime: Timespec {
            sec: i64::MAX,
            nsec: 0,
        },
    };
    let mut bytes = [0; InodeItem::SIZE];
    inode.write_to(&mut bytes).unwrap();
    assert_eq!(InodeItem::parse(&bytes).unwrap(), inode);

    let extent = RegularExtent {
        generation: Generation::new(3),
        state: ExtentState::Written,
        compression: Compression::Zstd,
        ram_bytes: Bytes::new(131_072),
        disk_addr: Logical::new(1 << 30),
        disk_len: Bytes::new(4096),
        offset: Bytes::new(8192),
        len: Bytes::new(4096),
    };
    let raw = RawFileExtent::from(&extent);
    assert_eq!(
        FileExtent::parse(raw.as_bytes()).unwrap(),
        FileExtent::Regular(extent)
    );
    let data = b"hello";
    let inline = InlineExtent {
        generation: Generation::new(3),
        ram_bytes: Bytes::new(5),
        compression: Compression::None,
        data,
    };
    let bytes = [RawFileExtentHead::from(&inline).as_bytes(), data].concat();
    assert_eq!(
        FileExtent::parse(&bytes[..]).unwrap(),
        FileExtent::Inline(inline)
    );

    let entries = [
        DirEntry {
            target: EntryTarget::Inode(ObjectId::new(300)),
            transid: Generation::new(4),
            kind: FileType::Regular,
            name: b"a name",
            value: b"",
        },
        DirEntry {
            target: EntryTarget::Subvolume(ObjectId::new(256)),
            transid: Generation::new(5),
            kind: FileType::Directory,
            name: b"sub",
            value: b"",
        },
        DirEntry {
            target: EntryTarget::Attribute,
            transid: Generation::new(6),
            kind: FileType::Xattr,
            name: b"user.x/y",
            value: b"value",
        },
    ];
    let mut bytes = Vec::new();
    for entry in &entries {
        bytes.extend_from_slice(&written(entry));
    }
    let found: Vec<_> = DirEntries::new(&bytes).map(Result::unwrap).collect();
    assert_eq!(found, entries);
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "12345678/",
        "1234567/abc",
        "nul\0",
        "0123456\0",
    ] {
        let entry = DirEntry {
            name: name.as_bytes(),
            ..entries[0]
        };
        let bytes = written(&entry);
        assert!(
            DirEntries::new(&bytes).any(|entry| entry.is_err()),
            "{name:?}"
        );
    }
    for name in ["...", ".a", "0123456789", "\u{2f00}"] {
        let entry = DirEntry {
            name: name.as_bytes(),
            ..entries[0]
        };
        let bytes = written(&entry);
        assert!(
            DirEntries::new(&bytes).all(|entry| entry.is_ok()),
            "{name:?}"
        );
    }
}

fn written(entry: &DirEntry<'_>) -> Vec<u8> {
    let mut bytes = vec![0; entry.encoded_len()];
    entry.write_to(&mut bytes).unwrap();
    bytes
}

/// The views show what fits of anything, and a search in them is that of a sorted list.
#[test]
fn views_take_any_bytes() {
    let mut random = Random::new(11);
    for _ in 0..3000 {
        let mut bytes = vec![0; random.below(600) as usize];
        random.fill(&mut bytes);
        if bytes.len() > 100 && random.one_in(2) {
            bytes[96..100].copy_from_slice(&(random.below(30) as u32).to_le_bytes());
        }
        let (leaf, node) = (Leaf::new(&bytes), Node::new(&bytes));
        for slot in 0..leaf.nritems() + 2 {
            let _ = (leaf.item(slot), node.child(slot), leaf.free_space());
        }
        let key = Key::new(random.next(), Kind::DIR_ITEM, random.next());
        let _ = (leaf.search(&key), node.search(&key), node.descend(&key));
    }
    let keys: Vec<_> = (0..17u64)
        .map(|i| Key::new(10 + i / 3, Kind::DIR_ITEM, i * 10))
        .collect();
    let mut block = vec![0; 4096];
    let (header, area) = RawHeader::split_mut(&mut block).unwrap();
    header.nritems.set(17);
    let (items, _) = RawItem::slice_mut(area, 17).unwrap();
    for (item, key) in items.iter_mut().zip(&keys) {
        item.key = (*key).into();
    }
    let leaf = Leaf::new(&block);
    for objectid in 9..18 {
        for offset in 0..180 {
            let key = Key::new(objectid, Kind::DIR_ITEM, offset);
            assert_eq!(leaf.search(&key), keys.binary_search(&key));
        }
    }
}
