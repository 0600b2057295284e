// SPDX-License-Identifier: GPL-2.0
//! Full volumes and chunks that come and go.

use crate::files::{File, Files};
use crate::mounted::{zoned_image, Mounted};
use harness::device::Image;
use harness::tools;
use kernel::prelude::*;
use std::vec::Vec;

const MIB: u64 = 1 << 20;

/// Creates files until there is no space, and removes them all.
fn fill_and_empty(mounted: &Mounted, len: u64, piece: u64) -> usize {
    let files = Files::new(&mounted.txns);
    let mut all: Vec<File> = Vec::new();
    loop {
        // Long names: metadata fills fast.
        let name = format!("{:0>200}", all.len());
        match files.create(&name, len, piece) {
            Ok(file) => all.push(file),
            Err(error) => {
                assert_eq!(error, ENOSPC);
                break;
            }
        }
    }
    mounted.txns.commit().unwrap();
    tools::check(&mounted.device.image()).unwrap();
    for file in &all {
        files.remove(file).unwrap();
    }
    all.len()
}

fn fill_twice(image: Image, len: u64, piece: u64) {
    let mounted = Mounted::mount(image).unwrap();
    let first = fill_and_empty(&mounted, len, piece);
    mounted.txns.commit().unwrap();
    mounted.txns.maintain().unwrap();
    mounted.txns.commit().unwrap();
    tools::check(&mounted.device.image()).unwrap();
    let second = fill_and_empty(&mounted, len, piece);
    assert!(
        first > 0 && second * 10 >= first * 8,
        "{first} files, then {second}"
    );
    tools::check(&mounted.unmount()).unwrap();
}

#[test]
fn metadata_fills_and_empties() {
    fill_twice(tools::mkfs(160 * MIB, &[]), 0, 4096);
}

#[test]
fn data_fills_and_empties() {
    fill_twice(tools::mkfs(1024 * MIB, &[]), 4 * MIB, MIB);
}

#[test]
fn a_zoned_device_fills_and_empties() {
    let image = zoned_image(10, 16 * MIB);
    fill_twice(image, 2 * MIB, MIB);
}

#[test]
fn chunks_are_made_and_removed() {
    let mounted = Mounted::mount(tools::mkfs(2048 * MIB, &[])).unwrap();
    let files = Files::new(&mounted.txns);
    let all: Vec<File> = (0..120)
        .map(|n| files.create(&format!("f{n}"), 8 * MIB, MIB).unwrap())
        .collect();
    mounted.txns.commit().unwrap();
    tools::check(&mounted.device.image()).unwrap();
    for file in &all {
        files.remove(file).unwrap();
    }
    drop(files);
    mounted.txns.commit().unwrap();
    mounted.txns.maintain().unwrap();
    let image = mounted.unmount();
    tools::check(&image).unwrap();
}
