// SPDX-License-Identifier: GPL-2.0
//! Items, and leaves and nodes of them; the gate's answer.

use engine::disk::raw::*;
use engine::disk::{
    check_block, check_block_to_write, seal_block, BlockContext, ChecksumKind, Child, CompatRo,
    Format, Generation, Incompat, Key, Kind, Logical, Uuid, HEADER_SIZE,
};
use harness::checksums::HostChecksums;
use zerocopy::{FromZeros, IntoBytes};

pub(crate) const NODE: u32 = 16384;
pub(crate) const ADDR: u64 = 1 << 30;
pub(crate) const FS: u64 = 5;
pub(crate) const EXTENT: u64 = 2;
pub(crate) const CHUNK: u64 = 3;
pub(crate) const DEV: u64 = 4;
pub(crate) const ROOT: u64 = 1;
pub(crate) const CSUM: u64 = 7;
pub(crate) const FREE: u64 = 10;

pub(crate) type Item = (Key, Vec<u8>);

pub(crate) fn format() -> Format {
    Format {
        node_size: NODE,
        sector_size: 4096,
        checksum: ChecksumKind::Crc32c,
        metadata_uuid: Uuid([9; 16]),
        incompat: Incompat::SKINNY_METADATA.with(Incompat::NO_HOLES),
        compat_ro: CompatRo::FREE_SPACE_TREE,
    }
}

pub(crate) fn header(owner: u64, level: u8, nritems: usize) -> Vec<u8> {
    let mut block = vec![0; NODE as usize];
    let (header, _) = RawHeader::split_mut(&mut block).unwrap();
    header.fsid = Uuid([9; 16]);
    header.addr.set(ADDR);
    header.flags.set(HEADER_BACKREF_REVISION);
    header.generation.set(10);
    header.owner.set(owner);
    header.nritems.set(nritems as u32);
    header.level = level;
    block
}

pub(crate) fn leaf(owner: u64, items: &[Item]) -> Vec<u8> {
    let mut block = header(owner, 0, items.len());
    let mut end = block.len() - HEADER_SIZE;
    let (_, area) = RawHeader::split_mut(&mut block).unwrap();
    for (slot, (key, data)) in items.iter().enumerate() {
        end -= data.len();
        area[end..end + data.len()].copy_from_slice(data);
        let (raw, _) = RawItem::slice_mut(area, items.len()).unwrap();
        raw[slot].key = (*key).into();
        raw[slot].offset.set(end as u32);
        raw[slot].size.set(data.len() as u32);
    }
    block
}

pub(crate) fn node(children: &[Child]) -> Vec<u8> {
    let mut block = header(FS, 1, children.len());
    let (_, area) = RawHeader::split_mut(&mut block).unwrap();
    for (raw, child) in RawKeyPtr::slice_mut(area, children.len())
        .unwrap()
        .iter_mut()
        .zip(children)
    {
        *raw = (*child).into();
    }
    block
}

fn context(format: &Format) -> BlockContext<'_> {
    BlockContext {
        format,
        checksums: &HostChecksums,
        addr: Logical::new(ADDR),
        owner: None,
        level: None,
        generation: None,
        first_key: None,
        newest: Generation::new(11),
    }
}

pub(crate) fn judge(mut block: Vec<u8>, format: &Format) -> Result<(), &'static str> {
    let context = context(format);
    let write = check_block_to_write(&block, &context);
    seal_block(&mut block, format.checksum, &HostChecksums);
    let read = check_block(&block, &context).map_err(|corrupt| corrupt.flaw.what);
    // What may be written can be read, but for rules between items, which are for reading alone.
    assert!(read.is_err() || write.is_ok());
    read
}

#[track_caller]
pub(crate) fn takes(owner: u64, items: &[Item]) {
    assert_eq!(judge(leaf(owner, items), &format()), Ok(()));
}

#[track_caller]
pub(crate) fn refuses(what: &str, owner: u64, items: &[Item]) {
    assert_eq!(judge(leaf(owner, items), &format()), Err(what));
}

/// It does not go out either.
#[track_caller]
pub(crate) fn refuses_to_write(what: &str, owner: u64, items: &[Item]) {
    let format = format();
    let context = context(&format);
    let written = check_block_to_write(&leaf(owner, items), &context);
    assert_eq!(written.map_err(|corrupt| corrupt.flaw.what), Err(what));
}

/// The item with `bytes` at `at`.
pub(crate) fn with(item: &Item, at: usize, bytes: &[u8]) -> Item {
    let (key, mut data) = item.clone();
    data[at..at + bytes.len()].copy_from_slice(bytes);
    (key, data)
}

/// The item with another length: cut, or longer by zeros.
pub(crate) fn sized(item: &Item, len: usize) -> Item {
    let (key, mut data) = item.clone();
    data.resize(len, 0);
    (key, data)
}

/// The item under another key.
pub(crate) fn keyed(item: &Item, key: Key) -> Item {
    (key, item.1.clone())
}

pub(crate) fn u64s(values: &[u64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

pub(crate) fn inode(number: u64) -> Item {
    let mut raw = RawInodeItem::new_zeroed();
    raw.generation.set(5);
    raw.nlink.set(1);
    raw.mode.set(0o100644);
    (
        Key::new(number, Kind::INODE_ITEM, 0),
        raw.as_bytes().to_vec(),
    )
}
