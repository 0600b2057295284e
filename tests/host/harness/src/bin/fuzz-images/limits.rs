// SPDX-License-Identifier: GPL-2.0
//! A process with limits for each image: a loop, or an allocation without bounds, ends that process alone.

use rustix::process::{setrlimit, Resource, Rlimit};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// Bytes of address space.
const MEMORY: u64 = 2 << 30;
/// Seconds on a processor; a wait that never ends is none, so the clock is watched as well.
const PROCESSOR: u64 = 60;
/// Seconds by the clock.
const PATIENCE: u64 = 300;

/// Limits this process.
pub(crate) fn set() -> std::io::Result<()> {
    let limit = |limit| Rlimit {
        current: Some(limit),
        maximum: Some(limit),
    };
    setrlimit(Resource::As, limit(MEMORY))?;
    setrlimit(Resource::Cpu, limit(PROCESSOR))?;
    watch_the_clock();
    Ok(())
}

fn watch_the_clock() {
    std::thread::spawn(|| {
        std::thread::sleep(std::time::Duration::from_secs(PATIENCE));
        println!("does not come to an end");
        std::process::abort();
    });
}

/// Has this program look at `image` in a process of its own; what it printed, `Err` where it failed.
pub(crate) fn run_one(image: &Path) -> Result<String, String> {
    let error = |error: std::io::Error| error.to_string();
    let mut child = Command::new(std::env::current_exe().map_err(error)?)
        .arg("--one")
        .arg(image)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(error)?;
    let mut text = String::new();
    if let Some(output) = &mut child.stdout {
        output.read_to_string(&mut text).map_err(error)?;
    }
    let status = child.wait().map_err(error)?;
    let text = text.trim_end().to_string();
    match status.success() {
        true => Ok(text),
        false => Err(format!("{status}\n{text}")),
    }
}
