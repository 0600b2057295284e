// SPDX-License-Identifier: GPL-2.0
//! What must be in the files after a power cut at some point of a log.

use crate::block::{self, UNIT};
use crate::log::Event;
use crate::workload::{Files, Write};
use std::collections::BTreeMap;
use std::io::ErrorKind;

/// What may be in a unit.
#[derive(Clone, Default)]
struct Unit {
    /// The version that is promised; 0 for none.
    promised: u64,
    /// Versions that were begun since.
    begun: Vec<u64>,
}

#[derive(Default)]
struct Expected {
    units: Vec<Unit>,
    /// The size in units that is promised; none if the file itself is not.
    promised: Option<u64>,
}

/// What must be in all files of a volume.
#[derive(Default)]
pub(crate) struct Expectation {
    files: BTreeMap<u32, Expected>,
}

impl Expectation {
    pub(crate) fn step(&mut self, event: &Event) {
        match event {
            Event::Begin(write) => self.begin(write),
            Event::Acknowledged { writes, .. } => {
                writes.iter().for_each(|write| self.promise(write))
            }
            _ => {}
        }
    }

    fn units(&mut self, write: &Write) -> (&mut [Unit], &mut Option<u64>) {
        let file = self.files.entry(write.file).or_default();
        let (first, end) = (write.first as usize, (write.first + write.count) as usize);
        if file.units.len() < end {
            file.units.resize(end, Unit::default());
        }
        (&mut file.units[first..end], &mut file.promised)
    }

    fn begin(&mut self, write: &Write) {
        for unit in self.units(write).0 {
            unit.begun.push(write.version);
        }
    }

    fn promise(&mut self, write: &Write) {
        let (units, promised) = self.units(write);
        *promised = Some(promised.unwrap_or(0).max(write.first + write.count));
        for unit in units {
            unit.promised = write.version;
            unit.begun.retain(|&version| version > write.version);
        }
    }

    /// How many files there may be.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// What is wrong with the files.
    pub(crate) fn judge(&self, files: &Files) -> Vec<String> {
        let judge = |(&number, file): (&u32, &Expected)| {
            let judged = file.judge(number, files);
            judged.err().map(|wrong| format!("file {number}: {wrong}"))
        };
        self.files.iter().filter_map(judge).collect()
    }
}

impl Expected {
    fn judge(&self, number: u32, files: &Files) -> Result<(), String> {
        let data = match std::fs::read(files.path(number)) {
            Ok(data) => data,
            Err(error) if error.kind() == ErrorKind::NotFound && self.promised.is_none() => {
                return Ok(())
            }
            Err(error) => return Err(error.to_string()),
        };
        let (least, most) = (
            self.promised.unwrap_or(0) * UNIT,
            self.units.len() as u64 * UNIT,
        );
        let size = data.len() as u64;
        if size < least || size > most || size % UNIT != 0 {
            return Err(format!("{size} bytes, where {least} to {most} are right"));
        }
        for (index, unit) in data.chunks_exact(UNIT as usize).enumerate() {
            let there = block::version(unit, number, index as u64)
                .map_err(|wrong| format!("unit {index}: {wrong}"))?;
            let Unit { promised, begun } = &self.units[index];
            if there != *promised && !begun.contains(&there) {
                return Err(format!("unit {index}: version {there}, where {promised} is promised and {begun:?} may be"));
            }
        }
        Ok(())
    }
}
