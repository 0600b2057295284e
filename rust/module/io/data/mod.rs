// SPDX-License-Identifier: GPL-2.0

//! File data: between the page cache (iomap) and the engine.
//!
//! The life of a written byte, a module for each step; `Documentation/life-of-a-byte.md` tells it in full:
//!
//! | module       | what happens                                                          | who owns the space          |
//! |--------------|-----------------------------------------------------------------------|-----------------------------|
//! | [`delay`]    | space is reserved; with the folio locked, the blocks become delayed   | an allowance, then delalloc |
//! | [`send`]     | writeback takes blocks, finds a place, checksums and sends them       | an ordered extent           |
//! | [`complete`] | the device has them; extent and checksums go into the trees           | the trees                   |
//! | [`resend`]   | or has only some of them, and is sent the others again in parts       | the ordered extent          |
//! | [`refusals`] | or there is no zone for them yet: for how long they are put off       | delalloc, again             |
//! | [`verify`]   | they are read, and compared with their checksums                      |                             |
//! | [`look`]     | what is at a position is looked up, and read again where that was old |                             |
//! | [`direct`]   | or all of this past the page cache                                    | an ordered extent           |
//! | [`place`]    | where on which device a logical address is                            |                             |
//! | [`blocks`]   | how many bytes the file takes, those included that are in no tree yet |                             |
//!
//! Writeback of a folio ends only when the trees have its bytes. So an fsync that waited for writeback has all it must
//! commit, and a reader never meets a mapping older than its folio.
//!
//! Lock order: `InodeLock` > `DataFolio` > `Writer` > `Delalloc` > `Transaction`; the delayed ranges never across a call.

use crate::io::device::Devices;
use crate::linux::iomap::direct::DirectRanges;
use crate::linux::iomap::{
    Extent, FileData, Fixups, Ioend, Patience, ReadBio, Scope, Source, Tail, Taken, Tally, WriteEnd,
};
use crate::linux::queue::OwnedQueue;
use crate::linux::{self, BlockDevice};
use core::ops::Range;
use core::sync::atomic::AtomicU64;
use engine::disk::{Bytes, FileOffset, InodeFlags, Logical};
use engine::fs::{Allowance, Delalloc, FileSystem, Inode, SectorSums, Short, WriteReservation};
use engine::volume::device::SECTOR;
use engine::volume::Volume;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};

mod blocks;
mod complete;
mod delay;
mod direct;
mod look;
mod place;
mod refusals;
mod resend;
mod send;
mod verify;

pub(crate) use refusals::Refusals;
pub(crate) use resend::Hope;
pub(crate) use send::{TakenSpace, Write};

/// Bytes of a sector, as of memory.
const SECTOR_SIZE: usize = SECTOR.get() as usize;

/// What the files of a mount share.
pub(crate) struct DataPath {
    pub(crate) fs: Arc<FileSystem>,
    pub(crate) volume: Arc<Volume>,
    /// The device that the volume was mounted from: new bios name it until they get their own.
    pub(crate) device: Arc<BlockDevice>,
    pub(crate) devices: Arc<Devices>,
    /// Where completions run.
    pub(crate) queue: OwnedQueue,
    /// Where folios dirtied behind the file system's back are seen to. Its workers wait for completions.
    pub(crate) fixup_queue: OwnedQueue,
    /// What was done.
    pub(crate) tally: DataTally,
    /// Whether what fails is sent again.
    pub(crate) hope: Hope,
    /// How writeback fares that is refused a zone.
    pub(crate) refusals: Refusals,
}

/// What became of the data of a mount's files.
#[derive(Default)]
pub(crate) struct DataTally {
    /// Folios that were dirtied behind the file system's back, and writes that were put off.
    pub(crate) fixups: Tally,
    /// Writes that went out as a copy, because somebody had their pages pinned.
    pub(crate) copied: AtomicU64,
    /// Sectors of direct reads that were read again.
    pub(crate) reread: AtomicU64,
    /// Parts of writes that were sent again.
    pub(crate) resent: AtomicU64,
    /// Writes, or runs of their parts, that are lost.
    pub(crate) failed: AtomicU64,
}

/// What a regular file's inode owns: its data, and `node`, what inodes of all kinds own.
pub(crate) struct FileIo<N> {
    /// What inodes of all kinds own.
    pub(crate) node: N,
    path: Arc<DataPath>,
    inode: Arc<Inode>,
    delalloc: Delalloc<WriteReservation>,
    /// The allowance that [`FileData::writer`] lends.
    writer: Mutex<Allowance<WriteReservation>>,
    fixups: Fixups,
    direct_ranges: DirectRanges,
    tail: Tail,
}

/// What is known of an extent before it is read.
pub(crate) struct Check {
    /// Where in the file.
    pos: FileOffset,
    logical: Logical,
    sums: Option<SectorSums>,
    /// Of [`engine::space::Space::reuses`], before the extent was looked up.
    reuses: u64,
}

impl<N: Send + Sync + 'static> FileIo<N> {
    /// The data of `inode`.
    pub(crate) fn new(path: Arc<DataPath>, inode: Arc<Inode>, node: N) -> Result<Self> {
        Ok(Self {
            node,
            path,
            inode,
            delalloc: Delalloc::new()?,
            writer: Mutex::new(Allowance::default(), Rank::Writer)?,
            fixups: Fixups::new()?,
            direct_ranges: DirectRanges::new()?,
            tail: Tail::unknown(),
        })
    }

    fn has_checksums(&self) -> bool {
        !self
            .inode
            .attributes()
            .flags
            .contains(InodeFlags::NODATASUM)
    }
}

impl<N> Drop for FileIo<N> {
    fn drop(&mut self) {
        // Truncation gave up the last folio before, and waited for writeback.
        let (number, left) = (self.inode.number(), self.delalloc.bytes());
        if left > Bytes::ZERO {
            pr_warn!("inode {number}: space for {left} bytes was kept that nobody was to write\n");
        }
        let under_way = self.delalloc.under_way();
        if under_way > Bytes::ZERO {
            pr_warn!("inode {number}: {under_way} bytes are under way that nobody sends\n");
        }
    }
}

impl<N: Send + Sync + 'static> FileData for FileIo<N> {
    type Allowance = Allowance<WriteReservation>;
    type Taken = TakenSpace;
    type Write = Write;
    type Read = Check;

    fn of(inode: &linux::Inode) -> Option<&Self> {
        inode.payload()
    }

    fn block_device(&self) -> &BlockDevice {
        &self.path.device
    }

    fn queue(&self) -> &kernel::workqueue::Queue {
        &self.path.queue
    }

    fn fixup_queue(&self) -> &kernel::workqueue::Queue {
        &self.path.fixup_queue
    }

    fn fixups(&self) -> &Fixups {
        &self.fixups
    }

    fn fixup_tally(&self) -> &Tally {
        &self.path.tally.fixups
    }

    fn direct_ranges(&self) -> &DirectRanges {
        &self.direct_ranges
    }

    fn tail(&self) -> &Tail {
        &self.tail
    }

    fn map(&self, pos: FileOffset, len: Bytes, patience: Patience) -> Result<Extent> {
        let extent = self.look_up(pos, len, patience)?;
        if let (Patience::None, Source::Mapped(logical)) = (patience, &extent.source) {
            self.sums(*logical, extent.len, patience)?;
        }
        Ok(extent)
    }

    fn read(&self, bio: ReadBio<Self>, patience: Patience) {
        self.send_read(bio, patience);
    }

    fn age_of_addresses(&self) -> u64 {
        self.reuses()
    }

    fn verify(&self, check: &Check, pos: FileOffset, bytes: &mut [u8]) -> Result {
        self.verify_read(check, pos, bytes)
    }

    fn read_now(&self, pos: FileOffset, bytes: &mut [u8]) -> Result {
        self.read_blocks(pos, bytes)
    }

    fn writer(&self) -> &Mutex<Self::Allowance> {
        &self.writer
    }

    fn reserve(
        &self,
        allowance: &mut Self::Allowance,
        range: &Range<FileOffset>,
        scope: Scope,
        patience: Patience,
    ) -> Result<FileOffset> {
        self.reserve_missing(allowance, range, scope, patience)
    }

    fn can_cover(&self, allowance: &Self::Allowance, range: &Range<FileOffset>) -> bool {
        self.is_enough(allowance, range)
    }

    fn cover(&self, allowance: &mut Self::Allowance, range: &Range<FileOffset>) -> Result {
        let covered = self.delalloc.cover(allowance, range);
        covered.map_err(|Short| EAGAIN)
    }

    fn uncovered(&self, range: &Range<FileOffset>) -> Bytes {
        self.delalloc.uncovered(range)
    }

    fn punch(&self, range: &Range<FileOffset>) {
        self.give_up(range);
    }

    fn take(&self, taken: &mut TakenSpace, range: &Range<FileOffset>) -> Result<Taken> {
        self.take_delayed(taken, range)
    }

    fn send(&self, ioend: Ioend<Self>, taken: &mut TakenSpace) -> Result {
        self.send_ioend(ioend, taken)
    }

    fn lost(&self, range: &Range<FileOffset>, error: Error) {
        self.lose_range(range, error);
    }

    fn written(&self, write: Write, end: &WriteEnd) -> Result {
        self.complete(write, end)
    }
}
