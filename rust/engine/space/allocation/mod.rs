// SPDX-License-Identifier: GPL-2.0
//! How bytes leave block groups and come back.
//!
//! | module          | what it is                                                     |
//! |-----------------|----------------------------------------------------------------|
//! | `allocate`      | which address a tree block or file data gets                    |
//! | `block_address` | an address on its way to a tree block                           |
//! | `release`       | addresses coming back when a transaction is durable             |
//! | `removal`       | an empty group on its way out                                   |
//! | `trim`          | telling the devices of freed ranges                             |
//!
//! Above `groups`, which knows nothing of who chooses addresses.

pub(in crate::space) mod allocate;
pub(in crate::space) mod block_address;
pub(in crate::space) mod release;
pub(in crate::space) mod removal;
pub(in crate::space) mod trim;
