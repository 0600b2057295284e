// SPDX-License-Identifier: GPL-2.0
//! Items of the tree of trees, of quotas, and of what concerns the volume as a whole.

use super::item::Item;
use crate::disk::corrupt::{ensure, ensure_eq, Flaw};
use crate::disk::items::root::check_root_key;
use crate::disk::packing::{len64, size64, whole};
use crate::disk::raw::{
    RawBalance, RawDevReplace, RawDevStats, RawQgroupInfo, RawQgroupLimit, RawQgroupStatus,
    RawRootItem,
};
use crate::disk::{Generation, Kind, ObjectId, RootItem, RootRef};
use zerocopy::FromBytes;

pub(super) fn root(item: &Item<'_>) -> Result<(), Flaw> {
    check_root_key(&item.key)?;
    let root = RootItem::parse(item.data)?;
    item.check_generation(root.generation)?;
    item.check_generation(root.last_snapshot)?;
    if let Ok(raw) = RawRootItem::ref_from_bytes(item.data) {
        item.check_generation(Generation::new(raw.generation_v2.get()))?;
    }
    item.check_aligned("root's address is not aligned", root.addr.get())
}

pub(super) fn root_ref(item: &Item<'_>) -> Result<(), Flaw> {
    RootRef::parse(item.data)?;
    for id in [item.key.objectid, ObjectId::new(item.key.offset)] {
        ensure(
            id.is_subvolume(),
            "root ref names no subvolume",
            id.get(),
            256,
        )?;
    }
    Ok(())
}

pub(super) fn qgroup(item: &Item<'_>) -> Result<(), Flaw> {
    const SIZE: &str = "quota item has a wrong size";
    let len = item.data.len();
    let expected = match item.key.kind {
        // Simple quotas made it eight bytes longer.
        Kind::QGROUP_STATUS if len == RawQgroupStatus::SIZE.saturating_add(8) => len,
        Kind::QGROUP_STATUS => RawQgroupStatus::SIZE,
        Kind::QGROUP_INFO => RawQgroupInfo::SIZE,
        Kind::QGROUP_LIMIT => RawQgroupLimit::SIZE,
        _ => 0,
    };
    ensure_eq(SIZE, len64(item.data), size64(expected))
}

pub(super) fn uuid(item: &Item<'_>) -> Result<(), Flaw> {
    let len = len64(item.data);
    ensure(
        len > 0 && len & 7 == 0,
        "UUID item is not a number of ids",
        len,
        8,
    )
}

pub(super) fn temporary(item: &Item<'_>) -> Result<(), Flaw> {
    if item.key.objectid == ObjectId::BALANCE {
        whole::<RawBalance>(item.data, "balance item has a wrong size")?;
    }
    Ok(())
}

pub(super) fn persistent(item: &Item<'_>) -> Result<(), Flaw> {
    if item.key.objectid == ObjectId::DEV_STATS {
        // Old kernels had fewer counters, new ones may have more.
        let len = len64(item.data);
        ensure(
            len > 0 && len & 7 == 0,
            "statistics have a wrong size",
            len,
            size64(RawDevStats::SIZE),
        )?;
    }
    Ok(())
}

pub(super) fn replace(item: &Item<'_>) -> Result<(), Flaw> {
    whole::<RawDevReplace>(item.data, "replace item has a wrong size")?;
    Ok(())
}
