// SPDX-License-Identifier: GPL-2.0
//! The gate alone: every written sector of an image is tried as a superblock where one may be, and as a tree block.

use super::adapt;
use engine::disk::raw::RawSuperblock;
use engine::disk::{
    check_block, seal, seal_block, BlockContext, ChecksumKind, Format, Generation, Header,
    Physical, Superblock, SUPERBLOCK_MAGIC, SUPERBLOCK_PLACES,
};
use harness::checksums::HostChecksums;
use harness::device::{Image, PAGE};
use std::fmt;
use zerocopy::{FromZeros, IntoBytes};

/// What the gate did.
#[derive(Default)]
pub(crate) struct Blocks {
    superblocks: Tally,
    blocks: Tally,
}

#[derive(Default)]
struct Tally {
    tried: u64,
    taken: u64,
    taken_adapted: u64,
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "superblocks {}, blocks {}",
            self.superblocks.show(),
            self.blocks.show()
        )
    }
}

impl Tally {
    fn add(&mut self, taken: bool, taken_adapted: bool) {
        self.tried += 1;
        self.taken += u64::from(taken);
        self.taken_adapted += u64::from(taken_adapted);
    }

    fn show(&self) -> String {
        let Self {
            tried,
            taken,
            taken_adapted,
        } = self;
        format!("{tried}: {taken} taken as they are, {taken_adapted} adapted")
    }
}

impl Blocks {
    /// Goes through an image; the same image adapted and with right checksums. Without a superblock that passes then,
    /// nobody knows the size of blocks, and they are left alone.
    pub(crate) fn gate(&mut self, image: &Image) -> Image {
        let mut adapted = image.clone();
        let mut known = None;
        for place in SUPERBLOCK_PLACES {
            if place.get() + PAGE as u64 <= image.pages.size() {
                known = known.or(self.superblock(&mut adapted, place));
            }
        }
        let Some((format, generation)) = known else {
            return adapted;
        };
        for (at, _) in image.pages.written() {
            let fits = at + u64::from(format.node_size) <= image.pages.size();
            if fits && !SUPERBLOCK_PLACES.contains(&Physical::new(at)) {
                self.block(image, &mut adapted, at, (&format, generation));
            }
        }
        adapted
    }

    fn superblock(&mut self, adapted: &mut Image, place: Physical) -> Option<(Format, Generation)> {
        let mut raw = RawSuperblock::new_zeroed();
        adapted.pages.read(place.get(), raw.as_mut_bytes());
        let taken = Superblock::check(&raw, place, &HostChecksums).is_ok();
        adapt::superblock(&mut raw);
        let kind = ChecksumKind::try_from(raw.csum_type.get()).unwrap_or(ChecksumKind::Crc32c);
        seal(raw.as_mut_bytes(), kind, &HostChecksums);
        let superblock = Superblock::check(&raw, place, &HostChecksums).ok();
        self.superblocks.add(taken, superblock.is_some());
        if raw.magic.get() == SUPERBLOCK_MAGIC {
            adapted.pages.write(place.get(), raw.as_bytes());
        }
        let superblock = superblock?;
        Some((superblock.format(), superblock.generation))
    }

    fn block(
        &mut self,
        image: &Image,
        adapted: &mut Image,
        at: u64,
        (format, newest): (&Format, Generation),
    ) {
        let mut bytes = vec![0; format.node_size as usize];
        image.pages.read(at, &mut bytes);
        let Some(header) = Header::new(&bytes) else {
            return;
        };
        // Of this file system, going by a member that fuzzers leave alone.
        let own = header.fsid == format.metadata_uuid;
        let context = BlockContext {
            format,
            checksums: &HostChecksums,
            addr: header.addr,
            owner: None,
            level: None,
            generation: None,
            first_key: None,
            newest: newest.next(),
        };
        let taken = check_block(&bytes, &context).is_ok();
        if header.level == 0 {
            adapt::leaf(&mut bytes);
        }
        seal_block(&mut bytes, format.checksum, &HostChecksums);
        self.blocks
            .add(taken, check_block(&bytes, &context).is_ok());
        if own {
            adapted.pages.write(at, &bytes);
        }
    }
}
