// SPDX-License-Identifier: GPL-2.0
//! How to open a volume.

use super::Clock;
use crate::space::{Discard, WriteOrder};
use kernel::sync::Arc;
use latch::prelude::Error;

/// Whether the volume may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing is ever written.
    ReadOnly,
    /// Changes and commits.
    ReadWrite,
}

/// What to do with a log tree (fsyncs after the last commit) found in the superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTree {
    /// Refuse to open: what was fsynced must not be passed over in silence.
    Refuse,
    /// Show the last commit without it; read-only alone (C: `norecovery`, `rescue=nologreplay`).
    Ignore,
}

/// Which roots to trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The superblock's own, nothing else.
    Current,
    /// Where they cannot be read, the newest of the superblock's four backups that can (C: `rescue=usebackuproot`).
    OrBackup,
}

/// Whether a free space tree that says it is valid is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeTrust {
    /// The tree is believed.
    Believed,
    /// Who writes from the mount on makes it anew; who does not believes it (C: `clear_cache`). Where there is a block group tree, with
    /// which C requires a valid one in each superblock, that is one transaction: `EFBIG` where it would be too large.
    Doubted,
}

/// Where the volume is to keep what is free. Another way than that of before is made so before the first write.
///
/// A free space tree goes only where it is not believed ([`TreeTrust::Doubted`]), as with C: `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It stays where the superblock says: in its free space tree, or in caches, where it has a `cache_generation` (C: no option).
    AsFound,
    /// It is to be in a free space tree (C: `space_cache=v2`).
    InTree,
    /// It is to be in caches (v1), where these can be: without a block group tree, on a device without sequential zones (C, up to 7.0:
    /// `space_cache=v1`).
    InCaches,
    /// It is to be in neither; caches that are there go with the first write (C: `nospace_cache`).
    Nowhere,
}

/// Who is told, once, that a transaction was aborted: the mount is read-only from then on.
pub trait Witness: Send + Sync {
    /// The first transaction was aborted, by this error. Any lock of this driver may be held.
    fn aborted(&self, error: Error);
}

/// How [`super::Transactions::open`] opens a volume.
#[derive(Clone)]
pub struct Options {
    /// Read-only or read-write; what is opened may be less: see [`crate::volume::Volume::writes`].
    pub access: Access,
    /// What to do with a log tree.
    pub log_tree: LogTree,
    /// Which roots to trust.
    pub roots: Roots,
    /// Whether the free space tree is believed.
    pub free_space: TreeTrust,
    /// Where the volume is to keep what is free.
    pub keep: Keep,
    /// Whether devices are told of freed ranges, at first.
    pub discard: Discard,
    /// Tells the time for the counters and for [`super::Transactions::commit_if_older`].
    pub clock: Option<Arc<dyn Clock>>,
    /// Who is told of an abort.
    pub witness: Option<Arc<dyn Witness>>,
    /// The order in which the block cache writes; see [`crate::space::Options`].
    pub write_order: Option<Arc<WriteOrder>>,
}

impl Options {
    /// The usual: a log tree is refused and no backup root is tried.
    pub const fn new(access: Access) -> Self {
        Self {
            access,
            log_tree: LogTree::Refuse,
            roots: Roots::Current,
            free_space: TreeTrust::Believed,
            keep: Keep::AsFound,
            discard: Discard::Never,
            clock: None,
            witness: None,
            write_order: None,
        }
    }
}
