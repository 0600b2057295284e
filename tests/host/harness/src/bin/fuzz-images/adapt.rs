// SPDX-License-Identifier: GPL-2.0
//! Most images that fuzzers were fed are small, so that `mkfs.btrfs` put data and metadata into the same chunks, which the
//! engine does not support and says so at once. Without that flag, everywhere, it goes on to what the fuzzer changed.

use engine::disk::raw::{
    RawBlockGroup, RawChunk, RawHeader, RawItem, RawKey, RawStripe, RawSuperblock,
};
use engine::disk::{BlockGroupFlags, Incompat, Kind};
use zerocopy::{little_endian::U64, FromBytes};

/// Takes the flag from a superblock.
pub(crate) fn superblock(raw: &mut RawSuperblock) {
    let features = Incompat::new(raw.incompat_flags.get()).without(Incompat::MIXED_GROUPS);
    raw.incompat_flags.set(features.get());
    let len = raw.sys_chunk_array_size.get() as usize;
    let mut at = 0;
    while at < len {
        let chunk = raw.sys_chunk_array.get_mut(at + RawKey::SIZE..);
        let Some(chunk) = chunk.and_then(first::<RawChunk>) else {
            return;
        };
        unmix(&mut chunk.flags);
        let stripes = usize::from(chunk.num_stripes.get());
        at += RawKey::SIZE + RawChunk::SIZE + RawStripe::SIZE * stripes;
    }
}

/// Takes the flag from the chunks and block groups in a leaf.
pub(crate) fn leaf(bytes: &mut [u8]) {
    let Ok((header, rest)) = RawHeader::mut_from_prefix(bytes) else {
        return;
    };
    let items = (header.nritems.get() as usize).min(rest.len() / RawItem::SIZE);
    for slot in 0..items {
        let Ok((item, _)) = RawItem::read_from_prefix(&rest[slot * RawItem::SIZE..]) else {
            return;
        };
        let data = rest.get_mut(item.offset.get() as usize..);
        match Kind::new(item.key.kind) {
            Kind::CHUNK_ITEM => {
                if let Some(chunk) = data.and_then(first::<RawChunk>) {
                    unmix(&mut chunk.flags);
                }
            }
            Kind::BLOCK_GROUP_ITEM => {
                if let Some(group) = data.and_then(first::<RawBlockGroup>) {
                    unmix(&mut group.flags);
                }
            }
            _ => (),
        }
    }
}

/// The structure that some bytes begin with, if they are enough.
fn first<T>(bytes: &mut [u8]) -> Option<&mut T>
where
    T: FromBytes + zerocopy::IntoBytes + zerocopy::KnownLayout,
{
    Some(T::mut_from_prefix(bytes).ok()?.0)
}

fn unmix(flags: &mut U64) {
    let known = BlockGroupFlags::new(flags.get());
    if known.contains(BlockGroupFlags::METADATA) {
        flags.set(known.without(BlockGroupFlags::DATA).get());
    }
}
