// SPDX-License-Identifier: GPL-2.0

//! The kernel's services that belong to no file system: threads, queues, clocks, checksums, files of text.
//!
//! | module       | what is in it                        |
//! |--------------|--------------------------------------|
//! | [`checksum`] | crc32c, xxh64, sha256, blake2b       |
//! | [`debugfs`]  | a file in debugfs                    |
//! | [`queue`]    | `workqueue_struct`                   |
//! | [`seq`]      | `seq_file`, for mount options        |
//! | [`shrinker`] | giving memory back                   |
//! | [`single`]   | things of which there is one         |
//! | [`sysfs`]    | folders in `/sys/fs`                 |
//! | [`thread`]   | `kthread`                            |
//! | [`time`]     | the clock                            |

pub(crate) mod checksum;
pub(crate) mod debugfs;
pub(crate) mod queue;
pub(crate) mod seq;
pub(crate) mod shrinker;
pub(in crate::linux) mod single;
pub(crate) mod sysfs;
pub(crate) mod thread;
pub(crate) mod time;
