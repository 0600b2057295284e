// SPDX-License-Identifier: GPL-2.0
//! Files, directories and their histories over images of `mkfs.btrfs`, with `btrfs check` as the judge.

mod crashes;
mod data;
mod histories;
mod images;
#[path = "../transactions/mounted.rs"]
#[allow(dead_code)]
mod mounted;
mod names;
mod player;
