// SPDX-License-Identifier: GPL-2.0

//! What commits cost, as tests/bench/commits notes it: one line for each, with the cache, the driver, how many block groups
//! the commit changed, and the milliseconds that it took and that nobody could join it.

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
    whole: Vec<f64>,
    critical: Vec<f64>,
}

/// Cache, block groups, driver.
type Kind<'a> = (&'a str, u64, &'a str);

/// Prints the medians of each kind of commit.
pub(crate) fn run(options: &Options) -> Result<()> {
    let text = std::fs::read_to_string(&options.commits)?;
    println!(
        "{:<6} {:<8} {:>6} {:>18} {:>18}",
        "cache", "driver", "groups", "ms", "critical ms"
    );
    for ((cache, groups, driver), times) in kinds(&text)? {
        let (whole, critical) = (told(times.whole), told(times.critical));
        println!("{cache:<6} {driver:<8} {groups:>6} {whole:>18} {critical:>18}");
    }
    Ok(())
}

/// The commits by their kind.
fn kinds(text: &str) -> Result<BTreeMap<Kind<'_>, Times>> {
    let mut kinds = BTreeMap::<_, Times>::new();
    for line in text.lines() {
        let (kind, whole, critical) = commit(line).with_context(|| format!("no commit: {line}"))?;
        let times = kinds.entry(kind).or_default();
        times.whole.push(whole);
        times.critical.push(critical);
    }
    Ok(kinds)
}

fn commit(line: &str) -> Option<(Kind<'_>, f64, f64)> {
    let mut words = line.split_whitespace();
    let (cache, driver) = (words.next()?, words.next()?);
    let groups = words.next()?.parse().ok()?;
    let whole = words.next()?.parse().ok()?;
    let critical = words.next()?.parse().ok()?;
    Some(((cache, groups, driver), whole, critical))
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
        let text = "v1 btrfs 10 4 4\nv1 rbtrfs 10 3.5 1\nv1 btrfs 10 2 2\n";
        let kinds = kinds(text).unwrap();
        let whole = |driver| kinds[&("v1", 10, driver)].whole.clone();
        assert_eq!(
            (whole("btrfs"), whole("rbtrfs")),
            (vec![4.0, 2.0], vec![3.5])
        );
        assert!(super::kinds("v1 btrfs many 4 4").is_err());
    }

    #[test]
    fn few_commits_have_no_interval() {
        assert_eq!(told(vec![3.0, 1.0, 9.0]), "3.00");
        assert_eq!(told(vec![3.0, 1.0, 9.0, 2.0, 2.0]), "2.00 (1.00-9.00)");
    }
}
