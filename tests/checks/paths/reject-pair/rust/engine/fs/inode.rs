// SPDX-License-Identifier: GPL-2.0
//! An inode.

pub struct Inode(u64);

impl Inode {
    fn number(&self) -> u64 {
        self.0
    }
}

fn write_back() {}
