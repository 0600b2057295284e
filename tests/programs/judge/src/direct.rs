// SPDX-License-Identifier: GPL-2.0

//! Direct IO, with buffers that do not hold still and beside everything else.

mod append;
mod cold;
mod cut;
mod durable;
mod engine;
mod errors;
mod full;
mod grow;
mod itself;
mod mixed;
mod nowait;
mod scattered;
mod scribble;
mod shapes;
mod stale;
mod stream;
mod transfer;

use anyhow::Result;
use clap::{Args, Subcommand};

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    judge: Judge,
}

#[derive(Subcommand)]
enum Judge {
    /// Many tasks append at the same time.
    Append(append::Options),
    /// Calls that must not wait, on a file whose metadata are not in memory.
    Cold(cold::Options),
    /// The file is cut and grows while it is written.
    Cut(cut::Options),
    /// Writes that are to be durable before they count.
    Durable(durable::Options),
    /// The device fails in the middle of requests.
    Errors(errors::Options),
    /// The volume runs full in the middle of requests.
    Full(full::Options),
    /// Many requests at once make the file longer.
    Grow(grow::Options),
    /// The buffer is a mapping of the file itself.
    Itself(itself::Options),
    /// Direct, buffered and mapped writers of one file.
    Mixed(mixed::Options),
    /// Calls that must not wait.
    Nowait(nowait::Options),
    /// Many small writes at once to preallocated space of a full volume.
    Scattered(scattered::Options),
    /// Buffers that change while they are read into or written from.
    Scribble(scribble::Options),
    /// Requests of all sizes, places and pieces of memory, compared with a model.
    Shapes(shapes::Options),
    /// A folio is read, stored to and written while a write to another part of it is under way.
    Stale(stale::Options),
    /// Requests under way all the time, while others do things to the mount.
    Stream(stream::Options),
}

pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.judge {
        Judge::Append(options) => append::run(options),
        Judge::Cold(options) => cold::run(options),
        Judge::Cut(options) => cut::run(options),
        Judge::Durable(options) => durable::run(options),
        Judge::Errors(options) => errors::run(options),
        Judge::Full(options) => full::run(options),
        Judge::Grow(options) => grow::run(options),
        Judge::Itself(options) => itself::run(options),
        Judge::Mixed(options) => mixed::run(options),
        Judge::Nowait(options) => nowait::run(options),
        Judge::Scattered(options) => scattered::run(options),
        Judge::Scribble(options) => scribble::run(options),
        Judge::Shapes(options) => shapes::run(options),
        Judge::Stale(options) => stale::run(options),
        Judge::Stream(options) => stream::run(options),
    }
}
