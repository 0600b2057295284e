// SPDX-License-Identifier: GPL-2.0

//! File data between the page cache and the device, by the kernel's iomap library.
//!
//! C header: `include/linux/iomap.h`. A file system implements [`FileData`]; [`Tables`] turns it into the tables of
//! callbacks that iomap and the VFS ask for.
//!
//! iomap sees *logical* addresses: a bio's sector is the volume's logical address until [`FileData::read`] or
//! [`FileData::send`] gives it a device and a place there. Writes have no address before they are sent
//! (`IOMAP_F_ANON_WRITE`), as in zoned XFS.

use super::bindings;
use super::file_bio::{Ioend, ReadBio};
use super::{BlockDevice, Inode};
use core::marker::PhantomData;
use core::ptr;
use engine::fs::Divisible;
use kernel::error::{from_result, to_result};
use kernel::ffi;
use latch::prelude::*;

/// What stands at a place of a file.
pub(crate) enum Source {
    /// Nothing: zeroes.
    Hole,
    /// These bytes, then zeroes up to the end of the block.
    Inline(KVec<u8>),
    /// Bytes at this logical address.
    Mapped(u64),
}

/// Whether a mapping may be read in one bio with what stands before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joins {
    /// It may.
    Previous,
    /// A chunk begins here: the devices' addresses are others.
    Nothing,
}

/// A piece of a file: `[pos, pos + len)`.
pub(crate) struct Extent {
    /// Where it begins, in bytes; a block boundary at or before what was asked for.
    pub(crate) pos: u64,
    /// How far it goes, in bytes.
    pub(crate) len: u64,
    /// What is there.
    pub(crate) source: Source,
    /// Whether it can share a bio with its predecessor.
    pub(crate) joins: Joins,
}

/// A file whose data iomap moves.
pub(crate) trait FileData: Sized + Send + Sync + 'static {
    /// The file data behind an inode; `None` for one that is not a regular file of this driver.
    fn of(inode: &Inode) -> Option<&Self>;
    /// Space kept for delayed bytes.
    type Reservation: Divisible + Send + 'static;
    /// What [`Self::written`] needs to know of a write.
    type Write: Send + 'static;
    /// What [`Self::verify`] needs to know of a read.
    type Read: Send + 'static;

    /// The device that new bios name until they get their real one.
    fn block_device(&self) -> &BlockDevice;
    /// Where completions run.
    fn queue(&self) -> &kernel::workqueue::Queue;
    /// What is at `pos`, for at most `len` bytes.
    fn map(&self, pos: u64, len: u64) -> Result<Extent>;
    /// Promises space for the blocks of `[start, end)`, block aligned, that are not delayed yet.
    fn delay(&self, start: u64, end: u64) -> Result;
    /// Whether all of `[start, end)` is delayed.
    fn is_delayed(&self, start: u64, end: u64) -> bool;
    /// Gives up the delayed blocks in `[start, end)`.
    fn punch(&self, start: u64, end: u64);
    /// Takes the delayed range that begins at `start`, at most up to `end`.
    fn take(&self, start: u64, end: u64) -> Result<Option<(u64, Self::Reservation)>>;
    /// Finds a place for `ioend`'s bytes and sends them there, in as many pieces as it takes.
    fn send(&self, ioend: Ioend<Self>, reservation: Self::Reservation) -> Result;
    /// `len` bytes for `pos` are on the device, at sector `sector` (or `error`). In a worker.
    fn written(&self, write: Self::Write, end: WriteEnd) -> Result;
    /// Sends a read on its way.
    fn read(&self, bio: ReadBio<Self>);
    /// Checks, and may mend, the bytes read for `pos`, which lie `offset` bytes into what was asked. In a worker.
    fn verify(&self, read: &Self::Read, pos: u64, offset: u64, bytes: &mut [u8]) -> Result;
    /// Reads and checks `bytes` at `pos`, whole blocks.
    fn read_now(&self, pos: u64, bytes: &mut [u8]) -> Result;
}

/// The file data behind `inode`.
///
/// # Safety
///
/// `inode` is an inode of this driver, alive for `'a`.
pub(super) unsafe fn of<'a, T: FileData>(inode: *mut bindings::inode) -> Result<&'a T> {
    // SAFETY: By the caller's promise.
    T::of(unsafe { Inode::borrow(inode) }).ok_or(EIO)
}

/// How a write ended.
pub(crate) struct WriteEnd {
    /// The first sector on the device: for zone appends, where the device put it.
    pub(crate) sector: u64,
    /// Of the IO.
    pub(crate) result: Result,
}

/// The callback tables of `T`.
pub(crate) struct Tables<T>(PhantomData<T>);

impl<T: FileData> Tables<T> {
    /// For reading, and for reports (`SEEK_DATA`, fiemap).
    pub(crate) const READ: &'static bindings::iomap_ops = &bindings::iomap_ops {
        iomap_begin: Some(read_begin::<T>),
        iomap_end: Some(end::<T>),
        iomap_next: None,
    };

    /// For writing into the page cache and for zeroing there.
    pub(crate) const WRITE: &'static bindings::iomap_ops = &bindings::iomap_ops {
        iomap_begin: Some(write_begin::<T>),
        iomap_end: Some(write_end::<T>),
        iomap_next: None,
    };

    const WRITE_FOLIO: &'static bindings::iomap_write_ops = &bindings::iomap_write_ops {
        get_folio: None,
        put_folio: None,
        iomap_valid: None,
        read_folio_range: Some(read_folio_range_now::<T>),
    };

    const WRITEBACK: &'static bindings::iomap_writeback_ops = &bindings::iomap_writeback_ops {
        writeback_range: Some(writeback_range::<T>),
        writeback_submit: Some(writeback_submit::<T>),
    };

    /// The address space operations of a regular file.
    pub(crate) const ADDRESS_SPACE: &'static bindings::address_space_operations =
        &bindings::address_space_operations {
            read_folio: Some(read_folio::<T>),
            readahead: Some(readahead::<T>),
            writepages: Some(writepages::<T>),
            dirty_folio: Some(bindings::iomap_dirty_folio),
            release_folio: Some(bindings::iomap_release_folio),
            invalidate_folio: Some(invalidate_folio::<T>),
            migrate_folio: Some(bindings::filemap_migrate_folio),
            is_partially_uptodate: Some(bindings::iomap_is_partially_uptodate),
            error_remove_folio: Some(bindings::generic_error_remove_folio),
            ..pin_init::zeroed()
        };

    /// Writes from `from` into the page cache at the position of `iocb`.
    ///
    /// # Safety
    ///
    /// The pointers are those of a `write_iter` call on a file of `T`; the inode is locked exclusively.
    pub(crate) unsafe fn buffered_write(
        iocb: *mut bindings::kiocb,
        from: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: By the caller's promise; the tables live forever.
        unsafe {
            bindings::iomap_file_buffered_write(
                iocb,
                from,
                Self::WRITE,
                Self::WRITE_FOLIO,
                ptr::null_mut(),
            )
        }
    }

    /// Makes the page of a fault writable.
    ///
    /// # Safety
    ///
    /// `fault` is that of a `page_mkwrite` call on a mapping of a file of `T`.
    pub(crate) unsafe fn page_mkwrite(fault: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: By the caller's promise.
        unsafe { bindings::iomap_page_mkwrite(fault, Self::WRITE, ptr::null_mut()) }
    }

    /// Zeroes `[pos, pos + len)` in the page cache, except where the file has holes.
    ///
    /// # Safety
    ///
    /// `inode` is a live inode of `T`, locked exclusively.
    pub(crate) unsafe fn zero_range(inode: *mut bindings::inode, pos: u64, len: u64) -> Result {
        let mut zeroed = false;
        // SAFETY: By the caller's promise; `zeroed` outlives the call.
        to_result(unsafe {
            bindings::iomap_zero_range(
                inode,
                pos as bindings::loff_t,
                len as bindings::loff_t,
                &mut zeroed,
                Self::WRITE,
                Self::WRITE_FOLIO,
                ptr::null_mut(),
            )
        })
    }
}

/// Fills the C description of a mapping.
fn describe(iomap: &mut bindings::iomap, device: &BlockDevice, extent: Extent) -> Result {
    iomap.offset = extent.pos as bindings::loff_t;
    iomap.length = extent.len;
    iomap.bdev = device.as_ptr();
    iomap.flags = match extent.joins {
        Joins::Nothing => bindings::IOMAP_F_PRIVATE as u16,
        Joins::Previous => 0,
    };
    iomap.addr = bindings::IOMAP_NULL_ADDR as u64;
    match extent.source {
        Source::Hole => iomap.type_ = bindings::IOMAP_HOLE as u16,
        Source::Mapped(logical) => {
            iomap.type_ = bindings::IOMAP_MAPPED as u16;
            iomap.addr = logical;
        }
        // Not iomap's inline type: that one demands that the file ends with the inline bytes.
        Source::Inline(bytes) => {
            iomap.type_ = bindings::IOMAP_MAPPED as u16;
            iomap.private = KBox::into_raw(KBox::new(bytes, GFP_KERNEL)?).cast();
        }
    }
    Ok(())
}

/// Frees what [`describe`] attached.
///
/// # Safety
///
/// `iomap` was filled by [`describe`] and is not used for reading any more.
unsafe fn forget(iomap: *mut bindings::iomap) {
    // SAFETY: By the caller's promise.
    let bytes = unsafe { (*iomap).private }.cast::<KVec<u8>>();
    if !bytes.is_null() {
        // SAFETY: `private` is only ever set by `describe`, from `KBox::into_raw`, and cleared below.
        drop(unsafe { KBox::from_raw(bytes) });
        // SAFETY: By the caller's promise.
        unsafe { (*iomap).private = ptr::null_mut() };
    }
}

unsafe extern "C" fn read_begin<T: FileData>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    length: bindings::loff_t,
    _flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
    _srcmap: *mut bindings::iomap,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: iomap calls this for inodes whose tables are `T`'s, and keeps the inode.
        let file = unsafe { of::<T>(inode) }?;
        let extent = file.map(pos as u64, length as u64)?;
        // SAFETY: iomap passes a mapping for us to fill.
        describe(unsafe { &mut *iomap }, file.block_device(), extent)?;
        Ok(0)
    })
}

unsafe extern "C" fn end<T: FileData>(
    _inode: *mut bindings::inode,
    _pos: bindings::loff_t,
    _length: bindings::loff_t,
    _written: isize,
    _flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
) -> ffi::c_int {
    // SAFETY: iomap is done with the mapping.
    unsafe { forget(iomap) };
    0
}

/// Rounds outwards to blocks.
fn blocks(pos: u64, len: u64) -> (u64, u64) {
    let mask = engine::volume::device::SECTOR - 1;
    (
        pos & !mask,
        pos.saturating_add(len).saturating_add(mask) & !mask,
    )
}

unsafe extern "C" fn write_begin<T: FileData>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    length: bindings::loff_t,
    flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
    srcmap: *mut bindings::iomap,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: iomap calls this for inodes whose tables are `T`'s, and keeps the inode.
        let file = unsafe { of::<T>(inode) }?;
        let (start, mut end) = blocks(pos as u64, (length as u64).min(MAX_DELAY));
        let partial = pos as u64 != start || (pos as u64).saturating_add(length as u64) < end;
        let zeroing = flags & bindings::IOMAP_ZERO != 0;
        if zeroing && !file.is_delayed(start, end) {
            // What is dirty or on its way is not in the tree yet, where holes are looked up.
            // SAFETY: The mapping of a live inode.
            to_result(unsafe {
                bindings::filemap_write_and_wait_range(
                    (*inode).i_mapping,
                    start as bindings::loff_t,
                    end.saturating_sub(1) as bindings::loff_t,
                )
            })?;
        }
        if partial || zeroing {
            let extent = file.map(start, end.saturating_sub(start))?;
            end = end.min(blocks(extent.pos, extent.len).1);
            let hole = matches!(extent.source, Source::Hole);
            if hole && zeroing && !file.is_delayed(start, end) {
                // SAFETY: iomap passes a mapping for us to fill.
                describe(unsafe { &mut *iomap }, file.block_device(), extent)?;
                return Ok(0);
            }
            if !hole {
                // Its bytes come from `read_now`, which looks for itself: the address does not matter.
                let source = Extent {
                    source: Source::Mapped(0),
                    ..extent
                };
                // SAFETY: iomap passes a source mapping for us to fill.
                describe(unsafe { &mut *srcmap }, file.block_device(), source)?;
            }
        }
        match file.delay(start, end) {
            // A fault holds its folio's lock, which writing out would wait for.
            Err(error) if error == ENOSPC && flags & bindings::IOMAP_FAULT == 0 => {
                // SAFETY: A live inode, no folio of which is locked by this task.
                unsafe { write_out_all(inode) };
                file.delay(start, end)?;
            }
            delayed => delayed?,
        }
        // SAFETY: iomap passes a mapping for us to fill.
        let iomap = unsafe { &mut *iomap };
        iomap.offset = start as bindings::loff_t;
        iomap.length = end.saturating_sub(start);
        iomap.bdev = file.block_device().as_ptr();
        iomap.addr = bindings::IOMAP_NULL_ADDR as u64;
        iomap.type_ = bindings::IOMAP_DELALLOC as u16;
        Ok(0)
    })
}

/// Writes out all dirty data of the file system and waits for it: finished data needs less space than was promised.
///
/// # Safety
///
/// `inode` is alive, and the caller holds no lock that writeback takes.
pub(super) unsafe fn write_out_all(inode: *mut bindings::inode) {
    // SAFETY: By the caller's promise; an unmount under way has the lock, and leaves nothing to wait for.
    unsafe {
        let sb = (*inode).i_sb;
        let lock = ptr::addr_of_mut!((*sb).s_umount);
        if bindings::down_read_trylock(lock) != 0 {
            bindings::sync_inodes_sb(sb);
            bindings::up_read(lock);
        }
    }
}

/// How much one call delays at the most, in bytes: as much as iomap writes before it asks again.
const MAX_DELAY: u64 = 4 << 20;

unsafe extern "C" fn write_end<T: FileData>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    length: bindings::loff_t,
    written: isize,
    flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
) -> ffi::c_int {
    // SAFETY: iomap passes the mapping that `write_begin` filled.
    let delayed = unsafe { (*iomap).type_ } == bindings::IOMAP_DELALLOC as u16;
    if !delayed || written as i64 >= length || flags & bindings::IOMAP_FAULT != 0 {
        return 0;
    }
    let (start, last) = {
        let done = (pos as u64).saturating_add(written.max(0) as u64);
        let (first, _) = blocks(pos as u64, 0);
        let start = if written <= 0 {
            first
        } else {
            blocks(done, 0).1
        };
        (start, blocks(pos as u64, length as u64).1)
    };
    if start < last {
        // Gives up the delayed blocks that no dirty folio covers. The lock keeps faults out, as the function asks.
        // SAFETY: The inode is live and locked; the callback is for inodes of `T`.
        unsafe {
            bindings::filemap_invalidate_lock((*inode).i_mapping);
            bindings::iomap_write_delalloc_release(
                inode,
                start as bindings::loff_t,
                last as bindings::loff_t,
                flags,
                iomap,
                Some(punch::<T>),
            );
            bindings::filemap_invalidate_unlock((*inode).i_mapping);
        }
    }
    0
}

unsafe extern "C" fn punch<T: FileData>(
    inode: *mut bindings::inode,
    offset: bindings::loff_t,
    length: bindings::loff_t,
    _iomap: *mut bindings::iomap,
) {
    // SAFETY: iomap calls this for the inode it was given.
    if let Ok(file) = unsafe { of::<T>(inode) } {
        file.punch(offset as u64, (offset as u64).saturating_add(length as u64));
    }
}

unsafe extern "C" fn read_folio_range_now<T: FileData>(
    iter: *const bindings::iomap_iter,
    folio: *mut bindings::folio,
    pos: bindings::loff_t,
    len: usize,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: iomap passes its iterator over a live inode and a locked folio that holds `[pos, pos + len)`.
        let (file, bytes) = unsafe {
            let offset = (pos as u64).saturating_sub(bindings::folio_pos(folio) as u64) as usize;
            let start = bindings::rbtrfs_folio_address(folio)
                .cast::<u8>()
                .add(offset);
            (
                of::<T>((*iter).inode)?,
                core::slice::from_raw_parts_mut(start, len),
            )
        };
        file.read_now(pos as u64, bytes)?;
        Ok(0)
    })
}

const fn read_ops<T: FileData>() -> bindings::iomap_read_ops {
    bindings::iomap_read_ops {
        read_folio_range: Some(read_folio_range::<T>),
        submit_read: Some(submit_read::<T>),
        bio_set: ptr::null_mut(),
    }
}

unsafe extern "C" fn read_folio<T: FileData>(
    _file: *mut bindings::file,
    folio: *mut bindings::folio,
) -> ffi::c_int {
    let ops = read_ops::<T>();
    let mut context = bindings::iomap_read_folio_ctx {
        ops: &ops,
        cur_folio: folio,
        ..pin_init::zeroed()
    };
    // SAFETY: The VFS passes a locked folio of ours; `ops` and `context` outlive the call, which submits all it makes.
    unsafe { bindings::iomap_read_folio(Tables::<T>::READ, &mut context, ptr::null_mut()) };
    0
}

unsafe extern "C" fn readahead<T: FileData>(rac: *mut bindings::readahead_control) {
    let ops = read_ops::<T>();
    let mut context = bindings::iomap_read_folio_ctx {
        ops: &ops,
        rac,
        ..pin_init::zeroed()
    };
    // SAFETY: As for `read_folio`.
    unsafe { bindings::iomap_readahead(Tables::<T>::READ, &mut context, ptr::null_mut()) };
}

unsafe extern "C" fn read_folio_range<T: FileData>(
    iter: *const bindings::iomap_iter,
    context: *mut bindings::iomap_read_folio_ctx,
    len: usize,
) -> ffi::c_int {
    // SAFETY: iomap passes its own iterator and context.
    unsafe {
        let iomap = &(*iter).iomap;
        let alone = u32::from(iomap.flags) & bindings::IOMAP_F_PRIVATE != 0;
        if !iomap.private.is_null() {
            copy_inline(iter, (*context).cur_folio, len);
            return 0;
        }
        if alone && (*iter).pos == iomap.offset && !(*context).read_ctx.is_null() {
            submit_read::<T>(iter, context);
        }
        bindings::iomap_bio_read_folio_range(iter, context, len)
    }
}

/// Finishes the read of `len` bytes at the iterator's position from the inline bytes of its mapping.
///
/// # Safety
///
/// The mapping was filled by [`describe`] from [`Source::Inline`]; `folio` is locked and holds the range.
unsafe fn copy_inline(iter: *const bindings::iomap_iter, folio: *mut bindings::folio, len: usize) {
    // SAFETY: By the caller's promise.
    unsafe {
        let pos = (*iter).pos as u64;
        let data = &*(*iter).iomap.private.cast::<KVec<u8>>();
        let skip = pos.saturating_sub((*iter).iomap.offset as u64) as usize;
        let offset = pos.saturating_sub(bindings::folio_pos(folio) as u64) as usize;
        let start = bindings::rbtrfs_folio_address(folio)
            .cast::<u8>()
            .add(offset);
        let bytes = core::slice::from_raw_parts_mut(start, len);
        let data = data.get(skip..).unwrap_or(&[]);
        let (head, tail) = bytes.split_at_mut(data.len().min(len));
        head.copy_from_slice(&data[..head.len()]);
        tail.fill(0);
        bindings::iomap_finish_folio_read(folio, offset, len, 0);
    }
}

unsafe extern "C" fn submit_read<T: FileData>(
    iter: *const bindings::iomap_iter,
    context: *mut bindings::iomap_read_folio_ctx,
) {
    // SAFETY: iomap passes its own iterator and context; `read_ctx` is the bio it built, or null.
    unsafe {
        let bio = (*context).read_ctx.cast::<bindings::bio>();
        if bio.is_null() {
            return;
        }
        (*context).read_ctx = ptr::null_mut();
        let bio = ReadBio::new(bio, (*iter).inode, (*context).read_ctx_file_offset as u64);
        if let Ok(file) = of::<T>((*iter).inode) {
            file.read(bio);
        }
    }
}

unsafe extern "C" fn invalidate_folio<T: FileData>(
    folio: *mut bindings::folio,
    offset: usize,
    len: usize,
) {
    // SAFETY: The VFS passes a locked folio of one of our inodes, which the mapping keeps.
    unsafe {
        let start = (bindings::folio_pos(folio) as u64).saturating_add(offset as u64);
        // Only whole blocks are given up: a block that is cut keeps its dirty head.
        let mask = engine::volume::device::SECTOR - 1;
        let first = start.saturating_add(mask) & !mask;
        let last = start.saturating_add(len as u64) & !mask;
        if first < last {
            let mapping = (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping;
            if let Ok(file) = of::<T>((*mapping).host) {
                file.punch(first, last);
            }
        }
        bindings::iomap_invalidate_folio(folio, offset, len);
    }
}

/// One run of writeback: iomap's context first, so that its address is ours.
#[repr(C)]
struct Writeback<T: FileData> {
    context: bindings::iomap_writepage_ctx,
    /// Space of the ranges taken and not sent yet.
    pending: Option<T::Reservation>,
}

unsafe extern "C" fn writepages<T: FileData>(
    mapping: *mut bindings::address_space,
    control: *mut bindings::writeback_control,
) -> ffi::c_int {
    let mut writeback = Writeback::<T> {
        context: bindings::iomap_writepage_ctx {
            // SAFETY: The VFS passes a mapping of ours.
            inode: unsafe { (*mapping).host },
            wbc: control,
            ops: Tables::<T>::WRITEBACK,
            ..pin_init::zeroed()
        },
        pending: None,
    };
    // SAFETY: The context outlives the call; iomap submits or ends all that it builds.
    unsafe { bindings::iomap_writepages(&mut writeback.context) }
}

unsafe extern "C" fn writeback_range<T: FileData>(
    context: *mut bindings::iomap_writepage_ctx,
    folio: *mut bindings::folio,
    pos: u64,
    len: ffi::c_uint,
    end_pos: u64,
) -> isize {
    // SAFETY: All contexts with this callback are the first field of a `Writeback<T>`.
    let writeback = unsafe { &mut *context.cast::<Writeback<T>>() };
    // SAFETY: The inode of the mapping under writeback.
    let file = match unsafe { of::<T>((*context).inode) } {
        Ok(file) => file,
        Err(error) => return error.to_errno() as isize,
    };
    let end = pos.saturating_add(u64::from(len));
    let taken = match file.take(pos, end) {
        Ok(taken) => taken,
        Err(error) => return error.to_errno() as isize,
    };
    let iomap = &mut writeback.context.iomap;
    iomap.offset = pos as bindings::loff_t;
    iomap.bdev = file.block_device().as_ptr();
    iomap.addr = bindings::IOMAP_NULL_ADDR as u64;
    match taken {
        Some((until, reservation)) => {
            iomap.length = until.saturating_sub(pos);
            iomap.type_ = bindings::IOMAP_MAPPED as u16;
            iomap.flags = bindings::IOMAP_F_ANON_WRITE as u16;
            match writeback.pending.as_mut() {
                Some(pending) => pending.merge(reservation),
                None => writeback.pending = Some(reservation),
            }
        }
        // Dirty without a reservation: nothing may be lost silently.
        None => return EIO.to_errno() as isize,
    }
    // SAFETY: iomap passes its own context and the folio it is writing back.
    unsafe {
        bindings::iomap_add_to_ioend(
            context,
            folio,
            pos as bindings::loff_t,
            end_pos as bindings::loff_t,
            len,
        )
    }
}

unsafe extern "C" fn writeback_submit<T: FileData>(
    context: *mut bindings::iomap_writepage_ctx,
    error: ffi::c_int,
) -> ffi::c_int {
    // SAFETY: All contexts with this callback are the first field of a `Writeback<T>`.
    let writeback = unsafe { &mut *context.cast::<Writeback<T>>() };
    // SAFETY: `wb_ctx` is the ioend that iomap built and hands over here.
    let ioend = unsafe { Ioend::<T>::new(writeback.context.wb_ctx.cast()) };
    // Up to 7.2 iomap goes on with it, and submits it again, where this call fails.
    writeback.context.wb_ctx = ptr::null_mut();
    // SAFETY: The inode of the mapping under writeback.
    let file = unsafe { of::<T>((*context).inode) };
    let sent = to_result(error).and(file).and_then(|file| {
        let pending = writeback.pending.as_mut().ok_or(EIO)?;
        Ok((file, pending.split(ioend.len())?))
    });
    let sent = match sent {
        Ok((file, reservation)) => file.send(ioend, reservation),
        Err(error) => {
            ioend.end(Err(error));
            Err(error)
        }
    };
    sent.err().map_or(0, |error| error.to_errno())
}
