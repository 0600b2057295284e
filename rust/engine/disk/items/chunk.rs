// SPDX-License-Identifier: GPL-2.0
//! Chunks and their items.

use crate::disk::corrupt::{ensure, ensure_eq, ensure_max, Bug, Flaw};
use crate::disk::ids::{MAX_CHUNK_END, STRIPE_LEN};
use crate::disk::packing::{front, len64, put_front, put_strings};
use crate::disk::raw::{RawChunk, RawStripe};
use crate::disk::{BlockGroupFlags, Bytes, DeviceId, Key, Kind, Logical, ObjectId, Physical, Uuid};
use zerocopy::FromBytes;

impl BlockGroupFlags {
    /// Whether a chunk of this profile can have that many stripes.
    fn check_stripes(self, stripes: u16, sub_stripes: u16) -> Result<(), Flaw> {
        const WRONG: &str = "chunk's stripes do not fit its profile";
        let found = u64::from(stripes);
        match self.profile() {
            Self::RAID0 => ensure(stripes >= 1, WRONG, found, 1),
            Self::RAID10 => {
                ensure_eq(
                    "chunk's sub-stripes do not fit its profile",
                    sub_stripes.into(),
                    2,
                )?;
                ensure(stripes >= 2 && stripes & 1 == 0, WRONG, found, 4)
            }
            Self::RAID1 | Self::DUP => ensure_eq(WRONG, found, 2),
            Self::RAID1C3 => ensure_eq(WRONG, found, 3),
            Self::RAID1C4 => ensure_eq(WRONG, found, 4),
            Self::RAID5 => ensure(stripes >= 2, WRONG, found, 2),
            Self::RAID6 => ensure(stripes >= 3, WRONG, found, 3),
            _ => ensure_eq(WRONG, found, 1),
        }
    }
}

/// A chunk (C: `struct btrfs_chunk`). Its address is the key's offset.
#[derive(Clone, Copy)]
pub struct ChunkItem<'a> {
    /// Bytes in the logical space; they are not zero.
    pub len: Bytes,
    /// What it holds and how.
    pub flags: BlockGroupFlags,
    /// The file system's sector size.
    pub sector_size: u32,
    /// Two for RAID10.
    pub sub_stripes: u16,
    stripes: &'a [RawStripe],
}

/// Where a copy or part of a chunk begins (C: `struct btrfs_stripe`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripe {
    /// The device, by its number.
    pub devid: DeviceId,
    /// Where the stripe begins on the device.
    pub at: Physical,
    /// The device's UUID.
    pub dev_uuid: Uuid,
}

impl From<&RawStripe> for Stripe {
    fn from(raw: &RawStripe) -> Self {
        Self {
            devid: DeviceId::new(raw.devid.get()),
            at: Physical::new(raw.offset.get()),
            dev_uuid: raw.dev_uuid,
        }
    }
}

impl From<&Stripe> for RawStripe {
    fn from(stripe: &Stripe) -> Self {
        Self {
            devid: stripe.devid.get().into(),
            offset: stripe.at.get().into(),
            dev_uuid: stripe.dev_uuid,
        }
    }
}

/// A chunk to be written, of any profile but RAID10, whose sub-stripes are two.
#[derive(Clone, Copy, Debug)]
pub struct NewChunk<'a> {
    /// Bytes in the logical space.
    pub len: Bytes,
    /// What it holds and how.
    pub flags: BlockGroupFlags,
    /// The file system's sector size.
    pub sector_size: u32,
    /// Where it lies.
    pub stripes: &'a [Stripe],
}

impl NewChunk<'_> {
    /// Bytes of the item.
    pub const fn encoded_len(&self) -> usize {
        let stripes = self.stripes.len().saturating_mul(RawStripe::SIZE);
        RawChunk::SIZE.saturating_add(stripes)
    }

    /// Writes the item to [`Self::encoded_len`] bytes.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        const TOO_MANY: Bug = Bug::new("chunk has more stripes than the format can say");
        let stripes = u16::try_from(self.stripes.len()).map_err(|_| TOO_MANY)?;
        let head = RawChunk::new(self.len, self.flags, self.sector_size, stripes);
        let mut rest = put_front(bytes, &head)?;
        for stripe in self.stripes {
            rest = put_front(rest, &RawStripe::from(stripe))?;
        }
        put_strings(rest, &[], &[])
    }
}

impl<'a> ChunkItem<'a> {
    /// Reads the chunk that `bytes` begin with, and gives what follows: so system chunk arrays have them.
    pub fn parse_front(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Flaw> {
        let (raw, rest): (&RawChunk, _) = front(bytes, "chunk item is too short")?;
        let stripes = raw.num_stripes.get();
        let Ok((stripes, rest)) =
            <[RawStripe]>::ref_from_prefix_with_elems(rest, usize::from(stripes))
        else {
            return Err(Flaw::new(
                "chunk has too few bytes for its stripes",
                stripes.into(),
                1,
            ));
        };
        let chunk = Self {
            len: raw.len.into(),
            flags: BlockGroupFlags::new(raw.flags.get()),
            sector_size: raw.sector_size.get(),
            sub_stripes: raw.sub_stripes.get(),
            stripes,
        };
        ensure_eq(
            "chunk's stripe length is unknown",
            raw.stripe_len.get(),
            STRIPE_LEN.get(),
        )?;
        chunk.flags.check()?;
        chunk
            .flags
            .check_stripes(raw.num_stripes.get(), chunk.sub_stripes)?;
        Ok((chunk, rest))
    }

    /// Where it lies.
    pub fn stripes(&self) -> impl ExactSizeIterator<Item = Stripe> + use<'a> {
        self.stripes.iter().map(Stripe::from)
    }

    /// The rules that depend on the chunk's address and the file system's sector size.
    pub fn check_place(&self, key: &Key, sector_size: u32) -> Result<(), Flaw> {
        let mask = u64::from(sector_size).wrapping_sub(1);
        let (addr, len) = (key.offset, self.len);
        let kind = key.kind.get();
        ensure(
            key.kind == Kind::CHUNK_ITEM,
            "chunk's key has another kind",
            kind.into(),
            228,
        )?;
        ensure_eq("chunk's key has another objectid", key.objectid.get(), 256)?;
        ensure_eq(
            "chunk has another sector size",
            self.sector_size.into(),
            sector_size.into(),
        )?;
        ensure(
            addr & mask == 0,
            "chunk's address is not aligned",
            addr,
            sector_size.into(),
        )?;
        ensure(
            len.get() & mask == 0,
            "chunk's length is not aligned",
            len.get(),
            sector_size.into(),
        )?;
        ensure(len > Bytes::ZERO, "chunk is empty", len.get(), 1)?;
        // So that a stripe's number fits 32 bits.
        let limit = STRIPE_LEN.saturating_mul(u32::MAX.into());
        ensure(len < limit, "chunk is too long", len.get(), limit.get())?;
        ensure_max(
            "chunk goes beyond all addresses",
            addr.saturating_add(len.get()),
            MAX_CHUNK_END.get(),
        )?;
        for stripe in self.stripes {
            let (devid, offset) = (stripe.devid.get(), stripe.offset.get());
            ensure(devid > 0, "stripe is on no device", devid, 1)?;
            ensure(
                offset & mask == 0,
                "stripe is not aligned",
                offset,
                sector_size.into(),
            )?;
            // A stripe is never longer than its chunk.
            let end = offset.checked_add(len.get());
            ensure(
                end.is_some(),
                "stripe goes beyond all addresses",
                offset,
                u64::MAX,
            )?;
        }
        Ok(())
    }
}

impl<'a> ChunkItem<'a> {
    /// The key of the chunk at an address.
    pub const fn key(logical: Logical) -> Key {
        Key::new(
            ObjectId::FIRST_CHUNK_TREE.get(),
            Kind::CHUNK_ITEM,
            logical.get(),
        )
    }

    /// Reads an item.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let (chunk, rest) = Self::parse_front(bytes)?;
        ensure_eq("chunk item has bytes behind its stripes", len64(rest), 0)?;
        Ok(chunk)
    }
}

impl RawChunk {
    /// The structure for a chunk; its stripes follow it.
    #[cfg_attr(not(feature = "raw"), allow(unreachable_pub))]
    pub fn new(len: Bytes, flags: BlockGroupFlags, sector_size: u32, stripes: u16) -> Self {
        Self {
            len: len.into(),
            owner: ObjectId::EXTENT_TREE.get().into(),
            stripe_len: STRIPE_LEN.into(),
            flags: flags.get().into(),
            io_align: 65536.into(),
            io_width: 65536.into(),
            sector_size: sector_size.into(),
            num_stripes: stripes.into(),
            sub_stripes: 1.into(),
        }
    }
}
