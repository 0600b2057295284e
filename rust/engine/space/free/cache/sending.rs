// SPDX-License-Identifier: GPL-2.0
//! The pages of a cache on their way to the device.

use crate::disk::{CacheHeader, Logical};
use crate::volume::device::BegunWrite;
use crate::volume::Volume;
use latch::prelude::*;

/// The pages of a cache that have something.
pub(in crate::space) struct Pages {
    /// The group's address.
    pub(super) start: Logical,
    pub(super) header: CacheHeader,
    pub(super) bytes: KVVec<u8>,
    /// Where they go.
    pub(super) pieces: KVec<(Logical, usize)>,
}

/// Pages that were sent. Whoever drops them has waited for them.
pub(in crate::space) struct Sent<'a> {
    /// The group's address.
    pub(in crate::space) start: Logical,
    /// What makes them a cache, once they are there.
    pub(in crate::space) header: CacheHeader,
    writes: KVec<KBox<dyn BegunWrite + 'a>>,
    /// Whether all was begun.
    begun: Result,
}

impl Pages {
    /// How many bytes are written.
    pub(in crate::space) fn len(&self) -> usize {
        let lens = self.pieces.iter().map(|&(_, len)| len);
        lens.fold(0, usize::saturating_add)
    }

    /// Begins to write them, in place. The devices have copies of them from then on.
    pub(in crate::space) fn send(self, volume: &Volume) -> Sent<'_> {
        let (mut writes, mut begun) = (KVec::new(), Ok(()));
        let mut rest = self.bytes.get(..).unwrap_or(&[]);
        for &(addr, len) in self.pieces.iter() {
            let (now, later) = rest.split_at(len.min(rest.len()));
            begun = begun.and_then(|()| volume.data().begin_write(addr, now, &mut writes));
            rest = later;
        }
        Sent {
            start: self.start,
            header: self.header,
            writes,
            begun,
        }
    }
}

impl Sent<'_> {
    /// Waits until they are on the device, all of them whatever comes of one. The first error, if there is any.
    pub(in crate::space) fn wait(&self) -> Result {
        let writes = self.writes.iter().map(|write| write.wait());
        writes.fold(self.begun, Result::and)
    }
}
