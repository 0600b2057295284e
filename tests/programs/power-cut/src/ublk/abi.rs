// SPDX-License-Identifier: GPL-2.0
//! The structures and numbers of `linux/ublk_cmd.h`, as far as they are used here.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const fn command(direction: u32, number: u32, size: usize) -> u32 {
    (direction << 30) | ((size as u32) << 16) | ((b'u' as u32) << 8) | number
}

const fn control(number: u32) -> u32 {
    command(3, number, size_of::<ControlCommand>())
}

pub(super) const ADD_DEVICE: u32 = control(0x04);
pub(super) const DELETE_DEVICE: u32 = control(0x05);
pub(super) const START_DEVICE: u32 = control(0x06);
pub(super) const STOP_DEVICE: u32 = control(0x07);
pub(super) const SET_PARAMETERS: u32 = control(0x08);
pub(super) const FETCH: u32 = command(3, 0x20, size_of::<IoCommand>());
pub(super) const COMMIT_AND_FETCH: u32 = command(3, 0x21, size_of::<IoCommand>());

/// Data is copied by reads and writes of the character device.
pub(super) const USER_COPY: u64 = 1 << 7;
pub(super) const ZONED: u64 = 1 << 8;
pub(super) const NO_PARTITION_SCAN: u64 = 1 << 18;

pub(super) const BASIC: u32 = 1 << 0;
pub(super) const DISCARD: u32 = 1 << 1;
pub(super) const ZONES: u32 = 1 << 3;
pub(super) const VOLATILE_CACHE: u32 = 1 << 2;
pub(super) const FUA: u32 = 1 << 3;

pub(super) const OP_READ: u8 = 0;
pub(super) const OP_WRITE: u8 = 1;
pub(super) const OP_FLUSH: u8 = 2;
pub(super) const OP_DISCARD: u8 = 3;
pub(super) const OP_ZONE_OPEN: u8 = 10;
pub(super) const OP_ZONE_CLOSE: u8 = 11;
pub(super) const OP_ZONE_FINISH: u8 = 12;
pub(super) const OP_ZONE_APPEND: u8 = 13;
pub(super) const OP_ZONE_RESET: u8 = 15;
pub(super) const OP_REPORT_ZONES: u8 = 18;
/// Among the flags of a request.
pub(super) const REQUEST_FUA: u32 = 1 << 13;

/// Where a request's data is in the character device.
pub(super) const fn data_position(tag: u16) -> u64 {
    0x8000_0000 + ((tag as u64) << 25)
}

#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
pub(super) struct ControlCommand {
    pub device: u32,
    pub queue: u16,
    pub len: u16,
    pub address: u64,
    pub data: u64,
    pub path_len: u16,
    pub pad: u16,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, FromBytes, Immutable, KnownLayout)]
pub(super) struct DeviceInfo {
    pub queues: u16,
    pub queue_depth: u16,
    pub state: u16,
    pub descriptor_size: u16,
    pub max_io_bytes: u32,
    pub device: u32,
    pub server: i32,
    pub pad: u32,
    pub flags: u64,
    pub server_flags: u64,
    pub uid: u32,
    pub gid: u32,
    pub reserved: [u64; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, FromBytes, Immutable, KnownLayout)]
pub(super) struct Parameters {
    pub len: u32,
    pub types: u32,
    pub attributes: u32,
    pub logical_shift: u8,
    pub physical_shift: u8,
    pub optimal_shift: u8,
    pub minimal_shift: u8,
    pub max_sectors: u32,
    pub chunk_sectors: u32,
    pub sectors: u64,
    pub virtual_boundary: u64,
    pub discard_alignment: u32,
    pub discard_granularity: u32,
    pub max_discard_sectors: u32,
    pub max_write_zeroes_sectors: u32,
    pub max_discard_segments: u16,
    pub discard_reserved: u16,
    pub numbers: [u32; 4],
    pub max_open_zones: u32,
    pub max_active_zones: u32,
    pub max_append_sectors: u32,
    pub zoned_reserved: [u32; 5],
    pub pad: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
pub(super) struct IoCommand {
    pub queue: u16,
    pub tag: u16,
    pub result: i32,
    /// Where appended data went, in sectors.
    pub sector: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Descriptor {
    pub op_and_flags: u32,
    pub count: u32,
    pub sector: u64,
    pub address: u64,
}

/// `struct blk_zone` of `linux/blkzoned.h`.
#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
pub(super) struct ReportedZone {
    pub start: u64,
    pub len: u64,
    pub write_pointer: u64,
    pub kind: u8,
    pub condition: u8,
    pub advice: [u8; 2],
    pub reserved: [u8; 4],
    pub capacity: u64,
    pub reserved_too: [u64; 3],
}
