// SPDX-License-Identifier: GPL-2.0
//! Mounts, and the programs of btrfs-progs.

use anyhow::{ensure, Context, Result};
use nix::mount::{mount, umount, MsFlags};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name of the kernel's own btrfs.
pub(crate) const C: &str = "btrfs";

/// A mounted volume; dropping unmounts it.
pub(crate) struct MountPoint(Option<PathBuf>);

impl MountPoint {
    pub(crate) fn new(device: &Path, folder: &Path, kind: &str, flags: MsFlags) -> Result<Self> {
        mount(Some(device), folder, Some(kind), flags, None::<&str>)
            .with_context(|| format!("mounting as {kind}"))?;
        Ok(Self(Some(folder.into())))
    }

    pub(crate) fn unmount(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.0
            .take()
            .map_or(Ok(()), |folder| umount(&folder).context("unmounting"))
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{error:#}");
        }
    }
}

/// Runs a program; what it says is the error when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&said)
    );
    Ok(())
}

pub(crate) fn check(device: &Path) -> Result<()> {
    run(Command::new("btrfs")
        .args(["check", "--check-data-csum"])
        .arg(device))
}
