// SPDX-License-Identifier: GPL-2.0

//! fio: how it is called for a job, and what of its JSON is the job's figure.

use crate::jobs::{FileBefore, FioJob};
use crate::record::Outcome;
use anyhow::{bail, ensure, Context, Result};
use serde::Deserialize;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// After so many seconds a task does no more, whatever is left of its file.
const LONGEST: u32 = 10;

/// Runs `job` on `file`; fio's own words go to `report`.
pub(crate) fn run(job: &FioJob, file: &Path, report: &Path) -> Result<Outcome> {
    let output = Command::new("fio")
        .args(arguments(job, file, report))
        .output()
        .context("fio")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let written = fs::read_to_string(report).unwrap_or_default();
    if !output.status.success() {
        bail!("{}", complaint(&stderr, &written));
    }
    evaluate(job, &written)
}

fn arguments(job: &FioJob, file: &Path, report: &Path) -> Vec<String> {
    let flag = u8::from;
    vec![
        format!("--name={}", job.name),
        format!("--filename={}", file.display()),
        format!("--rw={}", job.rw),
        format!("--bs={}", job.bs),
        format!("--ioengine={}", job.engine),
        format!("--iodepth={}", job.depth),
        format!("--numjobs={}", job.tasks),
        format!("--size={}m", job.mib),
        format!("--direct={}", flag(job.direct)),
        format!("--sync={}", job.sync),
        format!("--end_fsync={}", flag(job.leaves_dirty_pages())),
        format!("--invalidate={}", flag(job.file != FileBefore::Warm)),
        format!("--runtime={LONGEST}"),
        // By itself it would preallocate.
        "--fallocate=none".to_owned(),
        "--thread".to_owned(),
        "--group_reporting".to_owned(),
        "--eta=never".to_owned(),
        "--output-format=json".to_owned(),
        format!("--output={}", report.display()),
    ]
}

/// Of what it said, in either place, the line that tells most to somebody who reads a table: the first.
fn complaint(stderr: &str, report: &str) -> String {
    let before_json = report.split('{').next().unwrap_or_default();
    let mut lines = stderr.lines().chain(before_json.lines()).map(str::trim);
    let line = lines.find(|line| !line.is_empty());
    format!(
        "fio: {}",
        line.unwrap_or("failed without a word")
            .trim_start_matches("fio: ")
    )
}

/// What we read of fio's JSON.
#[derive(Deserialize)]
struct Report {
    jobs: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    error: i32,
    read: Direction,
    write: Direction,
}

#[derive(Deserialize)]
struct Direction {
    io_bytes: u64,
    /// Milliseconds, of the task that took longest.
    runtime: u64,
    #[serde(default)]
    clat_ns: Latency,
}

#[derive(Default, Deserialize)]
struct Latency {
    #[serde(default)]
    percentile: HashMap<String, u64>,
}

/// The figure in a report. fio may say something before its JSON begins.
fn evaluate(job: &FioJob, report: &str) -> Result<Outcome> {
    let json = report.find('{').context("fio's report has no JSON")?;
    let report: Report = serde_json::from_str(&report[json..]).context("fio's report")?;
    let [group] = report.jobs.as_slice() else {
        bail!("fio's report has {} jobs", report.jobs.len());
    };
    ensure!(group.error == 0, "fio: error {}", group.error);
    let done = if job.writes() {
        &group.write
    } else {
        &group.read
    };
    ensure!(done.io_bytes > 0, "fio did nothing");
    Ok(Outcome::Rate {
        bytes_per_second: done.io_bytes as f64 * 1000.0 / done.runtime.max(1) as f64,
        p99_ns: done.clat_ns.percentile.get("99.000000").copied(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(rw: &str) -> FioJob {
        FioJob {
            name: "job".to_owned(),
            rw: rw.to_owned(),
            bs: "4k".to_owned(),
            engine: "psync".to_owned(),
            file: FileBefore::Cold,
            mib: 64,
            depth: 1,
            tasks: 1,
            direct: false,
            sync: "none".to_owned(),
        }
    }

    const REPORT: &str = r#"fio: a word before
{"fio version": "fio-3.39", "jobs": [{"jobname": "job", "error": 0,
    "read": {"io_bytes": 1048576, "runtime": 500, "clat_ns": {"percentile": {"50.000000": 1, "99.000000": 7}}},
    "write": {"io_bytes": 0, "runtime": 0, "clat_ns": {"min": 0}}}]}"#;

    #[test]
    fn the_rate_is_that_of_the_jobs_direction() {
        assert_eq!(
            evaluate(&job("randread"), REPORT).unwrap(),
            Outcome::Rate {
                bytes_per_second: 2097152.0,
                p99_ns: Some(7)
            }
        );
        assert!(evaluate(&job("randwrite"), REPORT).is_err());
    }

    #[test]
    fn an_error_in_the_report_is_one() {
        let report = REPORT.replace("\"error\": 0", "\"error\": 5");
        assert!(evaluate(&job("randread"), &report).is_err());
        assert!(evaluate(&job("randread"), "fio: nothing else").is_err());
    }

    #[test]
    fn the_first_complaint_is_told() {
        assert_eq!(complaint("", REPORT), "fio: a word before");
        assert_eq!(complaint("\nfio: no space\nfio: more", ""), "fio: no space");
        assert_eq!(complaint("", "{}"), "fio: failed without a word");
    }

    #[test]
    fn what_is_left_dirty_is_synced() {
        let arguments = |job| arguments(&job, Path::new("/f"), Path::new("/r")).join(" ");
        assert!(arguments(job("write")).contains("--end_fsync=1"));
        let direct = FioJob {
            direct: true,
            ..job("write")
        };
        assert!(arguments(direct).contains("--direct=1 --sync=none --end_fsync=0"));
    }
}
