// SPDX-License-Identifier: GPL-2.0

//! What `make bench` is made of: jobs done in a guest by rbtrfs and by others in turn, and tables of
//! what came out.

mod commits;
mod estimate;
mod files;
mod fio;
mod jobs;
mod record;
mod rounds;
mod table;
mod volume;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Names the jobs, one a line
    Jobs(jobs::Selection),
    /// In the guest: does the jobs, round after round
    Run(rounds::Options),
    /// Makes tables and a summary of the figures
    Table(table::Options),
    /// Makes a table of what commits cost
    Commits(commits::Options),
}

fn main() -> Result<()> {
    match Cli::parse().part {
        Part::Jobs(selection) => {
            for work in selection.work()? {
                for name in work.names() {
                    println!("{name}");
                }
            }
            Ok(())
        }
        Part::Run(options) => rounds::run(&options),
        Part::Table(options) => table::run(&options),
        Part::Commits(options) => commits::run(&options),
    }
}
