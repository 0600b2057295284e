// SPDX-License-Identifier: GPL-2.0
//! Moving blocks to new addresses, as copy on write does without being asked.

use super::cow::first_key;
use super::descend::Aim;
use super::lock::{kind, nesting};
use super::path::Path;
use super::{Expected, Store, Tree};
use crate::disk::{Header, Key, Logical, ObjectId};
use latch::prelude::*;
use latch::{Latched, Side};

impl Tree {
    /// Copies all blocks on the way to `key` that the transaction has not: they leave their addresses.
    pub fn rewrite(&self, txn: &dyn super::Allocate, key: &Key) -> Result {
        Path::new(self, txn).seek(key, &Aim::Change)
    }
}

/// The tree that a block was made for, and a key on whose way it is there. Reads the block. No tree block lock is held.
pub fn way_to(store: &dyn Store, addr: Logical, expected: &Expected) -> Result<(ObjectId, Key)> {
    let block = store.read(addr, expected)?;
    // Of no tree as long as nobody knows of which.
    let other = kind(ObjectId::new(0));
    let guard = Latched::read(&block, nesting(other, expected.level, Side::Path));
    let header = Header::new(guard.bytes()).ok_or(EUCLEAN)?;
    let key = first_key(guard.bytes(), expected.level).unwrap_or(Key::MIN);
    Ok((header.owner, key))
}
