// SPDX-License-Identifier: GPL-2.0

//! What is shown of a mount: `/proc/mounts` and statfs.

use super::options::space_cache::space_cache;
use super::Mount;
use crate::linux::mount::Statfs;
use crate::linux::seq::ShownOptions;
use crate::linux::Inode;
use crate::vfs::node::subvolume_of;
use engine::disk::Bytes;
use latch::prelude::*;

impl Mount {
    /// Shows the options; `root` is the directory mounted.
    pub(super) fn show(&self, root: &Inode, out: &ShownOptions<'_>) {
        let settings = *self.settings.lock();
        settings.show(space_cache(self.volume()), root.super_block(), out);
        let Ok(view) = subvolume_of(root) else {
            return;
        };
        let id = view.subvolume.id();
        out.number(c"subvolid", id.get());
        let path = self.fs.subvolumes().path(id).and_then(|mut path| {
            path.push(0, GFP_KERNEL)?;
            Ok(path)
        });
        let path = path.as_deref().ok();
        if let Some(path) = path.and_then(|path| CStr::from_bytes_with_nul(path).ok()) {
            out.value(c"subvol", path);
        }
    }

    /// What statfs shows, by the subvolume that `root` is shown in.
    pub(super) fn statistics(&self, root: &Inode) -> Result<Statfs> {
        let shown = self.fs.statistics()?;
        let block = Bytes::from(shown.block_size);
        let id = subvolume_of(root)?.subvolume.id().get();
        Ok(Statfs {
            block_size: shown.block_size,
            blocks: shown.total.count(block),
            free: shown.free.count(block),
            available: shown.available.count(block),
            fsid: fsid(&self.volume().superblock().fsid.0, id),
        })
    }
}

/// The UUID and the subvolume's id, mixed as C does.
fn fsid(uuid: &[u8; 16], id: u64) -> [u32; 2] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(uuid.chunks_exact(4)) {
        *word = bytes
            .first_chunk()
            .map_or(0, |bytes| u32::from_be_bytes(*bytes));
    }
    let [a, b, c, d] = words;
    [a ^ c ^ (id >> 32) as u32, b ^ d ^ id as u32]
}
