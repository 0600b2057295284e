// SPDX-License-Identifier: GPL-2.0
//! Zoned volumes after many commits: little of what is in the zones of metadata is in use, and emptying some is worth it.

use crate::device::Image;
use crate::history::{Driver, Op};
use crate::mount::{Access, Mounted};
use crate::random::Random;
use crate::tools;
use engine::space::Reclaim;
use kernel::prelude::Result;

const FILES: u64 = 300;

/// A volume with zones of 4 MiB, in which the next [`maintain`](engine::txn::Transactions::maintain) empties a group.
pub fn image(options: &[&str]) -> Image {
    let fresh = tools::mkfs_zoned(24, options, tools::zone_layout(4 << 20));
    let mounted = Mounted::mount(vec![fresh], Access::ReadWrite).expect("mount");
    let mut driver = Driver::start(mounted).expect("root");
    let mut random = Random::new(7);
    (1..=FILES).for_each(|id| make(&mut driver, id).expect("a file"));
    while driver
        .mounted()
        .txns
        .space()
        .next_sparse(Reclaim::Soon)
        .is_none()
    {
        let id = 1 + random.below(FILES);
        write(&mut driver, id).expect("a write");
        driver.apply(&Op::Sync, 1).expect("a commit");
    }
    driver.finish().unmount().expect("unmount").remove(0)
}

fn make(driver: &mut Driver, id: u64) -> Result {
    driver.apply(&Op::create_numbered(id), 1)?;
    write(driver, id)
}

fn write(driver: &mut Driver, id: u64) -> Result {
    driver.apply(&Op::write(id, 0, 2000), 1)
}
