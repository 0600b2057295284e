// SPDX-License-Identifier: GPL-2.0
//! Block groups: which there are, what the trees have of them, and how they come and go.
//!
//! | module         | what it is                                                             |
//! |----------------|------------------------------------------------------------------------|
//! | `activity`     | what zones are to the device, and commands on their way to them        |
//! | `block_groups` | all block groups of a volume, and the space infos of their classes     |
//! | `set`          | the set of block groups, by address and by class                       |
//! | `group`        | one block group: its bytes by state, and where they are free           |
//! | `items`        | what the trees have of a group, what they lack                         |
//! | `make`         | the state that a group begins with                                     |
//! | `growth`       | what chunks could still be added, and when one should be               |
//! | `loading`      | reading groups: at mount, and where they are free when it is needed    |
//! | `writeout`     | telling the trees and the caches what groups have become               |
//! | `zones`        | groups on sequential zones: active, finished, emptied                  |

pub(in crate::space) mod activity;
pub(in crate::space) mod block_groups;
pub(in crate::space) mod group;
pub(in crate::space) mod growth;
pub(in crate::space) mod items;
pub(in crate::space) mod loading;
pub(in crate::space) mod make;
pub(in crate::space) mod set;
pub(in crate::space) mod writeout;
pub(in crate::space) mod zones;
