// SPDX-License-Identifier: GPL-2.0
//! What the engine runs on in tests.
//!
//! | module         | what it is                                                                             |
//! |----------------|----------------------------------------------------------------------------------------|
//! | [`device`]     | simulated devices: regular and zoned, with power cuts and faults                         |
//! | [`store`]      | the block cache under the trees                                                          |
//! | [`kinds`]      | the kinds of devices there are                                                           |
//! | [`tools`]      | images made by `mkfs.btrfs` and judged by `btrfs check`                                   |
//! | [`checksums`]  | the checksum algorithms                                                                  |
//! | [`walker`]     | reads images without the engine's trees                                                 |
//! | [`mount`]      | a mounted volume: all layers of the engine                                               |
//! | [`reuse`]      | what was taken before the superblock that frees it was durable                          |
//! | [`worn`]       | zoned volumes whose zones are worth emptying                                             |
//! | [`punch`]      | holes in files, in one call                                                              |
//! | [`mutate`]     | images with damage that checksums do not tell                                           |
//! | [`subjects`]   | file systems to be mutated                                                              |
//! | [`hostile`]    | looks at images that may hold anything                                                   |
//! | [`history`]    | random operations and the model that a file system must agree with                       |
//! | [`random`]     | random numbers that a seed repeats                                                       |

pub mod checksums;
pub mod device;
pub mod history;
pub mod hostile;
pub mod kinds;
pub mod mount;
pub mod mutate;
pub mod punch;
pub use random;
pub mod reuse;
pub mod store;
pub mod subjects;
pub mod token;
pub mod tools;
pub mod walker;
pub mod worn;
