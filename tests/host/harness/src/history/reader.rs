// SPDX-License-Identifier: GPL-2.0
//! Reading file data as the kernel edge would: from the places that the engine names, with checksums compared.

use super::contents::Contents;
use crate::checksums::HostChecksums;
use crate::mount::Mounted;
use engine::disk::{Bytes, Checksums, FileOffset};
use engine::fs::{Inode, MappingKind};
use kernel::prelude::*;

const SECTOR: u64 = 4096;

fn align_down(value: u64) -> u64 {
    value / SECTOR * SECTOR
}

fn align_up(value: u64) -> u64 {
    value.next_multiple_of(SECTOR)
}

/// The checksums of whole sectors, back to back.
pub(super) fn checksums(mounted: &Mounted, bytes: &[u8]) -> std::vec::Vec<u8> {
    let kind = mounted.volume.format().checksum;
    let sectors = bytes.chunks_exact(SECTOR as usize);
    sectors
        .flat_map(|sector| HostChecksums.digest(kind, sector)[..kind.size()].to_vec())
        .collect()
}

/// Reads a file and compares the checksums; zeros beyond its end. What moved since it was looked up is looked up once more.
pub fn read(mounted: &Mounted, inode: &Inode, offset: u64, buf: &mut [u8]) -> Result {
    let mut at = offset;
    let end = offset + buf.len() as u64;
    while at < end {
        let sector = align_down(at);
        let reuses = mounted.txns.space().reuses();
        let find = || {
            let len = Bytes::new(align_up(end) - sector);
            let mappings = mounted.fs.mappings();
            mappings.find(inode, FileOffset::new(sector), len)
        };
        let mapping = find()?;
        if mapping.offset.get() != sector || mapping.len == Bytes::ZERO {
            pr_err!(
                "a mapping of {} bytes at {} for {}\n",
                mapping.len,
                mapping.offset,
                sector
            );
            return Err(EUCLEAN);
        }
        let stop = end.min(sector + mapping.len.get());
        let out = &mut buf[(at - offset) as usize..(stop - offset) as usize];
        let skip = (at - sector) as usize;
        match mapping.kind {
            MappingKind::Hole | MappingKind::Prealloc { .. } => out.fill(0),
            MappingKind::Inline(bytes) => {
                for (index, byte) in out.iter_mut().enumerate() {
                    *byte = bytes.get(skip + index).copied().unwrap_or(0);
                }
            }
            MappingKind::Data { logical } => {
                let len = align_up(stop) - sector;
                let mut sectors = std::vec![0; len as usize];
                let read = mounted.read_data(logical, &mut sectors);
                let read = read.and_then(|()| verify(mounted, inode, logical, &sectors));
                let is_there =
                    |kind| matches!(kind, MappingKind::Data { logical: now } if now == logical);
                let has_moved = read.is_err() && !is_there(find()?.kind);
                if has_moved || mounted.txns.space().reuses() != reuses {
                    continue;
                }
                read?;
                out.copy_from_slice(&sectors[skip..skip + out.len()]);
            }
            MappingKind::Compressed(_) => return Err(EOPNOTSUPP),
        }
        at = stop;
    }
    let size = inode.attributes().size.get();
    if end > size {
        let from = size.saturating_sub(offset).min(buf.len() as u64) as usize;
        buf[from..].fill(0);
    }
    Ok(())
}

fn verify(
    mounted: &Mounted,
    inode: &Inode,
    logical: engine::disk::Logical,
    sectors: &[u8],
) -> Result {
    let Some(sums) = mounted
        .fs
        .data()
        .checksums(inode, logical, Bytes::from(sectors.len()))?
    else {
        return Ok(());
    };
    let kind = mounted.volume.format().checksum;
    for (index, sector) in sectors.chunks_exact(SECTOR as usize).enumerate() {
        let expected = sums.get(index).ok_or(EIO)?;
        if HostChecksums.digest(kind, sector)[..kind.size()] != *expected {
            pr_err!(
                "data at {} + {} sectors has another checksum\n",
                logical,
                index
            );
            return Err(EIO);
        }
    }
    Ok(())
}

/// All bytes of a file; its holes are not read.
pub fn contents(mounted: &Mounted, inode: &Inode) -> Result<Contents> {
    let size = inode.attributes().size.get();
    let mut contents = Contents::default();
    contents.grow(size);
    let mut at = 0;
    while at < size {
        let mapping = mounted.fs.mappings().find(
            inode,
            FileOffset::new(at),
            Bytes::new(align_up(size) - at),
        )?;
        let len = mapping.len.min(Bytes::new(size - at));
        if !matches!(
            mapping.kind,
            MappingKind::Hole | MappingKind::Prealloc { .. }
        ) {
            let mut bytes = std::vec![0; len.min(Bytes::new(1 << 20)).get() as usize];
            read(mounted, inode, at, &mut bytes)?;
            contents.write(at, &bytes);
            at += bytes.len() as u64;
        } else {
            at += len.get().max(1);
        }
        at = align_up(at);
    }
    Ok(contents)
}
