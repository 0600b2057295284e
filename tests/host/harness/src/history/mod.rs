// SPDX-License-Identifier: GPL-2.0
//! Histories: random operations on a file system and, beside it, on a model that must agree.

mod contents;
pub mod folder;
mod generator;
mod model;
mod op;
mod snapshot;

pub use contents::Contents;
pub use generator::{Generator, Profile};
pub use model::{Model, Node};
pub use op::{How, Id, Kind, Name, Op, Open, Place, XattrMode, ROOT};
pub use snapshot::{show, File, Path, Snapshot};
