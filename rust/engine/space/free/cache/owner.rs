// SPDX-License-Identifier: GPL-2.0
//! Whether an extent is a cache's alone: who removes a cache, or writes one, must not take others' data along.

use crate::btree::{DataRef, Tree};
use crate::disk::{
    BlockGroupFlags, Bytes, ExtentFlags, ExtentItem, Flaw, InlineRef, Key, Kind, Logical, Reference,
};
use crate::space::free::doubt::Doubt;
use crate::volume::Volume;
use latch::prelude::*;

/// How many items are looked at for the extent before another.
const MOST_STEPS: u32 = 16;

/// Checks that an extent is in a block group of data, overlaps no other, and is referenced by this file once and by nothing else.
pub(super) fn check(extents: &Tree, volume: &Volume, data: &DataRef) -> Result<(), Doubt> {
    let (addr, len) = (data.addr, data.len);
    let nowhere = Flaw::new(
        "a cache file is not in a block group of data",
        addr.get(),
        len.get(),
    );
    let group = group_of(volume, data).ok_or(nowhere)?;
    let last = addr.saturating_add(len).saturating_sub(Bytes::new(1));
    let item = Key::new(addr.get(), Kind::EXTENT_ITEM, len.get());
    let is_own = extents.get(&item, |bytes| is_only(bytes, data.reference()))?;
    let others = Flaw::new(
        "a cache file's extent has other references",
        addr.get(),
        len.get(),
    );
    is_own.filter(|own| *own).ok_or(others)?;
    let behind = extents.floor(&last_at(last), |key, _| key.objectid.get())?;
    match behind == Some(addr.get()) && !is_reached(extents, group, addr)? {
        true => Ok(()),
        false => Err(Flaw::new(
            "a cache file's extent overlaps another",
            addr.get(),
            len.get(),
        )
        .into()),
    }
}

/// The start of the block group of data that has all of an extent.
pub(super) fn group_of(volume: &Volume, data: &DataRef) -> Option<Logical> {
    let mapping = volume.find(data.addr, data.len)?;
    let chunk = volume.chunk_from(mapping.chunk)?;
    let end = data.addr.checked_add(data.len)?;
    let fits = chunk.logical == mapping.chunk && end <= chunk.logical.checked_add(chunk.len)?;
    let is_data = chunk.flags.contains(BlockGroupFlags::DATA);
    (fits && is_data && data.len > Bytes::ZERO).then_some(chunk.logical)
}

/// Whether an extent of the group before `addr` reaches beyond it. Between them only references and the group's own item may be.
fn is_reached(extents: &Tree, group: Logical, addr: Logical) -> Result<bool> {
    let mut at = last_at(addr.saturating_sub(Bytes::new(1)));
    for _ in 0..MOST_STEPS {
        let found = extents.floor(&at, |key, _| key)?;
        let Some(key) = found.filter(|key| key.objectid.get() >= group.get() && addr > group)
        else {
            return Ok(false);
        };
        match key.kind {
            Kind::EXTENT_ITEM => {
                return Ok(key.objectid.get().saturating_add(key.offset) > addr.get());
            }
            kind if kind > Kind::METADATA_ITEM => {
                at = Key::new(key.objectid.get(), Kind::METADATA_ITEM, u64::MAX);
            }
            _ => return Ok(true),
        }
    }
    Ok(true)
}

fn last_at(addr: Logical) -> Key {
    Key::new(addr.get(), Kind::new(u8::MAX), u64::MAX)
}

/// Whether the item of an extent of file data has this reference once, and no other.
fn is_only(item: &[u8], reference: Reference) -> bool {
    let Ok(item) = ExtentItem::parse(Kind::EXTENT_ITEM, item) else {
        return false;
    };
    let mut refs = item.inline_refs;
    let first = refs.next().and_then(|inline| inline.ok());
    item.refs == 1
        && item.flags.contains(ExtentFlags::DATA)
        && first == Some(InlineRef::new(reference, 1))
}
