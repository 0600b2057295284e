// SPDX-License-Identifier: GPL-2.0
//! The devices of a volume, by their ids.

use super::device::Device;
use super::hal::Hal;
use super::profile::Profile;
use super::Chunk;
use crate::disk::{DeviceId, Flaw, Physical, Site, Stripe, Uuid};
use kernel::sync::Arc;
use latch::prelude::*;

/// A device as a part of the volume.
pub(super) struct Member {
    pub(super) device: Arc<dyn Device>,
    pub(super) devid: DeviceId,
    pub(super) uuid: Uuid,
    pub(super) hal: KBox<dyn Hal>,
}

impl Member {
    fn flush(&self) -> Result {
        self.device.flush().inspect_err(|error| {
            let devid = self.devid;
            pr_err!("device {devid} cannot be flushed: {}\n", error.to_errno());
        })
    }
}

/// All devices of a volume, in the order in which they were given.
pub(super) struct Members {
    pub(super) first: Member,
    pub(super) others: KVec<Member>,
}

impl Members {
    /// Gives all devices, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        Iterator::chain(core::iter::once(&self.first), &self.others)
    }

    /// Makes durable what the devices took before: the superblock that was read may be in the cache of one alone, since a crash
    /// between its write and its flush, and what it frees is in use by the one before it.
    pub(super) fn flush(&self) -> Result {
        self.iter().try_for_each(Member::flush)
    }

    /// Makes durable what all devices but the first took: a superblock that is about to go to the first leads there too.
    pub(super) fn flush_others(&self) -> Result {
        self.others.iter().try_for_each(Member::flush)
    }

    /// The device with this id.
    pub(super) fn find(&self, devid: DeviceId) -> Option<&Member> {
        self.iter().find(|member| member.devid == devid)
    }

    /// The device that has a stripe.
    pub(super) fn having(&self, stripe: &Stripe) -> Option<&Member> {
        self.find(stripe.devid)
            .filter(|member| member.uuid == stripe.dev_uuid)
    }

    /// Refuses a chunk that cannot be mapped: its copies are whole, and on devices of the volume.
    pub(super) fn check(&self, chunk: &Chunk) -> Result {
        let broken = |flaw: Flaw| flaw.at(Site::Chunk(chunk.logical)).report();
        let Some(profile) = Profile::of(chunk.flags) else {
            pr_err!(
                "chunk {}: profile {} is not supported\n",
                chunk.logical,
                chunk.flags.profile()
            );
            return Err(EOPNOTSUPP);
        };
        let found = u64::try_from(chunk.stripes.len())?;
        if found != profile.stripes() {
            let what = "chunk's stripes do not fit its profile";
            return Err(broken(Flaw::new(what, found, profile.stripes())));
        }
        for stripe in chunk.stripes.iter() {
            let Some(member) = self.having(stripe) else {
                let what = "chunk lies on a device that the volume does not have";
                return Err(broken(Flaw::new(
                    what,
                    stripe.devid.get(),
                    self.first.devid.get(),
                )));
            };
            let len = profile.stripe_len(chunk.len);
            let (end, size) = (stripe.at.saturating_add(len), member.device.size());
            if end > Physical::after(size) {
                let what = "chunk goes beyond its device";
                return Err(broken(Flaw::new(what, end.get(), size.get())));
            }
        }
        Ok(())
    }

    /// The rules of each device that a chunk lies on. One that is mapped lies on devices of the volume.
    pub(super) fn hals<'a>(&'a self, chunk: &'a Chunk) -> impl Iterator<Item = &'a dyn Hal> {
        let has = |member: &&Member| chunk.stripes_on(member.devid).next().is_some();
        self.iter().filter(has).map(|member| &*member.hal)
    }
}
