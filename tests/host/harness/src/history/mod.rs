// SPDX-License-Identifier: GPL-2.0
//! Histories: random operations on a file system and, beside it, on a model that must agree.

mod contents;
mod cuts;
mod driver;
pub mod folder;
mod generator;
mod model;
mod op;
mod reader;
mod run;
mod settle;
mod shorter;
mod snapshot;
mod survey;
mod vfs;

pub use contents::Contents;
pub use cuts::Cuts;
pub use driver::Driver;
pub use generator::{Generator, Preallocation, Profile};
pub use model::{Model, Node};
pub use op::{How, Id, Kind, Name, Op, Open, Place, XattrMode, ROOT};
pub use reader::{contents, read};
pub use run::{compare_files, Failure, History, Outcome, Snapshots};
pub use settle::{is_seen, settle};
pub use shorter::{on_a_thread, Failing};
pub use snapshot::{show, File, Path, Snapshot};
pub use survey::{survey, survey_below};
