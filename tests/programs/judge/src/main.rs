// SPDX-License-Identifier: GPL-2.0

//! Judges of a mounted file system: each subcommand does to it what once lost bytes, or might,
//! and fails if a byte is not what it must be.

mod beside;
mod device;
mod direct;
mod faults;
mod hammer;
mod mapping;
mod pattern;
mod pin;
mod pressure;
mod settle;
mod source;

use anyhow::Result;
use clap::{Parser, Subcommand};
use faults::{
    append, changing, copies, errors, holes, overwrite, partial, pinned, preallocated, put_off,
    space, starved, truncate, zeroed,
};

#[derive(Parser)]
#[command(about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    judge: Judge,
}

#[derive(Subcommand)]
enum Judge {
    /// Logs: lines appended while the file is written out beside.
    Append(append::Options),
    /// Pinned pages that change while they are written out.
    Changing(changing::Options),
    /// Writes from bad addresses and from a mapping of the same file.
    Copies(copies::Options),
    /// Direct IO.
    Direct(direct::Options),
    /// The device fails in the middle of what is written out.
    Errors(errors::Options),
    /// All that can be done to files, by many tasks, with every byte known.
    Hammer(hammer::Options),
    /// Holes punched, and ranges zeroed, in every place and state.
    Holes(holes::Options),
    /// Takes memory, so that the kernel reclaims.
    Hog(pressure::Options),
    /// Blocks written over and over while they are written out.
    Overwrite(overwrite::Options),
    /// Pieces of blocks that are written out and evicted meanwhile.
    Partial(partial::Options),
    /// Pages dirtied behind the file system's back.
    Pinned(pinned::Options),
    /// On a full volume, space that a file was given before can be written.
    Preallocated(preallocated::Options),
    /// An fsync beside writeback without memory (the kernel must let allocations fail).
    PutOff(put_off::Options),
    /// st_blocks, SEEK_DATA and SEEK_HOLE of what was just written.
    Space(space::Options),
    /// Writeback without memory (the kernel must let allocations fail).
    Starved(starved::Options),
    /// Files cut in the middle of a folio, which grow again.
    Truncate(truncate::Options),
    /// On a full volume, a file that is zeroed beside a store keeps its space.
    Zeroed(zeroed::Options),
}

fn main() -> Result<()> {
    match Cli::parse().judge {
        Judge::Append(options) => append::run(&options),
        Judge::Changing(options) => changing::run(&options),
        Judge::Copies(options) => copies::run(&options),
        Judge::Direct(options) => direct::run(&options),
        Judge::Errors(options) => errors::run(&options),
        Judge::Hammer(options) => hammer::run(&options),
        Judge::Holes(options) => holes::run(&options),
        Judge::Hog(options) => pressure::run(&options),
        Judge::Overwrite(options) => overwrite::run(&options),
        Judge::Partial(options) => partial::run(&options),
        Judge::Pinned(options) => pinned::run(&options),
        Judge::Preallocated(options) => preallocated::run(&options),
        Judge::PutOff(options) => put_off::run(&options),
        Judge::Space(options) => space::run(&options),
        Judge::Starved(options) => starved::run(&options),
        Judge::Truncate(options) => truncate::run(&options),
        Judge::Zeroed(options) => zeroed::run(&options),
    }
}
