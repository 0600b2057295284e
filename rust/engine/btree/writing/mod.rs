// SPDX-License-Identifier: GPL-2.0
//! Changing a tree: a way down that latches what will change, and what is done at its end.
//!
//! | module    | what it has                                                  |
//! |-----------|--------------------------------------------------------------|
//! | `writer`  | changing a tree in batches                                   |
//! | `change`  | changes of single items, and of ranges of them               |
//! | `path`    | the blocks that a writer has latched                         |
//! | `descend` | the way down, for writers                                    |
//! | `tidy`    | splitting and merging the nodes on a writer's way            |
//! | `items`   | changes of items at a place that has been found              |
//! | `room`    | making room in a leaf                                        |
//! | `plan`    | where a leaf is parted so that an item finds room            |
//! | `rewrite` | moving blocks to new addresses                               |

mod change;
mod descend;
mod items;
mod path;
mod plan;
pub(super) mod rewrite;
mod room;
mod tidy;
pub(super) mod writer;
