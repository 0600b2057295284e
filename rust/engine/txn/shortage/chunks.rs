// SPDX-License-Identifier: GPL-2.0
//! Making chunks and removing empty ones.

use crate::btree::{Allocate, Tree};
use crate::disk::{
    BlockGroupFlags, Bytes, ChunkItem, DevExtent, DevItem, DeviceId, Flaw, Key, ObjectId, Physical,
};
use crate::map::insert_in_order;
use crate::space::{Class, Removal, Space};
use crate::txn::handles::context::Context;
use crate::txn::handles::core::Core;
use crate::txn::handles::leaving::Leaving;
use crate::txn::transaction::Transaction;
use crate::txn::Roots;
use crate::volume::{Chunk, DeviceRange, Stripe};
use core::ops::ControlFlow;
use core::sync::atomic::Ordering;
use latch::prelude::*;

/// How many chunks had been made when somebody found that one is missing: who waited for another's makes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::txn) struct Made(u64);

impl Context<'_> {
    /// Makes the chunk that should be made before blocks run short, from inside the transaction. No tree block lock
    /// is held by the caller. Where there is no space for one, none is made, which is no error.
    pub(in crate::txn) fn make_wanted_chunk(&self) -> Result {
        let before = self.shared().chunks_made();
        self.shared().read_free(Space::read_wanted)?;
        let Some(class) = self.shared().space.chunk_wanted() else {
            return Ok(());
        };
        match self.shared().chunks().make(self, class, before) {
            Err(error) if error == ENOSPC => Ok(()),
            made => made,
        }
    }
}

/// The chunks of a mounted volume: [`Core::chunks`].
#[derive(Clone, Copy)]
pub(in crate::txn) struct Chunks<'a>(&'a Core);

impl Core {
    /// The chunks, to be made and removed.
    pub(in crate::txn) fn chunks(&self) -> Chunks<'_> {
        Chunks(self)
    }

    /// To be asked before it is tried whether space suffices.
    pub(in crate::txn) fn chunks_made(&self) -> Made {
        Made(self.chunks_made.load(Ordering::Acquire))
    }
}

impl Chunks<'_> {
    /// Makes a chunk, unless one was made since `before`. `ENOSPC` when the device has no room for it; the
    /// transaction is as before then.
    pub(in crate::txn) fn make(&self, context: &Context<'_>, class: Class, before: Made) -> Result {
        let mut leaving = self.0.leaving.lock();
        if self.0.chunks_made() != before {
            return Ok(());
        }
        self.0.read_free(Space::read_wanted)?;
        // The chunk item may split blocks of the chunk tree.
        if class != Class::System && self.0.space.chunk_wanted() == Some(Class::System) {
            match self.make_one(context, &mut leaving, Class::System) {
                Err(error) if error == ENOSPC => self.0.check_sending()?,
                made => made?,
            }
        }
        if class != Class::System && !self.0.space.has_room_for_chunk_items() {
            // Nobody is to be promised what such a chunk would have.
            self.0.space.chunk_refused(class);
            return Err(ENOSPC);
        }
        self.make_one(context, &mut leaving, class)
    }

    fn make_one(&self, context: &Context<'_>, leaving: &mut Leaving, class: Class) -> Result {
        let device = self.0.trees.required(ObjectId::DEV_TREE)?;
        let flags = self.0.space.new_chunk_flags(class);
        let planned = self.plan(&device, leaving, flags);
        let planned =
            planned.and_then(|planned| self.check_list(context, &planned).map(|()| planned));
        let planned = planned.inspect_err(|error| {
            if *error == ENOSPC {
                self.0.space.chunk_refused(class);
            }
        })?;
        let taken = leaving.take(&planned);
        let made = taken.and_then(|()| self.record(context, &device, planned));
        match made {
            Ok(()) => {
                self.0.chunks_made.fetch_add(1, Ordering::Release);
            }
            // Some of its items may be there.
            Err(error) => self.0.abort(error),
        }
        made
    }

    /// Plans a chunk on the first device that has room for it.
    fn plan(&self, device: &Tree, leaving: &mut Leaving, flags: BlockGroupFlags) -> Result<Chunk> {
        for devid in self.0.volume.device_ids() {
            let used = self.taken(device, devid, leaving)?;
            match self.0.volume.unused().plan_chunk(flags, devid, used) {
                Err(error) if error == ENOSPC => {}
                planned => return planned,
            }
        }
        Err(ENOSPC)
    }

    /// `ENOSPC` where the superblock, which lists the chunks of the chunk tree, would have no room for one more. Those that this
    /// transaction made are not there yet.
    fn check_list(&self, context: &Context<'_>, planned: &Chunk) -> Result {
        if !planned.flags.contains(BlockGroupFlags::SYSTEM) {
            return Ok(());
        }
        let added = context.transaction().chunks.lock().system_added.len();
        match self.0.volume.superblocks().room_for_system_chunks(planned) > added {
            true => Ok(()),
            false => Err(ENOSPC),
        }
    }

    fn record(&self, context: &Context<'_>, device: &Tree, planned: Chunk) -> Result {
        // Usable before its items are inserted: those of the chunk tree may find no other place.
        let chunk = self.0.volume.add_chunk(planned)?;
        self.0.space.add_group(context, chunk.logical)?;
        let stripe_len = chunk.stripe_len()?;
        for stripe in chunk.stripes.iter() {
            let extent = DevExtent {
                start: stripe.at,
                len: stripe_len,
                chunk: chunk.logical,
            };
            let key = dev_extent_key(stripe);
            device.insert_with(context, &key, DevExtent::SIZE, |bytes| {
                extent.write_to(bytes)
            })??;
        }
        let item = chunk.item(self.0.volume.format().sector_size);
        let key = ChunkItem::key(chunk.logical);
        let chunks = self.0.trees.chunk();
        chunks.insert_with(context, &key, item.encoded_len(), |bytes| {
            item.write_to(bytes)
        })??;
        self.change_device_used(context, &chunk, |used, len| used.checked_add(len))?;
        if chunk.flags.contains(BlockGroupFlags::SYSTEM) {
            context
                .transaction()
                .chunks
                .lock()
                .system_added
                .push(chunk, GFP_NOFAIL)?;
        }
        Ok(())
    }

    /// The ranges of a device at which no chunk can be made, ascending.
    pub(in crate::txn) fn taken<'a>(
        &self,
        device: &Tree,
        devid: DeviceId,
        leaving: &'a mut Leaving,
    ) -> Result<&'a [DeviceRange]> {
        leaving.taken(devid, |leaving| self.device_ranges(device, devid, leaving))
    }

    /// Reads what a device's items say is used, and adds what is not free before a commit; ascending.
    fn device_ranges(
        &self,
        device: &Tree,
        devid: DeviceId,
        leaving: &Leaving,
    ) -> Result<KVVec<DeviceRange>> {
        let mut ranges = KVVec::new();
        let all = |start| DevExtent::key(devid, Physical::new(start));
        device.scan(all(0)..=all(u64::MAX), |key, bytes| {
            let extent = DevExtent::parse(&key, bytes)
                .map_err(|flaw| flaw.in_item(device.id(), &key).report())?;
            let range = DeviceRange {
                start: extent.start,
                len: extent.len,
            };
            insert_in_order(&mut ranges, range)?;
            Ok(ControlFlow::Continue(()))
        })?;
        for chunk in leaving.iter() {
            let len = chunk.stripe_len()?;
            for stripe in chunk.stripes.iter().filter(|stripe| stripe.devid == devid) {
                let range = DeviceRange {
                    start: stripe.at,
                    len,
                };
                insert_in_order(&mut ranges, range)?;
            }
        }
        Ok(ranges)
    }

    /// Changes the device items' bytes in chunks by a chunk's stripes.
    fn change_device_used(
        &self,
        context: &Context<'_>,
        chunk: &Chunk,
        change: fn(Bytes, Bytes) -> Option<Bytes>,
    ) -> Result {
        let len = chunk.stripe_len()?;
        for stripe in chunk.stripes.iter() {
            let key = DevItem::key(stripe.devid);
            let chunks = self.0.trees.chunk();
            let used = chunks.update(context, &key, |bytes| -> Result<Bytes> {
                let broken = |flaw: Flaw| flaw.in_item(chunks.id(), &key).report();
                let mut item = DevItem::parse(bytes).map_err(broken)?;
                let used = item.bytes_used;
                item.bytes_used = change(used, len).ok_or_else(|| {
                    let what = "device's bytes in chunks do not fit a chunk";
                    broken(Flaw::new(what, used.get(), len.get()))
                })?;
                item.write_to(bytes)?;
                Ok(item.bytes_used)
            })??;
            let mut changes = context.transaction().chunks.lock();
            changes.device_used.insert(stripe.devid, used)?;
        }
        Ok(())
    }

    /// Removes the items of an empty block group and its chunk. After an error the transaction must be aborted.
    pub(in crate::txn) fn remove(&self, context: &Context<'_>, removal: Removal) -> Result {
        let chunk = removal.chunk().clone();
        let device = self.0.trees.required(ObjectId::DEV_TREE)?;
        let mut leaving = self.0.leaving.lock();
        leaving.push(context.generation(), chunk.clone())?;
        for stripe in chunk.stripes.iter() {
            device.remove(context, &dev_extent_key(stripe))?;
        }
        self.0
            .trees
            .chunk()
            .remove(context, &ChunkItem::key(chunk.logical))?;
        self.change_device_used(context, &chunk, |used, len| used.checked_sub(len))?;
        removal.delete_items(context)?;
        context
            .transaction()
            .chunks
            .lock()
            .removed
            .push(chunk, GFP_NOFAIL)?;
        Ok(())
    }

    /// The superblock without the removed chunks is durable: their zones and device ranges are free.
    pub(in crate::txn) fn finish_removals(&self, transaction: &Transaction) -> Result {
        let removed = core::mem::take(&mut transaction.chunks.lock().removed);
        if removed.is_empty() {
            return Ok(());
        }
        self.0.space.chunks_leave();
        let mut leaving = self.0.leaving.lock();
        for chunk in removed.iter() {
            self.0.store.discard(chunk.logical, chunk.len);
            self.0.volume.remove_chunk(chunk.logical);
            if let Err(error) = self.0.volume.zones().reset(chunk) {
                let errno = error.to_errno();
                pr_warn!(
                    "removed chunk {}: its zones cannot be reset ({}), they stay unused\n",
                    chunk.logical,
                    errno
                );
                leaving.keep(chunk.logical);
            }
        }
        leaving.forget(transaction.generation);
        // A chunk that found no place before may find one now.
        self.0.space.ranges_freed();
        Ok(())
    }

    /// The first write may follow.
    pub(in crate::txn) fn begin_writing(&self) -> Result {
        self.0.volume.begin_writing(|| self.reset_stray_zones())
    }

    /// At mount, with the superblock's own roots: resets zones that were to be reset when the power was cut.
    pub(in crate::txn) fn reset_stray_zones(&self) -> Result {
        if self.0.roots != Roots::Current {
            return Ok(());
        }
        // What the device tree says must be known; that a zone cannot be reset is its loss alone.
        let mut listed = Ok(());
        let mut used = |devid| {
            let ranges = self.0.trees.required(ObjectId::DEV_TREE);
            let ranges =
                ranges.and_then(|tree| self.device_ranges(&tree, devid, &self.0.leaving.lock()));
            ranges.inspect_err(|error| listed = Err(*error))
        };
        let reset = self.0.volume.zones().reset_stray(&mut used);
        listed?;
        match reset {
            Ok(0) => (),
            Ok(count) => pr_info!("{} zones without a chunk were reset\n", count),
            Err(error) => pr_warn!(
                "zones without a chunk cannot be reset ({})\n",
                error.to_errno()
            ),
        }
        Ok(())
    }
}

fn dev_extent_key(stripe: &Stripe) -> Key {
    DevExtent::key(stripe.devid, stripe.at)
}
