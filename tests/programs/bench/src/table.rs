// SPDX-License-Identifier: GPL-2.0

//! From figures to tables: medians of the rounds, and how we stand beside others.
//!
//! A ratio is taken within each round, where both ran one after the other; its median is shown, and the interval in
//! which the median of very many rounds is. Above 1 rbtrfs is the faster, whether a figure is a rate or a time.

use crate::estimate::Estimate;
use crate::record::{self, Column, Kind, Outcome, Record};
use anyhow::{bail, Result};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// Folder with the figures; summary.json goes there too
    results: PathBuf,
    /// What the summary is to say of itself
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    about: Vec<(String, String)>,
}

fn name_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Prints the tables and leaves the summary. It fails if we failed in what C btrfs can do.
pub(crate) fn run(options: &Options) -> Result<()> {
    let records = record::read(&options.results)?;
    let summary = Summary::new(options.about.iter().cloned().collect(), &records);
    print!("{}", summary.text());
    let file = options.results.join("summary.json");
    std::fs::write(file, serde_json::to_string_pretty(&summary)? + "\n")?;
    let lost = summary.lost();
    if !lost.is_empty() {
        bail!("rbtrfs failed in what C btrfs did: {}", lost.join(", "));
    }
    Ok(())
}

/// What is left in the machine-readable file.
#[derive(Serialize)]
struct Summary {
    about: BTreeMap<String, String>,
    tables: Vec<Table>,
    failures: Vec<Failure>,
}

#[derive(Serialize)]
struct Table {
    kind: Kind,
    /// Who took part.
    columns: Vec<Column>,
    jobs: Vec<Row>,
}

/// A job: everybody's figures, and our ratios.
#[derive(Serialize)]
struct Row {
    job: String,
    unit: &'static str,
    figures: BTreeMap<Column, Estimate>,
    to_c: Option<Estimate>,
    to_base: Option<Estimate>,
}

#[derive(Serialize)]
struct Failure {
    kind: Kind,
    job: String,
    column: Column,
    round: u32,
    why: String,
}

impl Summary {
    fn new(about: BTreeMap<String, String>, records: &[Record]) -> Self {
        let tables = [Kind::Regular, Kind::Zoned].into_iter().filter_map(|kind| {
            let of_kind: Vec<_> = records
                .iter()
                .filter(|record| record.kind == kind)
                .collect();
            (!of_kind.is_empty()).then(|| Table::new(kind, &of_kind))
        });
        Self {
            about,
            tables: tables.collect(),
            failures: records.iter().filter_map(Failure::of).collect(),
        }
    }

    /// Jobs in which we failed and C btrfs did not.
    fn lost(&self) -> Vec<String> {
        let failed = |kind, job: &str, column| {
            let mut all = self.failures.iter();
            all.any(|failure| {
                (failure.kind, failure.column) == (kind, column) && failure.job == job
            })
        };
        let mut lost = Vec::new();
        for table in &self.tables {
            for row in &table.jobs {
                let of = |column| failed(table.kind, &row.job, column);
                if of(Column::Ours) && !of(Column::C) {
                    lost.push(format!("{} on {}", row.job, table.kind.name()));
                }
            }
        }
        lost
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.about {
            let _ = writeln!(text, "{name}: {value}");
        }
        for table in &self.tables {
            let _ = write!(text, "\n{}", table.text());
        }
        if !self.failures.is_empty() {
            text.push_str("\nfailed:\n");
        }
        for failure in &self.failures {
            let _ = writeln!(
                text,
                "{} {} {} round {}: {}",
                failure.kind.name(),
                failure.job,
                failure.column.name(failure.kind),
                failure.round,
                failure.why
            );
        }
        text
    }
}

impl Failure {
    fn of(record: &Record) -> Option<Self> {
        let Outcome::Failed { why } = &record.outcome else {
            return None;
        };
        Some(Self {
            kind: record.kind,
            job: record.job.clone(),
            column: record.column,
            round: record.round,
            why: why.clone(),
        })
    }
}

impl Table {
    /// The jobs in the order in which they were first done.
    fn new(kind: Kind, records: &[&Record]) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for record in records {
            if !names.contains(&record.job.as_str()) {
                names.push(&record.job);
            }
        }
        let rows = names.into_iter().map(|job| {
            let of_job: Vec<_> = records
                .iter()
                .copied()
                .filter(|record| record.job == job)
                .collect();
            Row::new(job, &of_job)
        });
        let shown = [Column::Ours, Column::C, Column::Third, Column::Base];
        let took_part = |column: &Column| records.iter().any(|record| record.column == *column);
        Self {
            kind,
            columns: shown.into_iter().filter(took_part).collect(),
            jobs: rows.collect(),
        }
    }

    fn text(&self) -> String {
        let base = self.columns.contains(&Column::Base);
        let mut text = format!("{:<25} {:5}", self.kind.name(), "");
        for column in &self.columns {
            let _ = write!(text, " {:>9}", column.name(self.kind));
        }
        let _ = write!(text, " {:>9} {:>12}", "to btrfs", "interval");
        if base {
            let _ = write!(text, " {:>9} {:>12}", "to base", "interval");
        }
        text.push('\n');
        for row in &self.jobs {
            let _ = write!(text, "{:<25} {:5}", row.job, row.unit);
            for column in &self.columns {
                let _ = write!(text, " {:>9}", shown(row.figures.get(column)));
            }
            text.push_str(&ratio(row.to_c));
            if base {
                text.push_str(&ratio(row.to_base));
            }
            text.push('\n');
        }
        text + &self.mean()
    }

    /// Geometric, of the ratios.
    fn mean(&self) -> String {
        let logs: Vec<f64> = self
            .jobs
            .iter()
            .filter_map(|row| Some(row.to_c?.median.ln()))
            .collect();
        if logs.is_empty() {
            return String::new();
        }
        let mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
        format!("geometric mean of the ratios to btrfs: {mean:.2}\n")
    }
}

fn shown(figure: Option<&Estimate>) -> String {
    figure.map_or("-".to_owned(), |figure| format!("{:.2}", figure.median))
}

fn ratio(ratio: Option<Estimate>) -> String {
    let median = ratio.map(|ratio| format!("{:.2}x", ratio.median));
    let interval = ratio.and_then(|ratio| ratio.interval);
    let interval = interval.map(|(low, high)| format!("{low:.2}..{high:.2}"));
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    format!(" {:>9} {:>12}", or_none(median), or_none(interval))
}

impl Row {
    fn new(job: &str, records: &[&Record]) -> Self {
        let of = |column| Rounds::new(records, column);
        let ours = of(Column::Ours);
        let unit = match records.iter().find_map(|record| figure(&record.outcome)) {
            Some(Figure { unit, .. }) => unit,
            None => "",
        };
        let columns = [Column::Ours, Column::Base, Column::C, Column::Third];
        let figures = columns.into_iter().filter_map(|column| {
            let values = of(column).0.into_values().map(|figure| figure.value);
            Some((column, Estimate::of(values.collect())?))
        });
        Self {
            job: job.to_owned(),
            unit,
            figures: figures.collect(),
            to_c: ours.beside(&of(Column::C)),
            to_base: ours.beside(&of(Column::Base)),
        }
    }
}

/// One column's figures of one job, by round; none at all if it failed in any.
struct Rounds(BTreeMap<u32, Figure>);

impl Rounds {
    fn new(records: &[&Record], column: Column) -> Self {
        let of_column = records.iter().filter(|record| record.column == column);
        let all: Option<BTreeMap<_, _>> = of_column
            .map(|record| Some((record.round, figure(&record.outcome)?)))
            .collect();
        Self(all.unwrap_or_default())
    }

    /// How much faster than `other`, in the rounds that both did.
    fn beside(&self, other: &Self) -> Option<Estimate> {
        let both = self.0.iter().filter_map(|(round, ours)| {
            let theirs = other.0.get(round)?;
            Some(ours.speed / theirs.speed)
        });
        Estimate::of(both.collect())
    }
}

/// What is shown of an outcome, and what is more for the faster.
struct Figure {
    unit: &'static str,
    value: f64,
    speed: f64,
}

fn figure(outcome: &Outcome) -> Option<Figure> {
    match *outcome {
        Outcome::Rate {
            bytes_per_second, ..
        } => Some(Figure {
            unit: "MiB/s",
            value: bytes_per_second / f64::from(1 << 20),
            speed: bytes_per_second,
        }),
        Outcome::Time { ns } => Some(Figure {
            unit: "ms",
            value: ns as f64 / 1e6,
            speed: 1e9 / ns.max(1) as f64,
        }),
        Outcome::Failed { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(job: &str, column: Column, round: u32, outcome: Outcome) -> Record {
        Record {
            kind: Kind::Zoned,
            round,
            job: job.to_owned(),
            column,
            outcome,
        }
    }

    fn rate(mib: f64) -> Outcome {
        Outcome::Rate {
            bytes_per_second: mib * 1048576.0,
            p99_ns: None,
        }
    }

    fn failed() -> Outcome {
        Outcome::Failed {
            why: "EIO".to_owned(),
        }
    }

    #[test]
    fn a_ratio_is_of_one_round() {
        let mut records = Vec::new();
        // The machine was slow in the second round, for both.
        for (round, ours, theirs) in [(1, 20.0, 10.0), (2, 4.0, 2.0), (3, 30.0, 10.0)] {
            records.push(record("read", Column::Ours, round, rate(ours)));
            records.push(record("read", Column::C, round, rate(theirs)));
        }
        let summary = Summary::new(BTreeMap::new(), &records);
        let row = &summary.tables[0].jobs[0];
        let ratio = row.to_c.unwrap();
        assert_eq!((ratio.median, ratio.interval), (2.0, None));
        assert_eq!(row.figures[&Column::Ours].median, 20.0);
        assert_eq!(row.to_base, None);
    }

    #[test]
    fn less_time_is_faster() {
        let records = [
            record("stat", Column::Ours, 1, Outcome::Time { ns: 1_000_000 }),
            record("stat", Column::Base, 1, Outcome::Time { ns: 4_000_000 }),
        ];
        let summary = Summary::new(BTreeMap::new(), &records);
        let row = &summary.tables[0].jobs[0];
        assert_eq!((row.unit, row.to_base.unwrap().median), ("ms", 4.0));
        assert!(summary.text().contains("4.00x"));
    }

    #[test]
    fn who_fails_once_has_no_figure() {
        let records = [
            record("read", Column::Ours, 1, rate(1.0)),
            record("read", Column::C, 1, rate(1.0)),
            record("read", Column::Ours, 2, failed()),
            record("read", Column::C, 2, rate(1.0)),
            record("trim", Column::Ours, 1, failed()),
            record("trim", Column::C, 1, failed()),
        ];
        let summary = Summary::new(BTreeMap::new(), &records);
        let row = &summary.tables[0].jobs[0];
        assert!(!row.figures.contains_key(&Column::Ours) && row.to_c.is_none());
        assert_eq!(summary.lost(), ["read on zoned"]);
        assert!(summary.text().contains("zoned read rbtrfs round 2: EIO"));
    }
}
