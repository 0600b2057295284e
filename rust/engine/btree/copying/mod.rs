// SPDX-License-Identifier: GPL-2.0
//! Copy-on-write: which blocks may be changed as they stand, what new ones are made, and what several trees share.
//!
//! | module     | what it has                                                               |
//! |------------|---------------------------------------------------------------------------|
//! | `cow`      | which blocks may be changed as they stand, and how the others become such |
//! | `fresh`    | new blocks                                                                |
//! | `share`    | blocks that several trees share                                           |
//! | `snapshot` | making a tree that shares all blocks of another                           |

pub(super) mod cow;
mod fresh;
pub(super) mod share;
mod snapshot;
