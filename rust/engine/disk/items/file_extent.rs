// SPDX-License-Identifier: GPL-2.0
//! The pieces of a file.

use crate::disk::corrupt::{ensure, ensure_eq, ensure_max, Bug, Flaw};
use crate::disk::ids::{MAX_COMPRESSED_RANGE, MAX_NODE_SIZE};
use crate::disk::packing::{front, len64, put, put_front, put_strings, whole};
use crate::disk::raw::{RawFileExtent, RawFileExtentHead, RawFileExtentTail};
use crate::disk::{Bytes, FileOffset, Generation, Logical};
use zerocopy::FromBytes;

/// How an extent is compressed (C: `enum btrfs_compression_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// The extent is not compressed.
    None,
    /// The bytes are compressed by zlib.
    Zlib,
    /// LZO, in the format's own framing.
    Lzo,
    /// The bytes are compressed by Zstandard.
    Zstd,
}

impl Compression {
    /// The byte the disk has.
    pub const fn get(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Zlib => 1,
            Self::Lzo => 2,
            Self::Zstd => 3,
        }
    }
}

impl TryFrom<u8> for Compression {
    type Error = Flaw;

    fn try_from(value: u8) -> Result<Self, Flaw> {
        Ok(match value {
            0 => Self::None,
            1 => Self::Zlib,
            2 => Self::Lzo,
            3 => Self::Zstd,
            _ => return Err(Flaw::new("compression is unknown", value.into(), 3)),
        })
    }
}

/// Whether a piece of a file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentState {
    /// Written: the bytes on disk are the file's.
    Written,
    /// Preallocated: reads as zeros.
    Preallocated,
}

/// A piece of a file (C: `struct btrfs_file_extent_item`). The key's offset is its position in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileExtent<'a> {
    /// The data stand in the item. Only at the start of a file.
    Inline(InlineExtent<'a>),
    /// The data stand elsewhere, or it is a hole.
    Regular(RegularExtent),
}

/// A piece of a file whose data stand in the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlineExtent<'a> {
    /// The transaction that wrote it.
    pub generation: Generation,
    /// Bytes of file data, decompressed.
    pub ram_bytes: Bytes,
    /// How the data are compressed.
    pub compression: Compression,
    /// The bytes as they are stored.
    pub data: &'a [u8],
}

/// A piece of a file whose data stand in an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegularExtent {
    /// The transaction that wrote it.
    pub generation: Generation,
    /// Written or preallocated.
    pub state: ExtentState,
    /// How the extent is compressed.
    pub compression: Compression,
    /// Bytes of the extent in a file, decompressed.
    pub ram_bytes: Bytes,
    /// The extent's address; zero is a hole.
    pub disk_addr: Logical,
    /// The extent's bytes on disk: what it takes of the volume, and what it has checksums of.
    pub disk_len: Bytes,
    /// Where in the extent, decompressed, the piece starts.
    pub offset: Bytes,
    /// Bytes of the piece in the file, decompressed. Zero in what old drivers left of a hole that they had no space to punch;
    /// nobody makes such an item.
    pub len: Bytes,
}

/// The format's numbers for the kinds of file extent.
const INLINE: u8 = 0;
const REGULAR: u8 = 1;
const PREALLOCATED: u8 = 2;

impl<'a> FileExtent<'a> {
    /// Reads an item.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let (head, data): (&RawFileExtentHead, _) = front(bytes, "file extent is too short")?;
        ensure_eq("file extent is encrypted", head.encryption.into(), 0)?;
        ensure_eq(
            "file extent has an unknown encoding",
            head.other_encoding.get().into(),
            0,
        )?;
        match head.kind {
            INLINE => Ok(Self::Inline(inline(head, data)?)),
            REGULAR | PREALLOCATED => Ok(Self::Regular(regular(head, data)?)),
            kind => Err(Flaw::new("file extent's type is unknown", kind.into(), 2)),
        }
    }
}

fn inline<'a>(head: &RawFileExtentHead, data: &'a [u8]) -> Result<InlineExtent<'a>, Flaw> {
    let extent = InlineExtent {
        generation: Generation::new(head.generation.get()),
        ram_bytes: head.ram_bytes.into(),
        compression: head.compression.try_into()?,
        data,
    };
    if extent.compression == Compression::None {
        ensure_eq(
            "inline extent's length is not its data's",
            extent.ram_bytes.get(),
            len64(data),
        )?;
    } else {
        ensure_max(
            "inline extent is too long",
            extent.ram_bytes.get(),
            MAX_NODE_SIZE.into(),
        )?;
    }
    Ok(extent)
}

fn regular(head: &RawFileExtentHead, tail: &[u8]) -> Result<RegularExtent, Flaw> {
    let tail: &RawFileExtentTail = whole(tail, "file extent has a wrong size")?;
    let state = if head.kind == REGULAR {
        ExtentState::Written
    } else {
        ExtentState::Preallocated
    };
    let extent = RegularExtent {
        generation: Generation::new(head.generation.get()),
        state,
        compression: head.compression.try_into()?,
        ram_bytes: head.ram_bytes.into(),
        disk_addr: Logical::new(tail.disk_addr.get()),
        disk_len: tail.disk_len.into(),
        offset: tail.offset.into(),
        len: tail.len.into(),
    };
    extent.check()?;
    Ok(extent)
}

impl InlineExtent<'_> {
    /// Bytes that the item takes besides the data.
    pub const HEAD: usize = RawFileExtentHead::SIZE;

    /// Bytes that the item takes.
    pub const fn encoded_len(&self) -> usize {
        Self::HEAD.saturating_add(self.data.len())
    }

    /// Writes the item to [`Self::encoded_len`] bytes.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let rest = put_front(bytes, &RawFileExtentHead::from(self))?;
        put_strings(rest, self.data, &[])
    }

    /// Makes the item of an extent that is not compressed, and whose end was cut off, tell how long it is now.
    pub fn shorten(bytes: &mut [u8]) -> Result<(), Bug> {
        const HEADLESS: Bug = Bug::new("inline extent was cut within its head");
        let (head, data) = RawFileExtentHead::mut_from_prefix(bytes).map_err(|_| HEADLESS)?;
        head.ram_bytes = len64(data).into();
        Ok(())
    }
}

impl RegularExtent {
    /// Bytes of the item.
    pub const SIZE: usize = RawFileExtent::SIZE;

    /// Writes the item.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        put(bytes, &RawFileExtent::from(self))
    }

    /// Whether there is nothing on disk: reads as zeros.
    pub fn is_hole(&self) -> bool {
        self.disk_addr.get() == 0
    }

    /// Where the file's byte is that stands `within` bytes behind the piece's start. `None` where it has no address of its
    /// own: in a hole, or packed with others.
    pub fn address_of(&self, within: Bytes) -> Option<Logical> {
        let has_own = !self.is_hole() && self.compression == Compression::None;
        let offset = self.offset.saturating_add(within);
        has_own.then(|| self.disk_addr.saturating_add(offset))
    }

    /// What a reference of the piece at `at` of a file notes as the position: where the extent would begin in the file.
    /// The difference wraps, as the format has it.
    pub const fn extent_start(&self, at: FileOffset) -> u64 {
        at.get().wrapping_sub(self.offset.get())
    }

    /// The rules between the members.
    fn check(&self) -> Result<(), Flaw> {
        let compressed = self.compression != Compression::None;
        if compressed {
            let written = self.state == ExtentState::Written && !self.is_hole();
            ensure(
                written,
                "nothing is there that could be compressed",
                self.disk_addr.get(),
                0,
            )?;
            ensure_max(
                "compressed extent is too long",
                self.ram_bytes.get(),
                MAX_COMPRESSED_RANGE.get(),
            )?;
            ensure_max(
                "compressed extent is too long",
                self.disk_len.get(),
                MAX_COMPRESSED_RANGE.get(),
            )?;
        }
        if self.is_hole() {
            return Ok(());
        }
        let disk_end = self.disk_addr.checked_add(self.disk_len);
        ensure(
            disk_end.is_some(),
            "extent goes beyond all addresses",
            self.disk_len.get(),
            u64::MAX,
        )?;
        // Without compression nothing depends on `ram_bytes`, and old kernels left it wrong.
        let limit = if compressed {
            self.ram_bytes
        } else {
            self.disk_len
        };
        let end = self.offset.saturating_add(self.len);
        ensure_max("piece goes beyond its extent", end.get(), limit.get())
    }
}

impl From<&RegularExtent> for RawFileExtent {
    fn from(extent: &RegularExtent) -> Self {
        let kind = match extent.state {
            ExtentState::Written => REGULAR,
            ExtentState::Preallocated => PREALLOCATED,
        };
        Self {
            head: RawFileExtentHead {
                generation: extent.generation.get().into(),
                ram_bytes: extent.ram_bytes.into(),
                compression: extent.compression.get(),
                encryption: 0,
                other_encoding: 0.into(),
                kind,
            },
            tail: RawFileExtentTail {
                disk_addr: extent.disk_addr.get().into(),
                disk_len: extent.disk_len.into(),
                offset: extent.offset.into(),
                len: extent.len.into(),
            },
        }
    }
}

impl From<&InlineExtent<'_>> for RawFileExtentHead {
    /// The data follow it.
    fn from(extent: &InlineExtent<'_>) -> Self {
        Self {
            generation: extent.generation.get().into(),
            ram_bytes: extent.ram_bytes.into(),
            compression: extent.compression.get(),
            encryption: 0,
            other_encoding: 0.into(),
            kind: INLINE,
        }
    }
}
