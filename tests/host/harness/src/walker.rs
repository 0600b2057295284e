// SPDX-License-Identifier: GPL-2.0
//! Reads an image without the engine's trees: every tree block of every tree, found from the superblock.
//!
//! Plain and recursive on purpose, and sharing nothing with the engine but the structures: what tests compare with.

use crate::checksums::HostChecksums;
use crate::device::Image;
use engine::disk::raw::RawSuperblock;
use engine::disk::{
    seal_block, BlockContext, ChunkItem, Format, Generation, Header, Kind, Leaf, Logical, Node,
    ObjectId, RootItem, Superblock, SUPERBLOCK_PLACES,
};
use std::collections::{BTreeMap, BTreeSet};
use zerocopy::FromBytes;

/// A tree block of an image.
pub struct Found {
    /// The tree it was found in first.
    pub owner: ObjectId,
    /// The rest is as its pointer says.
    pub addr: Logical,
    /// Height above the leaves.
    pub level: u8,
    /// The transaction that wrote it.
    pub generation: Generation,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// All tree blocks of an image.
pub struct Walked {
    /// The superblock.
    pub superblock: Superblock,
    /// The blocks, each once.
    pub blocks: Vec<Found>,
    /// Chunks: address -> (length, first stripe's place).
    pub chunks: BTreeMap<u64, (u64, u64)>,
}

impl Walked {
    /// The context in which the gate sees a block.
    pub fn context<'a>(&self, format: &'a Format, block: &Found) -> BlockContext<'a> {
        BlockContext {
            format,
            checksums: &HostChecksums,
            addr: block.addr,
            owner: Some(block.owner),
            level: Some(block.level),
            generation: Some(block.generation),
            first_key: None,
            newest: self.superblock.generation.next(),
        }
    }
}

/// Walks an image without zones.
pub fn walk(image: &Image) -> Walked {
    let mut sector = vec![0; 4096];
    image.pages.read(SUPERBLOCK_PLACES[0].get(), &mut sector);
    let raw = RawSuperblock::ref_from_bytes(&sector).expect("4096 bytes");
    let superblock =
        Superblock::check(raw, SUPERBLOCK_PLACES[0], &HostChecksums).expect("a superblock");
    let mut walked = Walked {
        superblock,
        blocks: Vec::new(),
        chunks: BTreeMap::new(),
    };
    for chunk in raw.system_chunks() {
        let (key, chunk) = chunk.expect("a chunk");
        walked.add_chunk(key.offset, &chunk);
    }
    let mut seen = BTreeSet::new();
    let chunk_root = (superblock.chunk_root, superblock.chunk_root_level);
    walked.tree(image, &mut seen, ObjectId::CHUNK_TREE, chunk_root);
    let chunks = walked.items(ObjectId::CHUNK_TREE, Kind::CHUNK_ITEM);
    for (key, data) in &chunks {
        walked.add_chunk(key.offset, &ChunkItem::parse(&data[..]).expect("a chunk"));
    }
    walked.tree(
        image,
        &mut seen,
        ObjectId::ROOT_TREE,
        (superblock.root, superblock.root_level),
    );
    for (key, data) in walked.items(ObjectId::ROOT_TREE, Kind::ROOT_ITEM) {
        let root = RootItem::parse(&data[..]).expect("a root");
        walked.tree(image, &mut seen, key.objectid, (root.addr, root.level));
    }
    walked
}

impl Walked {
    fn add_chunk(&mut self, addr: u64, chunk: &ChunkItem<'_>) {
        let first = chunk.stripes().next().expect("a stripe");
        self.chunks.insert(addr, (chunk.len.get(), first.at.get()));
    }

    /// All items of this kind in a tree that was walked.
    pub fn items(&self, owner: ObjectId, kind: Kind) -> Vec<(engine::disk::Key, Vec<u8>)> {
        let leaves = self
            .blocks
            .iter()
            .filter(|block| block.owner == owner && block.level == 0);
        let mut items = Vec::new();
        for block in leaves {
            let leaf = Leaf::new(&block.bytes);
            for (key, data) in (0..leaf.nritems()).filter_map(|slot| leaf.item(slot)) {
                if key.kind == kind {
                    items.push((key, data.to_vec()));
                }
            }
        }
        items
    }

    /// Where an address lies, in the first copy.
    pub fn place(&self, addr: Logical) -> u64 {
        let mut chunks = self.chunks.range(..=addr.get());
        let (start, (len, place)) = chunks.next_back().expect("a chunk");
        assert!(addr.get() < start + len, "no chunk has {}", addr.get());
        place + (addr.get() - start)
    }

    /// A block's bytes, from its first copy.
    pub fn read(&self, image: &Image, addr: Logical) -> Vec<u8> {
        let mut bytes = vec![0; self.superblock.node_size as usize];
        image.pages.read(self.place(addr), &mut bytes);
        bytes
    }

    /// Writes a block that was changed to its first copy, with the checksum that it has then.
    pub fn write(&self, image: &mut Image, addr: Logical, bytes: &mut [u8]) {
        seal_block(bytes, self.superblock.checksum, &HostChecksums);
        image.pages.write(self.place(addr), bytes);
    }

    fn tree(
        &mut self,
        image: &Image,
        seen: &mut BTreeSet<Logical>,
        owner: ObjectId,
        (addr, level): (Logical, u8),
    ) {
        if !seen.insert(addr) {
            return;
        }
        let bytes = self.read(image, addr);
        let header = Header::new(&bytes).expect("a header");
        assert_eq!((header.addr, header.level), (addr, level));
        let node = Node::new(&bytes);
        let children: Vec<_> = match level {
            0 => Vec::new(),
            _ => (0..node.nritems())
                .filter_map(|slot| node.child(slot))
                .collect(),
        };
        let generation = header.generation;
        self.blocks.push(Found {
            owner,
            addr,
            level,
            generation,
            bytes,
        });
        for child in children {
            self.tree(image, seen, owner, (child.addr, level - 1));
        }
    }
}
