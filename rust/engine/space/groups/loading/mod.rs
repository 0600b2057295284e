// SPDX-License-Identifier: GPL-2.0
//! Reading groups from the trees: all of them at mount, where each is free when somebody needs it.
//!
//! | module   | what it is                                       |
//! |----------|--------------------------------------------------|
//! | `budget` | how much memory may tell where groups are free   |
//! | `load`   | reading the groups at mount                      |
//! | `unread` | reading where groups are free, when it is needed |

mod budget;
pub(in crate::space) mod load;
pub(in crate::space) mod unread;
