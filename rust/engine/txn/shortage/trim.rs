// SPDX-License-Identifier: GPL-2.0
//! Telling devices what is unused, on demand: fstrim(8).

use crate::disk::{Bytes, DeviceId, ObjectId, Physical};
use crate::space::Trim;
use crate::txn::handles::core::Core;
use latch::prelude::*;
use latch::NofsScope;

/// Bytes outside of chunks that are kept from becoming one at a time: so long does who makes a chunk wait, or a freeze.
const PIECE: Bytes = Bytes::new(128 << 20);

impl Core {
    /// Does what [`crate::txn::Transactions::trim`] says.
    pub(in crate::txn) fn trim(&self, call: &mut Trim<'_>) -> Result {
        self.check_sending()?;
        // Memory is taken with groups and device ranges locked, which an inode that is evicted for it may need.
        let _nofs = NofsScope::enter();
        self.space.trim_free(call, &|error| self.abort(error))?;
        for devid in self.volume.device_ids() {
            self.trim_unused(devid, call)?;
        }
        Ok(())
    }

    /// Tells the devices of some of what became free a while ago.
    pub(in crate::txn) fn trim_waiting(&self, most: usize, until: u64) -> Result {
        let in_time = || self.now_ns() < until;
        let lost = |error| self.abort(error);
        self.space.trim_waiting(most, &in_time, &lost)
    }

    fn trim_unused(&self, devid: DeviceId, call: &mut Trim<'_>) -> Result {
        let tree = self.trees.required(ObjectId::DEV_TREE)?;
        let mut from = Physical::new(0);
        loop {
            (call.go_on)()?;
            // No chunk is made there meanwhile.
            let mut leaving = self.leaving.lock();
            let used = self.chunks().taken(&tree, devid, &mut leaving)?;
            let Some(hole) = self
                .volume
                .unused()
                .next_from(devid, used, from, call.least)?
            else {
                return Ok(());
            };
            let len = hole.len.min(PIECE);
            self.volume.unused().discard(devid, hole.start, len);
            from = hole.start.saturating_add(len);
            call.count(len);
        }
    }
}
