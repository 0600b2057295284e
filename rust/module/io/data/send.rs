// SPDX-License-Identifier: GPL-2.0

//! From bytes under writeback to ordered extents and requests.
//!
//! What needs memory comes first, while nothing is lost by giving up: then the bytes are delayed and dirty again, and
//! still have the space they were promised. So they are where there is no zone yet that an address could be in. From an
//! address on, an error costs the piece in hand and what is behind it, no more; the address and the promise it was drawn
//! from come back as one.

use super::refusals::Prospect;
use super::{FileIo, SECTOR_SIZE};
use crate::io::checksums::digest;
use crate::linux::iomap::ioend::{
    Append, CopyRoom, Destination, Envelope, Ioend, Pins, Still, MAX_COPY,
};
use crate::linux::iomap::{put_off, FileData, Goal, Patience};
use crate::linux::BlockDevice;
use core::ops::Range;
use core::sync::atomic::Ordering;
use engine::disk::{Bug, Bytes, FileOffset, Logical};
use engine::fs::{InPlace, NewExtent, OrderedExtent, WriteReservation, WrittenInPlace};
use engine::space::DataExtent;
use engine::volume::device::SECTOR;
use latch::prelude::*;
use latch::NofsScope;

/// What is under writeback was delayed before, and its space taken with it.
const NO_SPACE: Bug = Bug::new("bytes are sent whose space was not taken");

/// Space of ranges that a run of writeback has taken and not sent.
#[derive(Default)]
pub(crate) struct TakenSpace(Option<WriteReservation>);

impl TakenSpace {
    /// Adds that of one more range.
    pub(super) fn add(&mut self, reservation: WriteReservation) {
        match &mut self.0 {
            Some(own) => own.merge(reservation),
            own @ None => *own = Some(reservation),
        }
    }

    /// Takes out that of all of `ioend`.
    fn split<T: FileData>(&mut self, ioend: &Ioend<T>) -> Result<WriteReservation> {
        split(self.0.as_mut().ok_or(NO_SPACE)?, ioend.len(), ioend.goal())
    }
}

/// Takes out what `len` bytes have that go to `goal`.
fn split(space: &mut WriteReservation, len: Bytes, goal: Goal) -> Result<WriteReservation> {
    let in_place = match goal {
        Goal::New => Bytes::ZERO,
        Goal::Unwritten => len,
    };
    space.split_kinds(len, in_place)
}

/// What is told of bytes that are lost. `EAGAIN` means that nothing was done, and io_uring does all of a direct request once more
/// then, behind what an append has reached: so that is for who must not wait, and for others `EIO`.
fn final_error(error: Error, patience: Patience) -> Error {
    match patience {
        Patience::Waits if error == EAGAIN => EIO,
        _ => error,
    }
}

/// What finishing a write takes.
pub(crate) enum Write {
    /// The bytes go to a new extent.
    New(OrderedExtent, Append),
    /// The bytes go to unwritten space.
    InPlace(WrittenInPlace),
}

impl Write {
    /// Where in the file the bytes are, and how many.
    pub(super) fn range(&self) -> (FileOffset, Bytes) {
        match self {
            Self::New(ordered, _) => (ordered.offset, ordered.ram_len),
            Self::InPlace(written) => (written.range.start, written.bytes()),
        }
    }

    /// Where on the volume they are to be.
    pub(super) fn place(&self) -> Logical {
        match self {
            Self::New(ordered, _) => ordered.extent.get().logical,
            Self::InPlace(written) => written.logical,
        }
    }

    /// The first `len` bytes are lost.
    pub(super) fn lose_front(&mut self, len: Bytes) -> Result {
        match self {
            Self::New(ordered, _) => ordered.lose_front(len),
            Self::InPlace(written) => written.lose_front(len),
        }
    }
}

/// The address that bytes go to.
enum Address {
    New(NewExtent),
    /// The address of unwritten space, which stays what it is until the bytes are there.
    Own(DataExtent),
}

impl Address {
    fn get(&self) -> DataExtent {
        match self {
            Self::New(extent) => extent.get(),
            Self::Own(extent) => *extent,
        }
    }

    /// Bytes of the file that go there.
    fn plain_len(&self) -> Bytes {
        match self {
            Self::New(extent) => extent.plain_len(),
            Self::Own(extent) => extent.len,
        }
    }

    /// Gives an address back for which nothing was sent, and the promise of its bytes. The error to go on with: another where
    /// the promise is gone, as then there is no use in keeping the bytes.
    fn take_back(self, reservation: &mut WriteReservation, error: Error) -> Error {
        match self {
            Self::New(extent) => extent.take_back(reservation).err().unwrap_or(error),
            Self::Own(_) => error,
        }
    }
}

/// The space was there when it was promised, and who gives it up waits for writes.
const NOT_UNWRITTEN: Bug = Bug::new("unwritten space that bytes were promised is not there");

/// Bytes under writeback with their space.
struct Parcel<N: Send + Sync + 'static> {
    ioend: Ioend<FileIo<N>>,
    reservation: WriteReservation,
}

/// Bytes that could not be sent. What becomes of them is still to be said.
struct Unsent<N: Send + Sync + 'static> {
    parcel: Parcel<N>,
    error: Error,
}

/// Everything that sending a piece takes, but its bytes.
struct PiecePlan<'a, N: Send + Sync + 'static> {
    address: Address,
    /// Bytes of the file that go there.
    ram_len: Bytes,
    reservation: WriteReservation,
    destination: Destination,
    device: &'a BlockDevice,
    append: Append,
    memory: Memory<N>,
}

/// What sending a piece takes of memory: all of it is there before the piece has an address.
struct Memory<N: Send + Sync + 'static> {
    /// Room for them.
    checksums: KVVec<u8>,
    copy: CopyRoom,
    envelope: Envelope<FileIo<N>>,
}

impl<N: Send + Sync + 'static> FileIo<N> {
    /// Sends all of `ioend`, whose space is in `taken`.
    pub(super) fn send_ioend(&self, ioend: Ioend<Self>, taken: &mut TakenSpace) -> Result {
        let _nofs = NofsScope::enter();
        let parcel = match taken.split(&ioend) {
            Ok(reservation) => Parcel { ioend, reservation },
            Err(error) => return Err(self.lose(ioend, error)),
        };
        let mut next = self.send_inline(parcel)?;
        while let Some(parcel) = next {
            next = self
                .send_piece(parcel, Patience::Waits)
                .map_err(|unsent| self.put_off_unsent(unsent))?;
        }
        Ok(())
    }

    /// Sends all of a direct request's `ioend`, whose space is in `taken`. An error is its caller's to hear of: `EAGAIN` only where
    /// nothing was sent.
    pub(super) fn send_pieces(
        &self,
        ioend: Ioend<Self>,
        taken: &mut TakenSpace,
        patience: Patience,
    ) {
        let _nofs = NofsScope::enter();
        let reservation = match taken.split(&ioend) {
            Ok(reservation) => reservation,
            Err(error) => return ioend.fail(error),
        };
        let start = ioend.pos();
        let begun = self
            .delalloc
            .begin(&(start..start.saturating_add(ioend.len())));
        if let Err(error) = begun {
            return ioend.fail(error);
        }
        let mut next = Some(Parcel { ioend, reservation });
        let mut patience = patience;
        while let Some(parcel) = next {
            next = match self.send_piece(parcel, patience) {
                Ok(rest) => rest,
                Err(Unsent { parcel, error }) => {
                    self.ended(parcel.ioend.pos(), parcel.ioend.len());
                    return parcel.ioend.fail(final_error(error, patience));
                }
            };
            // Some of it is on its way: that cannot be refused any more.
            patience = Patience::Waits;
        }
    }

    /// The bytes of `ioend` are lost.
    fn lose(&self, ioend: Ioend<Self>, error: Error) -> Error {
        self.lose_range(&ioend.range(), error);
        ioend.fail(error);
        error
    }

    /// The bytes of `range`, which were under way, are lost.
    pub(super) fn lose_range(&self, range: &Range<FileOffset>, error: Error) {
        let len = range.end.saturating_since(range.start);
        self.ended(range.start, len);
        self.report(range.start, len, error);
    }

    /// Memory comes back, and so does a zone: then the bytes are sent once more. Nothing else does.
    fn put_off_unsent(&self, unsent: Unsent<N>) -> Error {
        let Parcel { ioend, reservation } = unsent.parcel;
        let passes = match unsent.error {
            ENOMEM => true,
            EAGAIN => self.path.refusals.note() == Prospect::Fair,
            _ => false,
        };
        if !passes {
            return self.lose(ioend, final_error(unsent.error, Patience::Waits));
        }
        let start = ioend.pos();
        let range = start..start.saturating_add(ioend.len());
        ioend.dirty_again();
        // In this order: there is no moment at which they are neither.
        self.delay_again(&range, reservation, ioend.goal());
        self.ended(start, ioend.len());
        put_off(self);
        ioend.end();
        // What the kernel tries again after.
        ENOMEM
    }

    /// Puts the bytes of a small file into the tree instead of an extent. Gives back what it did not do.
    fn send_inline(&self, parcel: Parcel<N>) -> Result<Option<Parcel<N>>> {
        let Parcel { ioend, reservation } = parcel;
        let size = ioend.user_end().before();
        let has_place = ioend.goal() == Goal::Unwritten;
        if has_place
            || ioend.pos() != FileOffset::new(0)
            || size > self.path.fs.max_inline()
            || ioend.len() > SECTOR
        {
            return Ok(Some(Parcel { ioend, reservation }));
        }
        let mut bytes = KVec::new();
        if let Err(error) = bytes.resize(SECTOR_SIZE, 0, GFP_KERNEL) {
            return Err(self.put_off_unsent(Unsent {
                parcel: Parcel { ioend, reservation },
                error: error.into(),
            }));
        }
        ioend.memory(&mut |part| part.copy_to(&mut bytes));
        bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        match self
            .path
            .fs
            .data()
            .write_inline(&self.inode, &bytes, reservation)
        {
            Ok(None) => {
                self.ended(ioend.pos(), ioend.len());
                ioend.end();
                Ok(None)
            }
            Ok(Some(reservation)) => Ok(Some(Parcel { ioend, reservation })),
            Err(error) => Err(self.lose(ioend, error)),
        }
    }

    /// Opens an ordered extent for as much of the bytes as one takes, and sends those. Gives back the rest.
    fn send_piece(
        &self,
        mut parcel: Parcel<N>,
        patience: Patience,
    ) -> core::result::Result<Option<Parcel<N>>, Unsent<N>> {
        let plan = match self.plan_piece(&mut parcel, patience) {
            Ok(plan) => plan,
            Err(error) => return Err(Unsent { parcel, error }),
        };
        let (front, rest) = match parcel.ioend.split(plan.ram_len, plan.append) {
            Ok(Some(front)) => (front, Some(parcel)),
            Ok(None) => (parcel.ioend, None),
            // It waits for memory: no lack of that is an error here.
            Err(error) => {
                let mut reservation = plan.reservation;
                let error = plan.address.take_back(&mut reservation, error);
                parcel.reservation.merge(reservation);
                return Err(Unsent { parcel, error });
            }
        };
        self.send_front(front, plan);
        Ok(rest)
    }

    /// Allocates memory, then the address. Nothing of the parcel's space is gone where this fails for want of memory.
    fn plan_piece(&self, parcel: &mut Parcel<N>, patience: Patience) -> Result<PiecePlan<'_, N>> {
        let (memory, wanted) = self.find_memory(&parcel.ioend)?;
        let goal = parcel.ioend.goal();
        let mut reservation = split(&mut parcel.reservation, wanted, goal)?;
        let found = match goal {
            Goal::New => self.find_address(&mut reservation, wanted, patience),
            Goal::Unwritten => self.find_unwritten(&parcel.ioend, wanted),
        };
        match found {
            Ok((address, (destination, device, append))) => {
                let ram_len = address.plain_len();
                let unneeded = wanted.saturating_sub(ram_len);
                // It covers them: it is for all that was wanted.
                if let Ok(unneeded) = split(&mut reservation, unneeded, goal) {
                    parcel.reservation.merge(unneeded);
                }
                Ok(PiecePlan {
                    address,
                    ram_len,
                    reservation,
                    destination,
                    device,
                    append,
                    memory,
                })
            }
            Err(error) => {
                parcel.reservation.merge(reservation);
                Err(error)
            }
        }
    }

    /// All the memory that a piece of `ioend` takes, and how long the piece may be: shorter where memory is short.
    fn find_memory(&self, ioend: &Ioend<Self>) -> Result<(Memory<N>, Bytes)> {
        let envelope = Envelope::new()?;
        let pins = ioend.pins();
        let wanted = self.piece_len(ioend, pins)?;
        let (copy, wanted) = ioend.room_for_copy(pins, wanted)?;
        let (checksums, wanted) = self.room_for_checksums(wanted)?;
        let memory = Memory {
            checksums,
            copy,
            envelope,
        };
        Ok((memory, wanted))
    }

    /// An address for up to `wanted` bytes, and where on the devices it is.
    fn find_address(
        &self,
        reservation: &mut WriteReservation,
        wanted: Bytes,
        patience: Patience,
    ) -> Result<(Address, (Destination, &BlockDevice, Append))> {
        let address = Address::New(match patience {
            Patience::Waits => self.path.fs.data().allocate_write(reservation, wanted),
            Patience::None => self.path.fs.data().try_allocate_write(reservation, wanted),
        }?);
        self.path.refusals.end();
        match self.destination(address.get()) {
            Ok((destination, device, append)) => Ok((address, (destination, device, append))),
            Err(error) => Err(address.take_back(reservation, error)),
        }
    }

    /// The unwritten space that the front of `ioend` was promised, up to `wanted` bytes of it, and where on the devices it is.
    fn find_unwritten(
        &self,
        ioend: &Ioend<Self>,
        wanted: Bytes,
    ) -> Result<(Address, (Destination, &BlockDevice, Append))> {
        let pos = ioend.pos();
        let found = self.path.fs.in_place().find(&self.inode, pos, wanted)?;
        let InPlace { logical, len } = found.ok_or(NOT_UNWRITTEN)?;
        let extent = DataExtent { logical, len };
        let (destination, device, append) = self.destination(extent)?;
        Ok((Address::Own(extent), (destination, device, append)))
    }

    /// How much of `ioend` one piece may have.
    fn piece_len(&self, ioend: &Ioend<Self>, pins: Pins) -> Result<Bytes> {
        let mut max = self.path.volume.rules().max_extent_len();
        if pins == Pins::Some {
            max = max.min(MAX_COPY);
        }
        // What an append cannot take must not be allocated: whether it is one is known only then.
        match self.path.volume.rules().writes_in_order() {
            true => ioend.append_len(ioend.len().min(max), SECTOR),
            false => Ok(ioend.len().min(max)),
        }
    }

    /// Room for the checksums of `wanted` bytes, or of fewer where there is no such memory.
    fn room_for_checksums(&self, wanted: Bytes) -> Result<(KVVec<u8>, Bytes)> {
        let mut wanted = wanted;
        if !self.has_checksums() {
            return Ok((KVVec::new(), wanted));
        }
        let size = self.path.volume.format().checksum.size();
        loop {
            let sectors = usize::try_from(wanted.count(SECTOR)).map_err(|_| EFBIG)?;
            match KVVec::with_capacity(sectors.saturating_mul(size), GFP_KERNEL) {
                Ok(room) => return Ok((room, wanted)),
                Err(_) if wanted > SECTOR => {
                    wanted = wanted.divided_by(2).round_down(SECTOR).max(SECTOR)
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn send_front(&self, front: Ioend<Self>, plan: PiecePlan<'_, N>) {
        let memory = plan.memory;
        let still = front.hold_still(memory.copy);
        if still.is_copy() {
            self.path.tally.copied.fetch_add(1, Ordering::Relaxed);
        }
        let offset = still.ioend().pos();
        let checksums = self.checksums_of(&still, memory.checksums);
        let new_size = still.ioend().user_end().before();
        let reservation = plan.reservation;
        let write = match plan.address {
            Address::New(extent) => {
                let ordered = OrderedExtent {
                    offset,
                    ram_len: plan.ram_len,
                    extent,
                    checksums,
                    new_size,
                    reservation,
                };
                Write::New(ordered, plan.append)
            }
            Address::Own(extent) => Write::InPlace(WrittenInPlace {
                range: offset..offset.saturating_add(plan.ram_len),
                logical: extent.logical,
                checksums,
                new_size,
                reservation,
            }),
        };
        still.submit(plan.device, plan.destination, memory.envelope, write);
    }

    /// Gives one checksum for each sector, in the room that was made.
    fn checksums_of(&self, still: &Still<Self>, mut sums: KVVec<u8>) -> KVVec<u8> {
        if !self.has_checksums() {
            return sums;
        }
        let kind = self.path.volume.format().checksum;
        still.memory(&mut |part| {
            for sector in part.chunks(SECTOR_SIZE) {
                let digest = digest(kind, sector);
                // It fits: the pieces of a bio are whole sectors.
                let sum = digest.get(..kind.size()).unwrap_or(&digest);
                let _ = sums.extend_from_slice(sum, GFP_KERNEL);
            }
        });
        sums
    }
}
