// SPDX-License-Identifier: GPL-2.0
//! What chunks could still be added to a class, and when one should be.

use super::block_groups::BlockGroups;
use crate::disk::{BlockGroupFlags, Bytes};
use crate::space::reserve::Growth;
use crate::space::Class;
use crate::volume::copies_of;

/// Devices with less than this left, for one copy, are full.
const SMALLEST_CHUNK: Bytes = Bytes::new(1 << 20);
/// The largest data chunk (C: `BTRFS_MAX_DATA_CHUNK_SIZE` is 10 GiB; mkfs and C allocate 1 GiB on usual volumes).
const DATA_CHUNK: Bytes = Bytes::new(1 << 30);

/// What chunks could be added: [`BlockGroups::growth`].
#[derive(Clone, Copy)]
pub(in crate::space) struct ChunkGrowth<'a>(&'a BlockGroups);

impl BlockGroups {
    /// What chunks could be added, to be asked and counted again.
    pub(in crate::space) fn growth(&self) -> ChunkGrowth<'_> {
        ChunkGrowth(self)
    }
}

impl ChunkGrowth<'_> {
    /// Does what [`crate::space::Space::chunk_wanted`] says.
    pub(in crate::space) fn chunk_wanted(&self) -> Option<Class> {
        [Class::System, Class::Metadata].into_iter().find(|&class| {
            let totals = self.0.info(class).lock();
            totals.growth.next_chunk > Bytes::ZERO && totals.wants_chunk(class)
        })
    }

    /// The class of tree blocks that runs short where it is known what is free, and has more that is not.
    pub(in crate::space) fn read_wanted(&self) -> Option<Class> {
        [Class::System, Class::Metadata]
            .into_iter()
            .find(|&class| self.0.info(class).lock().wants_reading(class))
    }

    /// Does what [`crate::space::Space::has_room_for_chunk_items`] says.
    pub(in crate::space) fn has_room_for_chunk_items(&self) -> bool {
        let free = self.0.info(Class::System).lock().tally.free_in_all();
        free >= self.of_chunk_items()
    }

    /// What the items of one chunk take of the chunk tree's groups at most: two ways from its root, and a split on each level.
    pub(in crate::space) fn of_chunk_items(&self) -> Bytes {
        self.0.node_size.saturating_mul(16)
    }

    /// Type and profile for a new chunk: those of the newest group of the class.
    pub(in crate::space) fn profile(&self, class: Class) -> BlockGroupFlags {
        let newest = self.0.read().newest(class).map(|group| group.chunk().flags);
        newest.unwrap_or(match class {
            Class::Data => BlockGroupFlags::DATA,
            Class::Metadata => BlockGroupFlags::METADATA.with(BlockGroupFlags::DUP),
            Class::System => BlockGroupFlags::SYSTEM.with(BlockGroupFlags::DUP),
        })
    }

    /// Does what [`crate::space::Space::chunk_refused`] says.
    pub(in crate::space) fn chunk_refused(&self, class: Class) {
        self.0.info(class).set_growth(Growth::default());
    }

    /// Recounts what the devices could still add to each class.
    pub(in crate::space) fn refresh(&self) {
        let taken = self.0.read().device_bytes();
        let total = self.0.volume.superblocks().total_bytes();
        let left = total
            .saturating_sub(taken)
            .saturating_sub(self.0.volume.zones().never_in_chunks());
        let zone_size = self.0.volume.zones().size();
        let step = zone_size.unwrap_or(SMALLEST_CHUNK);
        for class in Class::ALL {
            let bytes = left.divided_by(copies_of(self.profile(class)));
            let bytes = self
                .capacity_of(class, step)
                .saturating_mul(bytes.count(step));
            let growth = Growth {
                bytes,
                next_chunk: bytes.min(DATA_CHUNK),
                data_chunk: zone_size.unwrap_or(DATA_CHUNK.min(total.divided_by(10))),
            };
            self.0.info(class).set_growth(growth);
        }
    }

    /// What a chunk of `len` bytes can hold: less, if sequential zones hold less than they are long.
    pub(in crate::space) fn capacity_of(&self, class: Class, len: Bytes) -> Bytes {
        let capacity = self.0.volume.zones().capacity().unwrap_or(len).min(len);
        capacity.round_down(self.0.granularity_of(class))
    }

    /// Keeps back what a group of file data holds on sequential zones, to move data there; of a tiny volume an eighth.
    fn size_data_reserve(&self) {
        let Some(zone_size) = self.0.volume.zones().size() else {
            return;
        };
        if !self.0.volume.rules().frees_whole_groups() {
            return;
        }
        let space_info = self.0.info(Class::Data);
        let growth = space_info.lock().growth.bytes;
        let all = self.0.read().capacity(Class::Data).saturating_add(growth);
        let group = self.capacity_of(Class::Data, zone_size);
        space_info.resize_global(group.min(all.divided_by(8)));
    }

    /// Does what [`crate::space::Space::size_global_reserve`] says.
    pub(in crate::space) fn size_global_reserve(&self, tree_bytes: Bytes, trees: u32) {
        const MIN: Bytes = Bytes::new(16 << 20);
        const MAX: Bytes = Bytes::new(512 << 20);
        /// New blocks and splits on each level of one path.
        const PATH: u64 = 2 * crate::disk::MAX_LEVELS as u64;
        self.size_data_reserve();
        let space_info = self.0.info(Class::Metadata);
        let growth = space_info.lock().growth.bytes;
        let paths = self
            .0
            .node_size
            .saturating_mul(PATH.saturating_mul(trees.into()));
        // On zones, what a group holds: to empty one takes as much, and on a full volume frees the next.
        let group = match self.0.volume.zones().size() {
            Some(zone_size) => self.capacity_of(Class::Metadata, zone_size),
            None => Bytes::ZERO,
        };
        let size = tree_bytes.max(paths).clamp(MIN, MAX).saturating_add(group);
        let all = self
            .0
            .read()
            .capacity(Class::Metadata)
            .saturating_add(growth.divided_by(2));
        // A tiny volume must have something left for its files; but a group must fill up and another be emptied.
        let affordable = all
            .divided_by(4)
            .max(group.saturating_mul(2).min(all.divided_by(2)));
        space_info.resize_global(size.min(affordable));
        if self.0.volume.rules().frees_whole_groups() {
            space_info.lock().dying = group;
        }
    }
}
