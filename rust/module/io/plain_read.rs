// SPDX-License-Identifier: GPL-2.0

//! Reading a file's folio, one piece after the other, each waited for.

use crate::linux::{BlockDevice, Folio, Operation};
use engine::disk::{FileOffset, Logical};
use engine::fs::{FileSystem, Inode, MappingKind};
use kernel::prelude::*;
use kernel::sync::Arc;

/// Fills `folio` with what the file has there; zeroes where it has nothing.
pub(crate) fn read_folio(
    fs: &FileSystem,
    devices: &[Arc<BlockDevice>],
    inode: &Inode,
    folio: &Folio,
) -> Result {
    let start = u64::try_from(folio.pos()).map_err(|_| EINVAL)?;
    let size = folio.size();
    let mut done = 0;
    while done < size {
        let at = start.saturating_add(done as u64);
        let mapping = fs.map(inode, FileOffset::new(at), size.saturating_sub(done) as u64)?;
        let len = usize::try_from(mapping.len)?.clamp(1, size.saturating_sub(done));
        let bytes = match mapping.kind {
            MappingKind::Hole | MappingKind::Prealloc { .. } => KVec::new(),
            MappingKind::Inline(bytes) => bytes,
            MappingKind::Data { logical } => read_data(fs, devices, inode, logical, len)?,
            MappingKind::Compressed(_) => return Err(EOPNOTSUPP),
        };
        folio.zero(done, len);
        folio.write(done, bytes.get(..len).unwrap_or(&bytes));
        done = done.saturating_add(len);
    }
    Ok(())
}

/// Reads whole sectors and checks them, from the first copy that is good.
fn read_data(
    fs: &FileSystem,
    devices: &[Arc<BlockDevice>],
    inode: &Inode,
    logical: Logical,
    len: usize,
) -> Result<KVec<u8>> {
    let volume = fs.transactions().volume();
    let sector = volume.format().sector_size as usize;
    let len = len.next_multiple_of(sector.max(1));
    let mut bytes = KVec::from_elem(0, len, GFP_KERNEL)?;
    let sums = fs.checksums(inode, logical, len as u64)?;
    let mut at = logical;
    for (index, piece) in bytes.chunks_mut(sector).enumerate() {
        let mapping = volume.map(at, piece.len() as u64)?;
        let mut result = Err(EIO);
        for place in mapping.copies() {
            let Some(device) = devices.get(place.device) else { continue };
            let bounce = Folio::alloc(0)?;
            result = device.transfer(Operation::Read, place.at.get(), &bounce, piece.len());
            bounce.read(0, piece);
            if let (Ok(()), Some(sums)) = (result, &sums) {
                let found = volume.checksums().digest(volume.format().checksum, piece);
                let expected = sums.get(index);
                let is_good = expected.is_some_and(|sum| found.as_ref().starts_with(sum));
                if !is_good {
                    pr_err!("inode {}: data at {at} does not match its checksum\n", inode.number());
                    result = Err(EIO);
                }
            }
            if result.is_ok() {
                break;
            }
        }
        result?;
        at = at.saturating_add(piece.len() as u64);
    }
    Ok(bytes)
}
