// SPDX-License-Identifier: GPL-2.0

//! Space by writing out, and by waiting for others: finished data takes less than was promised to dirty data.
//!
//! On a full volume many tasks come here at once, and share what is written out. Who writes to space that his file was given
//! takes turns with others that do so ([`in_turn`]).

use super::{Inode, SuperBlock};
use crate::linux::bindings as b;
use kernel::ffi::c_long;
use latch::prelude::*;

/// Calls `change`, and once more if there was no space: after all dirty data was written out. The caller holds no
/// folio's lock and nothing else that writeback takes. Nobody who holds `s_umount` waits for it, but a freeze for faults, which is
/// put off for some seconds then.
pub(in crate::linux) fn with_space<R>(
    inode: &Inode,
    change: impl FnMut() -> Result<R>,
) -> Result<R> {
    with_space_by(inode, Persistence::Patient, change)
}

/// Calls `change` as [`with_space`] does, with such persistence in writing out.
pub(in crate::linux) fn with_space_by<R>(
    inode: &Inode,
    persistence: Persistence,
    mut change: impl FnMut() -> Result<R>,
) -> Result<R> {
    match change() {
        Err(error) if error == ENOSPC => {
            write_out_all(inode.super_block(), persistence);
            change()
        }
        result => result,
    }
}

/// Writes out all dirty data of the file system and waits for it. The caller holds nothing that writeback takes.
///
/// The super block cannot be held as long as others read, sync(2) perhaps, and one waits behind them to mount the volume once more.
/// Nobody may wait for it, as who freezes has it and waits for stores to memory that ask for space here: the patient try it for some
/// seconds, the awaited once.
pub(in crate::linux) fn write_out_all(sb: &SuperBlock, persistence: Persistence) {
    let Some(write_outs) = sb.write_outs() else {
        return;
    };
    let tries = match persistence {
        Persistence::Patient => HOLDS,
        Persistence::Awaited => 1,
    };
    write_outs.share(|| {
        for tried in 1..=tries {
            let is_done = sb.try_hold(|held| held.write_out()).is_ok();
            if is_done || tried == tries || sleep_a_turn().is_err() {
                return;
            }
        }
    });
}

/// How often a super block is tried to be held, a turn apart: ten seconds.
const HOLDS: u32 = 850;

/// Sleeps for a turn. `EINTR` for who is to be killed.
fn sleep_a_turn() -> Result {
    // SAFETY: Neither asks anything of memory: both look at the current task alone. Who asks for space may sleep.
    unsafe {
        b::schedule_timeout_killable(TURN);
        match b::rbtrfs_is_killed() {
            true => Err(EINTR),
            false => Ok(()),
        }
    }
}

/// How many jiffies a turn lasts.
const TURN: c_long = 3;

/// How long one waits for a turn.
#[derive(Clone, Copy)]
pub(in crate::linux) enum Persistence {
    /// Minutes at the most. All others end by themselves but those who fetch a user's memory, which may be in the hands of
    /// whoever waits.
    Patient,
    /// Some twenty seconds: longer than a device that fails keeps the promise of a write that is sent to it again in parts. Whoever
    /// freezes or unmounts waits for this one, and nobody writes out for others meanwhile; so does who keeps faults out, for which
    /// others wait that have such promises.
    Awaited,
}

impl Persistence {
    fn turns(self) -> u32 {
        match self {
            Self::Patient => 10_000,
            Self::Awaited => 1_700,
        }
    }
}

/// Calls `change`, and again while it is refused as others that write in place have what there is (`EBUSY`); in the end
/// `ENOSPC`. When it says so, `change` leaves no such promise behind, nor anything locked that others take on their way to
/// the device: what a fault takes, a folio, a range that direct writes have entered.
pub(in crate::linux) fn in_turn<R>(
    inode: &Inode,
    persistence: Persistence,
    mut change: impl FnMut() -> Result<R>,
) -> Result<R> {
    for _ in 0..persistence.turns() {
        match change() {
            Err(error) if error == EBUSY => await_turn(inode)?,
            result => return result,
        }
    }
    Err(ENOSPC)
}

/// Gives others a moment to give back what they were promised. `EINTR` for who is to be killed.
pub(in crate::linux) fn await_turn(inode: &Inode) -> Result {
    // What is dirty is not on its way by itself. Who comes here comes again.
    write_out_all(inode.super_block(), Persistence::Awaited);
    sleep_a_turn()
}
