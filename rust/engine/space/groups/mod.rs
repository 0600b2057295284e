// SPDX-License-Identifier: GPL-2.0
//! Block groups: which there are, what the trees have of them, and how they come and go.
//!
//! | module         | what it is                                                                    |
//! |----------------|-------------------------------------------------------------------------------|
//! | `block_groups` | all block groups of a volume, and the space infos of their classes            |
//! | `budget`       | how much memory may tell where groups are free                                |
//! | `caches`       | writing the free space caches of groups                                       |
//! | `data_zones`   | the active zones of groups of file data                                       |
//! | `dirty`        | the groups that the trees are behind of                                       |
//! | `finishing`    | finishing zones of which something is left                                    |
//! | `group`        | one block group: its bytes by state, and where they are free                  |
//! | `growth`       | what chunks could still be added, and when one should be                      |
//! | `items`        | what the trees have of a group, what they lack                                |
//! | `load`         | reading the groups at mount                                                   |
//! | `make`         | the state that a group begins with                                            |
//! | `rebuild`      | a free space tree that is not valid, made anew                                |
//! | `reset`        | emptying the zones of groups in which nothing is left                         |
//! | `set`          | the set of block groups, by address and by class                              |
//! | `sparse`       | full groups on sequential zones of which little is in use                     |
//! | `unread`       | reading where groups are free, when it is needed                              |
//! | `writeout`     | telling the trees what changed in groups                                      |
//! | `zones`        | what the write order asks of groups and of the volume                         |

pub(in crate::space) mod block_groups;
mod budget;
pub(in crate::space) mod caches;
pub(in crate::space) mod data_zones;
mod dirty;
pub(in crate::space) mod finishing;
pub(in crate::space) mod group;
pub(in crate::space) mod growth;
pub(in crate::space) mod items;
pub(in crate::space) mod load;
pub(in crate::space) mod make;
mod rebuild;
mod reset;
pub(in crate::space) mod set;
pub(in crate::space) mod sparse;
pub(in crate::space) mod unread;
pub(in crate::space) mod writeout;
mod zones;
