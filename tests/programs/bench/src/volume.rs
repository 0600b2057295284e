// SPDX-License-Identifier: GPL-2.0

//! Fresh volumes: made, mounted by the driver of a column, and judged in the end.

use crate::record::{Column, Kind};
use anyhow::{ensure, Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where they are mounted.
const DIR: &str = "/mnt/bench";

/// The two builds of the module have the same name: one at a time is loaded.
pub(crate) struct Drivers {
    ours: PathBuf,
    base: Option<PathBuf>,
    loaded: Option<Column>,
}

impl Drivers {
    pub(crate) fn new(ours: PathBuf, base: Option<PathBuf>) -> Result<Self> {
        // With it comes what ours needs.
        command("modprobe", &["btrfs"])?;
        Ok(Self {
            ours,
            base,
            loaded: None,
        })
    }

    /// Who is to do the jobs.
    pub(crate) fn columns(&self) -> Vec<Column> {
        let mut columns = vec![Column::Ours, Column::C, Column::Third];
        if self.base.is_some() {
            columns.insert(1, Column::Base);
        }
        columns
    }

    /// Makes the driver of `column` ready.
    fn load(&mut self, column: Column, kind: Kind) -> Result<()> {
        let module = match (column, &self.base) {
            (Column::Ours, _) => self.ours.clone(),
            (Column::Base, Some(base)) => base.clone(),
            _ => return command("modprobe", &[column.name(kind)]),
        };
        if self.loaded == Some(column) {
            return Ok(());
        }
        self.unload()?;
        command("insmod", &[&module.display().to_string()])?;
        self.loaded = Some(column);
        Ok(())
    }

    /// Takes the module away, whichever of the two it is.
    pub(crate) fn unload(&mut self) -> Result<()> {
        if self.loaded.take().is_some() {
            command("rmmod", &["rbtrfs"])?;
        }
        Ok(())
    }
}

/// A volume on a device.
pub(crate) struct Volume<'a> {
    disk: &'a str,
    column: Column,
}

impl<'a> Volume<'a> {
    /// Makes a new one on `disk` and mounts it.
    pub(crate) fn new(
        drivers: &mut Drivers,
        kind: Kind,
        column: Column,
        disk: &'a str,
    ) -> Result<Self> {
        drivers.load(column, kind)?;
        let (program, options) = make(kind, column);
        let options: Vec<&str> = options.iter().copied().chain([disk]).collect();
        command(program, &options)?;
        fs::create_dir_all(DIR)?;
        let driver = match column {
            Column::Base => "rbtrfs",
            other => other.name(kind),
        };
        command("mount", &["-t", driver, disk, DIR])?;
        Ok(Self { disk, column })
    }

    pub(crate) fn dir(&self) -> &Path {
        Path::new(DIR)
    }

    pub(crate) fn unmount(&self) -> Result<()> {
        command("umount", &[DIR])
    }

    /// After the unmount: what btrfs check says of one of btrfs.
    pub(crate) fn judge(&self) -> Result<()> {
        if self.column == Column::Third {
            return Ok(());
        }
        command("btrfs", &["check", self.disk]).context("what it left")
    }
}

/// The program that makes a volume, and its options.
fn make(kind: Kind, column: Column) -> (&'static str, Vec<&'static str>) {
    match (column, kind) {
        (Column::Third, Kind::Regular) => ("mkfs.xfs", vec!["-q", "-f"]),
        (Column::Third, Kind::Zoned) => ("mkfs.f2fs", vec!["-q", "-f", "-m"]),
        _ => {
            let mut options = vec!["-q", "-f", "-m", "single", "-d", "single"];
            if kind == Kind::Zoned {
                options.extend(["-O", "zoned"]);
            }
            // Without large folios a node is at most a page.
            if user_mode_linux() {
                options.extend(["-n", "4096"]);
            }
            ("mkfs.btrfs", options)
        }
    }
}

fn user_mode_linux() -> bool {
    fs::read_to_string("/proc/sys/kernel/osrelease").is_ok_and(|name| name.trim().ends_with("-uml"))
}

/// Runs a program; its last words are the error if it fails.
fn command(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| program.to_owned())?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        words
            .trim()
            .lines()
            .last()
            .unwrap_or("failed without a word")
    );
    Ok(())
}

/// All that is dirty to the devices, and nothing kept.
pub(crate) fn drop_caches() -> Result<()> {
    rustix::fs::sync();
    Ok(fs::write("/proc/sys/vm/drop_caches", "3")?)
}
