// SPDX-License-Identifier: GPL-2.0

//! Which folios wait for a worker, and how to wait for them.
//!
//! Writeback puts a folio down each time it leaves it out, and whoever sees to it takes it up again. A folio that is put
//! down meanwhile is looked at once more before its place is given up: whoever finds a place taken after his own
//! writeback knows that when the place is free, what he left out has been seen to since.

use super::put_offs::PutOffs;
use crate::linux::Folio;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use kernel::sync::aref::ARef;
use latch::prelude::*;
use latch::{Condvar, Mutex, Rank, RwLock, RwLockReadGuard, RwLockWriteGuard};
use units::FileOffset;

/// A file's folios that wait for a worker, by position.
pub(crate) struct Fixups {
    waiting: Mutex<Waiting>,
    one_done: Condvar,
    put_offs: PutOffs,
    /// Whether [`Fixups::suspect`] was called.
    is_suspect: AtomicBool,
    /// Held for reading by a worker from its look at what the trees have until that is relied on, for writing by who takes it
    /// away. Who has it for writing waits for no worker.
    cuts: RwLock<()>,
}

struct Waiting {
    places: RBTree<FileOffset, WaitingFolio>,
    /// The tickets of all places: whose is smallest waits longest.
    tickets: RBTree<u64, ()>,
    next_ticket: u64,
    /// Places that were given up, in all.
    ended: u64,
}

/// The place of a folio that waits.
struct WaitingFolio {
    ticket: u64,
    /// The folio that is to be seen to; `None` while a worker is at it.
    folio: Option<ARef<Folio>>,
}

/// Memory for a place.
pub(super) struct Vacancy {
    place: RBTreeNodeReservation<FileOffset, WaitingFolio>,
    ticket: RBTreeNodeReservation<u64, ()>,
}

impl Vacancy {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            place: RBTreeNodeReservation::new(GFP_KERNEL)?,
            ticket: RBTreeNodeReservation::new(GFP_KERNEL)?,
        })
    }
}

impl Fixups {
    /// Makes the set for a file of which no folio waits.
    pub(crate) fn new() -> Result<Self> {
        let waiting = Waiting {
            places: RBTree::new(),
            tickets: RBTree::new(),
            next_ticket: 0,
            ended: 0,
        };
        Ok(Self {
            waiting: Mutex::new(waiting, Rank::Fixups)?,
            one_done: Condvar::new(Rank::Fixups)?,
            put_offs: PutOffs::default(),
            is_suspect: AtomicBool::new(false),
            cuts: RwLock::new((), Rank::Cuts)?,
        })
    }

    /// From now on folios of the file may be dirty that nobody asked for space for. Said before they are.
    pub(crate) fn suspect(&self) {
        self.is_suspect.store(true, Ordering::Release);
    }

    /// Whether a folio of the file was ever dirtied without its space.
    pub(in crate::linux) fn is_suspect(&self) -> bool {
        self.is_suspect.load(Ordering::Acquire)
    }

    /// Keeps workers from relying on unwritten space that the file is about to lose. No folio is locked, and no worker is
    /// waited for while this lives.
    pub(super) fn keep_workers_out(&self) -> RwLockWriteGuard<'_, ()> {
        self.cuts.write()
    }

    /// Keeps out who cuts the file or makes a hole in it: what the trees have unwritten stays. No folio is locked.
    pub(super) fn keep_cuts_out(&self) -> RwLockReadGuard<'_, ()> {
        self.cuts.read()
    }

    /// How often bytes of the file were put off.
    pub(super) fn put_offs(&self) -> &PutOffs {
        &self.put_offs
    }

    /// Puts a folio down at its place. If it has none, it is given back: [`Self::open`] makes one.
    pub(super) fn put(&self, pos: FileOffset, folio: ARef<Folio>) -> Option<ARef<Folio>> {
        let mut waiting = self.waiting.lock();
        match waiting.places.get_mut(&pos) {
            // The one before was cut away, or is the same.
            Some(place) => {
                place.folio = Some(folio);
                None
            }
            None => Some(folio),
        }
    }

    /// Makes a place, puts the folio down there, and lets `enqueue` send a worker before anybody can wait for it.
    pub(super) fn open(
        &self,
        pos: FileOffset,
        folio: ARef<Folio>,
        vacancy: Vacancy,
        enqueue: impl FnOnce(),
    ) {
        let mut waiting = self.waiting.lock();
        let ticket = waiting.next_ticket;
        waiting.next_ticket = ticket.wrapping_add(1);
        let place = WaitingFolio {
            ticket,
            folio: Some(folio),
        };
        waiting.places.insert(vacancy.place.into_node(pos, place));
        waiting.tickets.insert(vacancy.ticket.into_node(ticket, ()));
        enqueue();
    }

    /// Takes up the folio at a place. If none was put down since the last time, the place is given up.
    pub(super) fn take_up(&self, pos: FileOffset) -> Option<ARef<Folio>> {
        let mut waiting = self.waiting.lock();
        let folio = waiting.places.get_mut(&pos)?.folio.take();
        if folio.is_none() {
            waiting.give_up(pos);
            self.one_done.notify_all();
        }
        folio
    }

    /// Gives up a place and what was put down there since: there is no space for it, as whoever waits has been told. To look
    /// for space writes out what is dirty, the same folio too, which is put down again by that: its worker would never end.
    pub(super) fn give_up(&self, pos: FileOffset) {
        let mut waiting = self.waiting.lock();
        let folio = waiting.give_up(pos);
        self.one_done.notify_all();
        drop(waiting);
        drop(folio);
    }

    fn ended(&self) -> u64 {
        self.waiting.lock().ended
    }

    /// Waits until all places that there are now are given up, not for those that are made meanwhile; how many have been,
    /// in all.
    fn wait(&self) -> u64 {
        let mut waiting = self.waiting.lock();
        let end = waiting.next_ticket;
        while waiting.has_before(end) {
            self.one_done.wait(&mut waiting);
        }
        waiting.ended
    }

    /// Lets `write` write out a range and wait for it, as often as somebody puts bytes off meanwhile; and once more if folios
    /// of the file were seen to, which `write` may have left out. What the second turn leaves out was dirtied after the
    /// first.
    pub(crate) fn settle(&self, write: impl Fn() -> Result) -> Result {
        let before = self.ended();
        let first = self.put_offs.outlast(&write);
        match self.wait() == before {
            true => first,
            false => first.and(self.put_offs.outlast(&write)),
        }
    }

    /// Lets `write` write out a range for somebody who only looks, and must not wait for a thaw as workers do: once more if
    /// folios of the file were seen to meanwhile. What the workers have yet to see to is left.
    pub(crate) fn write_out(&self, write: impl Fn() -> Result) -> Result<WrittenOut> {
        let before = self.ended();
        self.put_offs.outlast(&write)?;
        let (ended, is_empty) = {
            let waiting = self.waiting.lock();
            (waiting.ended, waiting.places.is_empty())
        };
        if ended != before {
            self.put_offs.outlast(&write)?;
        }
        Ok(match is_empty {
            true => WrittenOut::All,
            false => WrittenOut::Partly,
        })
    }
}

/// What of a range is on the device for somebody who only looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WrittenOut {
    /// All of it is there.
    All,
    /// The page cache has newer bytes, of which the trees know nothing: they were dirtied behind the file system's back.
    Partly,
}

impl Waiting {
    fn give_up(&mut self, pos: FileOffset) -> Option<ARef<Folio>> {
        let place = self.places.remove(&pos)?;
        self.tickets.remove(&place.ticket);
        self.ended = self.ended.wrapping_add(1);
        place.folio
    }

    fn has_before(&self, ticket: u64) -> bool {
        let first = self.tickets.keys().next();
        first.is_some_and(|first| *first < ticket)
    }
}

/// What became of the folios of a mount so far.
#[derive(Default)]
pub(crate) struct Tally {
    /// How many were queued.
    pub(crate) queued: AtomicU64,
    /// Space was found: the folio goes out with the next writeback.
    pub(crate) mended: AtomicU64,
    /// There was nothing left to do.
    pub(crate) cancelled: AtomicU64,
    /// No space was found; the folio is still dirty, and fsync was told.
    pub(crate) failed: AtomicU64,
    /// No more are taken: the file system goes away.
    is_closed: AtomicBool,
    put_offs: PutOffs,
    /// How often writeback left a folio out. Counted when the folio is where a worker takes it up, or is dirty again.
    left_out: AtomicU64,
    /// How many of those [`Self::settle`] has followed.
    settled: AtomicU64,
}

impl Tally {
    /// Takes no more folios. What is dirtied behind the file system's back from now on is lost, and said so.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Writeback left a folio out, which has a place, or is dirty again.
    pub(super) fn leave_out(&self) {
        self.left_out.fetch_add(1, Ordering::AcqRel);
    }

    /// Writeback has put off what it could not send.
    pub(super) fn put_off(&self) {
        self.leave_out();
        self.put_offs.note();
    }

    /// How often bytes of all files of the mount were put off.
    pub(crate) fn put_offs(&self) -> &PutOffs {
        &self.put_offs
    }

    /// Lets `follow` wait for the workers and write out once more, if writeback left anything out since the last time
    /// that this went well. What `follow` leaves out itself was dirtied after the caller's own writeback, or put off: then it
    /// goes on.
    pub(crate) fn settle(&self, follow: impl Fn() -> Result) -> Result {
        let left_out = self.left_out.load(Ordering::Acquire);
        if self.settled.load(Ordering::Acquire) >= left_out {
            return Ok(());
        }
        self.put_offs.outlast(follow)?;
        self.settled.fetch_max(left_out, Ordering::AcqRel);
        Ok(())
    }
}
