// SPDX-License-Identifier: GPL-2.0
//! Block devices of this program, by the kernel's ublk driver. The crate `libublk` does the same, but its build needs
//! libclang, and it cannot answer requests out of their order.

mod abi;
mod control;
mod device;
mod queue;

pub(crate) use device::{Device, Geometry};
pub(crate) use queue::{zone_report, Answer, Backend, Request, Verb};
