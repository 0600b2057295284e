// SPDX-License-Identifier: GPL-2.0
//! Images with a few members of their structures changed, checksums right: what a gate must stop, and what it lets
//! through must do no harm.

use crate::checksums::HostChecksums;
use crate::device::{Image, PAGE};
use crate::random::Random;
use crate::tools;
use crate::walker::{walk, Found, Walked};
use engine::disk::{seal, seal_block, Kind, ObjectId, SUPERBLOCK_PLACES};

/// An image whose blocks are known. For volumes with one copy of everything.
pub struct Subject {
    image: Image,
    walked: Walked,
    // Where the newest superblock is.
    superblock: u64,
}

/// Numbers of trees that may have a block, some of which are none: the last two are log and relocation trees'.
const TREES: [u64; 12] = [
    1,
    2,
    3,
    4,
    5,
    7,
    9,
    10,
    256,
    1 << 40,
    -6i64 as u64,
    -8i64 as u64,
];

/// Bytes in a block's header.
const HEADER: usize = 101;
/// Bytes in the head of a leaf's item.
const ITEM: usize = 25;

impl Subject {
    /// Finds the blocks of an image.
    pub fn new(image: Image) -> Self {
        let superblock = tools::newest_superblock(&image);
        Self {
            walked: walk(&tools::as_file(&image)),
            superblock: superblock.map_or(SUPERBLOCK_PLACES[0].get(), |(place, _)| place),
            image,
        }
    }

    /// The image as it was.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The image with one to four changes.
    pub fn mutate(&self, random: &mut Random) -> Image {
        let mut image = self.image.clone();
        for _ in 0..1 + random.below(4) {
            if random.one_in(12) {
                self.change_superblock(&mut image, random);
            } else {
                self.change_block(&mut image, random);
            }
        }
        image
    }

    /// The image with one to four changes in what the extent tree says of tree blocks: each could be true of another.
    pub fn mutate_extents(&self, random: &mut Random) -> Image {
        let mut image = self.image.clone();
        for _ in 0..1 + random.below(4) {
            let leaf = self.block_of(ObjectId::EXTENT_TREE, 0, random);
            let mut block = self.walked.read(&image, leaf.addr);
            self.change_extent(&mut block, random);
            seal_block(&mut block, self.walked.superblock.checksum, &HostChecksums);
            self.write(&mut image, leaf, &block);
        }
        image
    }

    /// A block of a tree.
    fn block_of(&self, tree: ObjectId, level: u8, random: &mut Random) -> &Found {
        let wanted = |found: &&Found| found.owner == tree && found.level == level;
        let blocks: Vec<&Found> = self.walked.blocks.iter().filter(wanted).collect();
        let &found = random.choose(&blocks);
        found
    }

    /// Changes a member of a tree block's item, or its key.
    fn change_extent(&self, leaf: &mut [u8], random: &mut Random) {
        let of_block = |head: &usize| leaf[head + 8] == Kind::METADATA_ITEM.get();
        let items = u32::from_le_bytes(leaf[96..100].try_into().expect("four bytes")) as usize;
        let heads = (0..items).map(|item| HEADER + item * ITEM);
        let heads: Vec<usize> = heads.filter(of_block).collect();
        let head = *random.choose(&heads);
        let data = u32::from_le_bytes(leaf[head + 17..head + 21].try_into().expect("four bytes"));
        let data = HEADER + data as usize;
        let other = random.choose(&self.walked.blocks);
        let (at, value) = match random.below(7) {
            // Level, count, generation, flags, kind of the reference, tree or parent, address.
            0 => (head + 9, *random.choose(&[0, 1, 2, 7, 8, 255])),
            1 => (data, *random.choose(&[1, 2, 3, u64::MAX])),
            2 => (data + 8, other.generation.get()),
            3 => (data + 16, *random.choose(&[1, 2, 0x102])),
            4 => {
                leaf[data + 24] = *random.choose(&[176, 178, 182, 184]);
                return;
            }
            5 => (data + 25, *random.choose(&TREES)),
            _ => (head, other.addr.get() + random.below(3) * 4096),
        };
        leaf[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    fn change_superblock(&self, image: &mut Image, random: &mut Random) {
        let mut sector = [0; PAGE];
        image.pages.read(self.superblock, &mut sector);
        // Behind checksum and UUID; what is at the end is unused.
        let at = 48 + random.below(0xb30 - 48) as usize;
        self.change_bytes(&mut sector, at, random);
        if !random.one_in(16) {
            seal(&mut sector, self.walked.superblock.checksum, &HostChecksums);
        }
        image.pages.write(self.superblock, &sector);
    }

    fn change_block(&self, image: &mut Image, random: &mut Random) {
        let found = random.choose(&self.walked.blocks);
        let mut block = self.walked.read(image, found.addr);
        match random.below(10) {
            0 => self.transplant(&mut block, random),
            1 => {
                let at = random.below(HEADER as u64) as usize;
                self.change_bytes(&mut block, at, random);
            }
            2..=4 => {
                // An item's head or a pointer.
                let items = u32::from_le_bytes(block[96..100].try_into().expect("four bytes"))
                    .clamp(1, 100);
                let head = if found.level == 0 { ITEM } else { 33 };
                let at = HEADER
                    + random.below(u64::from(items)) as usize * head
                    + random.below(head as u64) as usize;
                self.change_bytes(&mut block, at, random);
            }
            _ => {
                let at = self.somewhere_in_data(&block, random);
                self.change_bytes(&mut block, at, random);
            }
        }
        if !random.one_in(16) {
            seal_block(&mut block, self.walked.superblock.checksum, &HostChecksums);
        }
        self.write(image, found, &block);
    }

    fn write(&self, image: &mut Image, found: &Found, block: &[u8]) {
        image.pages.write(self.walked.place(found.addr), block);
    }

    /// A byte of an item's data, where there is any: most of a block is empty.
    fn somewhere_in_data(&self, block: &[u8], random: &mut Random) -> usize {
        let used: Vec<usize> = (HEADER..block.len()).filter(|&at| block[at] != 0).collect();
        match used.is_empty() {
            true => HEADER,
            false => *random.choose(&used),
        }
    }

    /// The contents of another block under this one's address.
    fn transplant(&self, block: &mut Vec<u8>, random: &mut Random) {
        let mut other = random.choose(&self.walked.blocks).bytes.clone();
        let kept = if random.one_in(2) { 48..56 } else { 48..HEADER };
        other[kept.clone()].copy_from_slice(&block[kept]);
        *block = other;
    }

    fn change_bytes(&self, bytes: &mut [u8], at: usize, random: &mut Random) {
        let number = self.telling_number(random).to_le_bytes();
        let len = match random.below(6) {
            0 => {
                bytes[at] ^= 1 << random.below(8);
                return;
            }
            1 => {
                bytes[at] = random.next() as u8;
                return;
            }
            2 => 1,
            3 => 2,
            4 => 4,
            _ => 8,
        };
        let len = len.min(bytes.len() - at);
        bytes[at..at + len].copy_from_slice(&number[..len]);
    }

    /// A number that stands for something, or is at the border of something.
    fn telling_number(&self, random: &mut Random) -> u64 {
        let block = random.choose(&self.walked.blocks);
        match random.below(10) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << random.below(64),
            3 => (1u64 << random.below(64)).wrapping_sub(1),
            4 => block.addr.get(),
            5 => block.generation.get() + random.below(3),
            6 => self.image.pages.size() - random.below(3) * 4096,
            7 => block.owner.get(),
            8 => random.below(300),
            _ => random.next(),
        }
    }
}
