// SPDX-License-Identifier: GPL-2.0

//! Block devices and their zones.
//!
//! C header: `include/linux/blkdev.h`

use super::Sector;
use crate::linux::bindings as b;
use crate::linux::noio::NoioScope;
use kernel::error::to_result;
use kernel::ffi::{c_int, c_uint, c_void};
use kernel::fs::File;
use kernel::sync::aref::ARef;
use latch::prelude::*;
use units::{Bytes, Physical};

/// The most pieces of memory that a request has (C: `BIO_MAX_VECS`).
pub(super) const MOST_SEGMENTS: u16 = 256;

/// An open block device.
///
/// # Invariants
///
/// `inner` is the device that `file` keeps open.
pub(crate) struct BlockDevice {
    inner: *mut b::block_device,
    _file: ARef<File>,
}

// SAFETY: A block device may be used from any thread.
unsafe impl Send for BlockDevice {}
// SAFETY: A block device synchronises itself.
unsafe impl Sync for BlockDevice {}

impl BlockDevice {
    /// The device a super block was mounted from.
    ///
    /// # Safety
    ///
    /// `sb` is being mounted by `get_tree_bdev` or was.
    pub(in crate::linux) unsafe fn of_super(sb: *mut b::super_block) -> Self {
        // SAFETY: `setup_bdev_super` set both; nobody uses `fdget_pos` on the file.
        let (inner, file) = unsafe { ((*sb).s_bdev, File::from_raw_file((*sb).s_bdev_file)) };
        // INVARIANT: `s_bdev_file` keeps `s_bdev` open.
        Self {
            inner,
            _file: file.into(),
        }
    }

    /// The C object.
    pub(in crate::linux) fn as_ptr(&self) -> *mut b::block_device {
        self.inner
    }

    /// Bytes on the device.
    pub(crate) fn size(&self) -> Bytes {
        // SAFETY: The device is open.
        let size = unsafe { b::bdev_nr_bytes(self.inner) };
        u64::try_from(size).map_or(Bytes::ZERO, Bytes::new)
    }

    /// Whether the device takes no writes.
    pub(crate) fn is_read_only(&self) -> bool {
        // SAFETY: The device is open.
        unsafe { b::bdev_read_only(self.inner) }
    }

    /// Whether the kernel lets nobody else open the device to write it while it is mounted
    /// (C: `bdev_allow_write_mounted=0`).
    pub(crate) fn keeps_writers_out(&self) -> bool {
        // SAFETY: The device is open. Where writers are kept out it is our opening it that made this negative, and
        // it stays so until the device is closed.
        unsafe { (*self.inner).bd_writers < 0 }
    }

    /// Makes all completed writes durable.
    pub(crate) fn flush(&self) -> Result {
        // SAFETY: The device is open.
        to_result(unsafe { b::blkdev_issue_flush(self.inner) })
    }

    /// Whether the device takes discards.
    pub(crate) fn takes_discards(&self) -> bool {
        // SAFETY: The device is open.
        unsafe { b::bdev_max_discard_sectors(self.inner) > 0 }
    }

    /// A range that is shorter is not worth a discard.
    pub(crate) fn discard_granularity(&self) -> Bytes {
        // SAFETY: The device is open.
        Bytes::from(unsafe { b::bdev_discard_granularity(self.inner) })
    }

    /// Whether the device has moving parts.
    pub(crate) fn is_rotational(&self) -> bool {
        // SAFETY: The device is open.
        unsafe { b::bdev_rot(self.inner) }
    }

    /// Tells the device that a range is unused; whole sectors.
    pub(crate) fn discard(&self, at: Physical, len: Bytes) -> Result {
        let (first, count) = (Sector::of(at).get(), Sector::count(len));
        // SAFETY: The device is open.
        to_result(unsafe { b::blkdev_issue_discard(self.inner, first, count, b::GFP_NOFS) })
    }

    /// Whether the device has zones.
    pub(crate) fn is_zoned(&self) -> bool {
        // SAFETY: The device is open.
        unsafe { b::bdev_is_zoned(self.inner) }
    }

    /// The distance from one zone to the next.
    pub(crate) fn zone_size(&self) -> Bytes {
        // SAFETY: The device is open.
        Sector::bytes(unsafe { b::bdev_zone_sectors(self.inner) })
    }

    /// How many zones there are.
    pub(crate) fn zone_count(&self) -> u32 {
        // SAFETY: The device is open.
        unsafe { b::bdev_nr_zones(self.inner) }
    }

    /// The device's limits of open and of active zones; zero is no limit.
    pub(crate) fn zone_limits(&self) -> (u32, u32) {
        // SAFETY: The device is open.
        unsafe {
            (
                b::bdev_max_open_zones(self.inner),
                b::bdev_max_active_zones(self.inner),
            )
        }
    }

    /// The longest zone append, from memory in pieces as long as `piece`: the device limits these, too, and no append can be split.
    pub(crate) fn max_zone_append(&self, piece: Bytes) -> Bytes {
        // SAFETY: The device is open, and so has its limits.
        let (sectors, segments, segment) = unsafe {
            let limits = b::bdev_limits(self.inner);
            let sectors = b::bdev_max_zone_append_sectors(self.inner);
            (sectors, (*limits).max_segments, (*limits).max_segment_size)
        };
        let piece = piece.min(Bytes::new(segment.into()));
        let in_pieces = piece.saturating_mul(segments.min(MOST_SEGMENTS).into());
        Sector::bytes(sectors.into()).min(in_pieces)
    }

    /// Shows `count` zones from the one at byte `first` to `each`, in order, until it fails.
    pub(crate) fn report_zones(
        &self,
        first: Physical,
        count: u32,
        each: &mut dyn FnMut(&ZoneReport) -> Result,
    ) -> Result {
        let mut each = each;
        let sector = Sector::of(first).get();
        let data = core::ptr::from_mut(&mut each).cast::<c_void>();
        // SAFETY: The device is open; the callback gets a pointer to `each` and runs only in this call.
        let shown =
            unsafe { b::blkdev_report_zones(self.inner, sector, count, Some(show_zone), data) };
        if shown < 0 {
            return Err(Error::from_errno(shown));
        }
        Ok(())
    }

    /// Changes the state of the zones in `[start, start + len)`.
    pub(crate) fn manage_zone(
        &self,
        operation: ZoneOperation,
        start: Physical,
        len: Bytes,
    ) -> Result {
        let operation = match operation {
            ZoneOperation::Reset => b::req_op_REQ_OP_ZONE_RESET,
            ZoneOperation::Finish => b::req_op_REQ_OP_ZONE_FINISH,
            ZoneOperation::Open => b::req_op_REQ_OP_ZONE_OPEN,
        };
        let _scope = NoioScope::enter();
        let (first, count) = (Sector::of(start).get(), Sector::count(len));
        // SAFETY: The device is open.
        to_result(unsafe { b::blkdev_zone_mgmt(self.inner, operation, first, count) })
    }
}

/// What `blkdev_zone_mgmt` can do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ZoneOperation {
    /// Empty the zone.
    Reset,
    /// Take no more writes.
    Finish,
    /// Take an active resource.
    Open,
}

/// A zone as the device reports it (C: `struct blk_zone`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ZoneReport {
    /// Where it starts.
    pub(crate) start: Physical,
    /// How far it is from its start to the next zone's.
    pub(crate) len: Bytes,
    /// What it holds.
    pub(crate) capacity: Bytes,
    /// Where the next write goes.
    pub(crate) write_pointer: Physical,
    /// The zone takes writes anywhere.
    pub(crate) is_conventional: bool,
    /// The condition of the zone.
    pub(crate) condition: Condition,
}

/// A zone's condition, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing is written in it.
    Empty,
    /// Open or closed.
    Active,
    /// Full or finished.
    Full,
    /// Read-only or offline.
    Broken,
}

unsafe extern "C" fn show_zone(zone: *mut b::blk_zone, _index: c_uint, data: *mut c_void) -> c_int {
    // SAFETY: `report_zones` passed the closure, the block layer passes a valid zone.
    let (zone, each) = unsafe {
        (
            &*zone,
            &mut *data.cast::<&mut dyn FnMut(&ZoneReport) -> Result>(),
        )
    };
    let report = ZoneReport {
        start: Physical::after(Sector::bytes(zone.start)),
        len: Sector::bytes(zone.len),
        capacity: Sector::bytes(zone.capacity),
        write_pointer: Physical::after(Sector::bytes(zone.wp)),
        is_conventional: u32::from(zone.type_) == b::blk_zone_type_BLK_ZONE_TYPE_CONVENTIONAL,
        condition: match u32::from(zone.cond) {
            b::blk_zone_cond_BLK_ZONE_COND_EMPTY => Condition::Empty,
            b::blk_zone_cond_BLK_ZONE_COND_FULL => Condition::Full,
            b::blk_zone_cond_BLK_ZONE_COND_READONLY | b::blk_zone_cond_BLK_ZONE_COND_OFFLINE => {
                Condition::Broken
            }
            _ => Condition::Active,
        },
    };
    match each(&report) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
