// SPDX-License-Identifier: GPL-2.0
//! Promises of bytes before any address is chosen: where ENOSPC is decided.
//!
//! | module        | what it is                                                                     |
//! |---------------|--------------------------------------------------------------------------------|
//! | `class`       | what block groups hold                                                         |
//! | `demand`      | how a reservation asks, and what it is told when it is refused                 |
//! | `index`       | the groups of a class by what can be had from each                             |
//! | `reservation` | promised bytes as values                                                       |
//! | `space_info`  | what a class has and has promised, under its lock                              |
//! | `tally`       | bytes by the state they are in                                                 |
//! | `totals`      | what a class has and has promised, and whether it can promise more             |

mod class;
mod demand;
mod index;
mod reservation;
mod space_info;
mod tally;
mod totals;

pub use class::{BlockClass, Class};
pub use demand::{Shortage, Urgency};
pub use reservation::{Awaited, Reservation};

pub(in crate::space) use class::PerClass;
pub(in crate::space) use demand::{Reserve, Return, Withdrawal};
pub(in crate::space) use index::{GroupIndex, Offer, Offered};
pub(in crate::space) use space_info::SpaceInfo;
pub(in crate::space) use tally::{ByteState, Tally};
pub(in crate::space) use totals::{Growth, Spare, Totals};
