// SPDX-License-Identifier: GPL-2.0
//! Groups on sequential zones: which zones are active, which are finished, and which are emptied.
//!
//! | module      | what it is                                                    |
//! |-------------|---------------------------------------------------------------|
//! | `active`    | the active zones of groups of file data                       |
//! | `finishing` | finishing zones of which something is left                    |
//! | `order`     | what the write order asks of groups and of the volume         |
//! | `reset`     | emptying the zones of groups in which nothing is left         |
//! | `sparse`    | full groups on sequential zones of which little is in use     |

pub(in crate::space) mod active;
pub(in crate::space) mod finishing;
pub(super) mod order;
mod reset;
pub(in crate::space) mod sparse;
