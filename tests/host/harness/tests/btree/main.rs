// SPDX-License-Identifier: GPL-2.0
//! Trees against models: `std`'s map for the items, a ledger for the references, a walker for the shape.

mod faults;
mod fixture;
mod items;
mod ledger;
mod shape;
mod snapshots;
mod threads;
