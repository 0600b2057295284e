// SPDX-License-Identifier: GPL-2.0
//! Programs that write to files in every way which promises that the data is durable.

mod aio;
mod blocking;
mod combination;
mod engine;
mod uring;
mod worker;

#[cfg(test)]
pub(crate) use combination::Target;
pub(crate) use combination::{Access, Combination, Durability, Interface};
pub(crate) use worker::{Files, Worker};

/// Some units of a file are written. Versions of a unit ascend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub file: u32,
    pub first: u64,
    pub count: u64,
    pub version: u64,
}
