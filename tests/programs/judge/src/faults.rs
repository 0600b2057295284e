// SPDX-License-Identifier: GPL-2.0

//! One program for each way in which bytes were lost.

pub mod append;
pub mod changing;
pub mod copies;
pub mod overwrite;
pub mod partial;
pub mod pinned;
pub mod space;
pub mod starved;
pub mod truncate;
