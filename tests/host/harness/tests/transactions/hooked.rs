// SPDX-License-Identifier: GPL-2.0
//! A store that lets a test do something while a commit is on its way to the device, as long as it likes: the slowest of
//! devices.

use crate::mounted::mount_over;
use engine::btree::{BlockInfo, BlockRef, Expected, Identity, Store, WriteMode};
use engine::disk::{Bytes, Logical};
use engine::txn::{Access, Options};
use harness::device::Image;
use harness::mount::Layers;
use harness::store::{HostStore, OnVolume};
use kernel::prelude::*;
use kernel::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;

type Hook = std::boxed::Box<dyn FnOnce() + Send>;

/// What the flusher does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flusher {
    /// Nothing.
    Idle,
    /// It sends what it can.
    Busy,
}

/// A store that calls somebody before the next write of a commit: the transaction is closed, the next one open. It may
/// have a flusher, which sends what it can whenever a block is made.
pub(crate) struct Hooked {
    store: Arc<HostStore<OnVolume>>,
    hook: Mutex<Option<Hook>>,
    flusher: AtomicBool,
}

impl Store for Hooked {
    fn node_size(&self) -> u32 {
        self.store.node_size()
    }

    fn identity(&self) -> Identity {
        self.store.identity()
    }

    fn read(&self, addr: Logical, expected: &Expected) -> Result<BlockRef> {
        self.store.read(addr, expected)
    }

    fn try_read(&self, addr: Logical, expected: &Expected) -> Option<BlockRef> {
        self.store.try_read(addr, expected)
    }

    fn read_ahead(&self, addr: Logical, expected: &Expected) {
        self.store.read_ahead(addr, expected);
    }

    fn create(&self, info: BlockInfo) -> Result<BlockRef> {
        if self.flusher.load(Ordering::Relaxed) {
            self.flush();
        }
        self.store.create(info)
    }

    fn mark_dirty(&self, block: &BlockRef) {
        self.store.mark_dirty(block);
    }

    fn forget(&self, block: &BlockRef) {
        self.store.forget(block);
    }

    fn write(&self, start: Logical, len: Bytes, mode: WriteMode) -> Result {
        if mode == WriteMode::Commit {
            let hook = self.hook.lock().unwrap().take();
            hook.into_iter().for_each(|hook| hook());
        }
        self.store.write(start, len, mode)
    }

    fn wait(&self, start: Logical, len: Bytes) -> Result {
        self.store.wait(start, len)
    }

    fn discard(&self, start: Logical, len: Bytes) {
        self.store.discard(start, len);
    }
}

impl Hooked {
    /// What is to be done then.
    pub(crate) fn hook(&self, hook: impl FnOnce() + Send + 'static) {
        *self.hook.lock().unwrap() = Some(std::boxed::Box::new(hook));
    }

    /// Whether blocks are sent at any time.
    pub(crate) fn set_flusher(&self, flusher: Flusher) {
        self.flusher
            .store(flusher == Flusher::Busy, Ordering::Relaxed);
    }

    /// Another task sends all blocks that nobody has locked.
    fn flush(&self) {
        let everything = (Logical::new(0), u64::MAX);
        let flush = || {
            self.store.write(
                everything.0,
                Bytes::new(everything.1),
                WriteMode::Background,
            )
        };
        std::thread::scope(|scope| scope.spawn(flush).join().unwrap()).unwrap();
    }
}

/// A mount, and where to hook in.
pub(crate) fn mount_hooked(image: Image) -> (Layers, Arc<Hooked>) {
    let mut hooked = None;
    let mounted = mount_over(image, Options::new(Access::ReadWrite), |store| {
        let made = Hooked {
            store,
            hook: Mutex::default(),
            flusher: AtomicBool::new(false),
        };
        let made = Arc::new(made, GFP_KERNEL)?;
        hooked = Some(made.clone());
        Ok(made)
    });
    (mounted.unwrap(), hooked.unwrap())
}
