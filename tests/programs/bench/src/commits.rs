// SPDX-License-Identifier: GPL-2.0

//! What commits cost, as tests/bench/commits notes it: one line for each, with the cache, the driver, how many block groups
//! the commit changed, and the milliseconds that the caller of sync waited, that it took, and that nobody could join it.

use crate::estimate::Estimate;
use anyhow::{Context, Result};
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// File with a line for each commit
    commits: PathBuf,
}

/// The milliseconds that commits of one kind took.
#[derive(Debug, Default, PartialEq)]
struct Times {
    sync: Vec<f64>,
    whole: Vec<f64>,
    critical: Vec<f64>,
}

/// Cache, block groups, driver.
type Kind<'a> = (&'a str, u64, &'a str);

/// Prints the medians of each kind of commit.
pub(crate) fn run(options: &Options) -> Result<()> {
    let text = std::fs::read_to_string(&options.commits)?;
    let heads = ["sync ms", "commit ms", "critical ms"].map(|head| format!("{head:>20}"));
    println!("cache  driver   groups{}", heads.concat());
    for ((cache, groups, driver), times) in kinds(&text)? {
        let times = [times.sync, times.whole, times.critical];
        let times = times.map(|times| format!("{:>20}", told(times)));
        println!("{cache:<6} {driver:<8} {groups:>6}{}", times.concat());
    }
    Ok(())
}

/// The commits by their kind.
fn kinds(text: &str) -> Result<BTreeMap<Kind<'_>, Times>> {
    let mut kinds = BTreeMap::<_, Times>::new();
    for line in text.lines() {
        let (kind, [sync, whole, critical]) =
            commit(line).with_context(|| format!("no commit: {line}"))?;
        let times = kinds.entry(kind).or_default();
        times.sync.push(sync);
        times.whole.push(whole);
        times.critical.push(critical);
    }
    Ok(kinds)
}

fn commit(line: &str) -> Option<(Kind<'_>, [f64; 3])> {
    let mut words = line.split_whitespace();
    let (cache, driver) = (words.next()?, words.next()?);
    let groups = words.next()?.parse().ok()?;
    let mut time = || words.next()?.parse().ok();
    Some(((cache, groups, driver), [time()?, time()?, time()?]))
}

/// The median, and between which it is where rounds are enough to tell.
fn told(times: Vec<f64>) -> String {
    match Estimate::of(times) {
        None => String::new(),
        Some(Estimate {
            median,
            interval: None,
        }) => format!("{median:.2}"),
        Some(Estimate {
            median,
            interval: Some((low, high)),
        }) => {
            format!("{median:.2} ({low:.2}-{high:.2})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_by_kind() {
        let text = "v1 btrfs 10 5 4 4\nv1 rbtrfs 10 4 3.5 1\nv1 btrfs 10 3 2 2\n";
        let kinds = kinds(text).unwrap();
        let whole = |driver| kinds[&("v1", 10, driver)].whole.clone();
        assert_eq!(
            (whole("btrfs"), whole("rbtrfs")),
            (vec![4.0, 2.0], vec![3.5])
        );
        assert_eq!(kinds[&("v1", 10, "rbtrfs")].sync, [4.0]);
        assert!(super::kinds("v1 btrfs many 5 4 4").is_err());
    }

    #[test]
    fn few_commits_have_no_interval() {
        assert_eq!(told(vec![3.0, 1.0, 9.0]), "3.00");
        assert_eq!(told(vec![3.0, 1.0, 9.0, 2.0, 2.0]), "2.00 (1.00-9.00)");
    }
}
