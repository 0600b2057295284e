// SPDX-License-Identifier: GPL-2.0
//! Looks at image files that may hold anything, each in a process of its own with limits: `make fuzz-images`.
//!
//! Every image is gone through as it is, and once more adapted (see [`adapt`]) and with the checksums of the superblock
//! and of all that looks like a tree block put right, so that what the fuzzer changed is reached.

mod adapt;
mod blocks;
mod limits;

use blocks::Blocks;
use harness::device::{Image, Pages};
use harness::hostile::{self, Seen};
use harness::random::Random;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match &arguments[..] {
        [one, image] if one == Path::new("--one") => look_at(image),
        [folder] => look_at_all(folder),
        _ => {
            eprintln!("usage: fuzz-images FOLDER");
            ExitCode::from(2)
        }
    }
}

/// Looks at every file of a folder; prints what came of each.
fn look_at_all(folder: &Path) -> ExitCode {
    let images = match files(folder) {
        Ok(images) if !images.is_empty() => images,
        Ok(_) => {
            eprintln!("fuzz-images: {} holds no image", folder.display());
            return ExitCode::from(2);
        }
        Err(error) => {
            eprintln!("fuzz-images: {}: {error}", folder.display());
            return ExitCode::from(2);
        }
    };
    let mut failed = 0;
    for image in &images {
        let name = image.file_name().unwrap_or_default().to_string_lossy();
        match limits::run_one(image) {
            Ok(text) => println!("ok {name}\n{text}"),
            Err(what) => {
                failed += 1;
                println!("not ok {name}: {what}");
            }
        }
    }
    let passed = images.len() - failed;
    println!("# fuzz images: {passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    files.sort();
    Ok(files)
}

/// Looks at one image in this process; a line for each state it is looked at in.
fn look_at(path: &Path) -> ExitCode {
    let pages = match limits::set().and_then(|()| Pages::load(path)) {
        Ok(pages) => pages,
        Err(error) => {
            println!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    let image = Image { pages, zones: None };
    let mut blocks = Blocks::default();
    let adapted = blocks.gate(&image);
    println!("  gate: {blocks}");
    let states = [("as it is", image), ("adapted", adapted)];
    for (state, image) in states {
        let read = hostile::look(|| hostile::read_all(image.clone()));
        let changed = hostile::look(|| hostile::change_all(image, &mut Random::new(1)));
        match (read, changed) {
            (Ok(read), Ok(changed)) => println!(
                "  {state}: read: {}; changed: {}",
                show(&read),
                show(&changed)
            ),
            (Err(what), _) | (_, Err(what)) => {
                println!("  {state}: {what}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn show(report: &hostile::Report) -> String {
    let why = report.log.first().map(|line| line.trim_end());
    let why = why.map_or(String::new(), |line| format!(" ({line})"));
    match report.seen {
        Seen::Refused(error) => format!("mount {error:?}{why}"),
        Seen::Mounted(error) => format!("mounted, then {error:?}{why}"),
        Seen::All => "all".into(),
    }
}
