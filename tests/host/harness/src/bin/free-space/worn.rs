// SPDX-License-Identifier: GPL-2.0
//! How fast space is found on a volume that was filled and emptied ten times, beside how fast it was on a new one.

use crate::{allocations, memory, micros};
use harness::device::Image;
use harness::history::{Driver, Id, Op, ROOT};
use harness::mount::{Access, Mounted};
use harness::tools;
use kernel::prelude::{Result, ENOSPC};

const MIB: u64 = 1 << 20;
const ROUNDS: u32 = 10;

/// Whether allocations are measured that are given back at once.
enum Allocations {
    AreMeasured,
    /// On zones what is given back is lost until they are reset.
    WouldBeLost,
}

/// A volume, and the files on it.
struct Filled {
    allocations: Allocations,
    driver: Driver,
    next: Id,
    files: Vec<Id>,
}

/// Files that went in, and the time of the processor that each took.
struct Rate {
    files: usize,
    each: u128,
}

impl Filled {
    fn new(image: Image, allocations: Allocations) -> Self {
        let mounted = Mounted::mount(vec![image], Access::ReadWrite).expect("a volume");
        Self {
            allocations,
            driver: Driver::start(mounted).expect("a directory"),
            next: ROOT + 1,
            files: Vec::new(),
        }
    }

    fn make(&mut self, size: u64) -> Result {
        let id = self.next;
        self.next += 1;
        self.driver.apply(&Op::create_numbered(id), 1)?;
        self.files.push(id);
        self.driver.apply(&Op::write(id, 0, size), 1)
    }

    /// Makes files until there is no space.
    fn fill(&mut self, size: u64) -> Rate {
        let (before, begun) = (self.files.len(), memory::busy());
        loop {
            match self.make(size) {
                Ok(()) => {}
                Err(error) if error == ENOSPC => break,
                Err(error) => panic!("{error:?}"),
            }
        }
        let files = self.files.len() - before;
        let each = (memory::busy() - begun) / files.max(1) as u128;
        self.sync();
        Rate { files, each }
    }

    /// Removes every `nth` file.
    fn remove(&mut self, nth: usize) {
        let files = std::mem::take(&mut self.files);
        for (index, id) in files.into_iter().enumerate() {
            if index % nth != 0 {
                self.files.push(id);
                continue;
            }
            let unlink = Op::unlink_numbered(id);
            self.driver.apply(&unlink, 1).expect("rm");
        }
        self.sync();
    }

    fn sync(&mut self) {
        self.driver.apply(&Op::Sync, 1).expect("a commit");
        self.driver.mounted().txns.maintain().expect("maintenance");
    }
}

/// Prints what files and allocations take on a new volume, and when it was full and empty ten times.
fn measure(what: &str, mut volume: Filled, size: u64) {
    println!("{what}, files of {} KiB:", size.div_ceil(1024));
    volume.print("    new   ", size);
    for _ in 0..ROUNDS {
        volume.fill(size);
        volume.remove(2);
        volume.fill(size / 2);
        volume.remove(1);
    }
    volume.print("    worn  ", size);
}

impl Filled {
    fn print(&mut self, when: &str, size: u64) {
        if let Allocations::AreMeasured = self.allocations {
            let median = allocations::median(&self.driver.mounted().txns, 64 << 10);
            println!("{when} an allocation {}", micros(median));
        }
        let rate = self.fill(size);
        println!("{when} a file {} of {}", micros(rate.each), rate.files);
        self.remove(1);
    }
}

/// Data and metadata, with and without zones.
pub(crate) fn all() {
    let regular = |bytes| Filled::new(tools::mkfs(bytes, &[]), Allocations::AreMeasured);
    measure("data", regular(256 * MIB), 192 << 10);
    measure("metadata", regular(128 * MIB), 1800);
    let zoned = |zones, len| {
        let image = tools::mkfs_zoned(zones, &[], tools::zone_layout(len));
        Filled::new(image, Allocations::WouldBeLost)
    };
    measure("data on zones", zoned(26, 16 * MIB), MIB);
    measure("metadata on zones", zoned(24, 4 * MIB), 1800);
}
