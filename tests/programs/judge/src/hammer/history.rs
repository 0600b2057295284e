// SPDX-License-Identifier: GPL-2.0

//! What was done to a file last, for whoever has to explain a wrong byte.

use std::collections::VecDeque;
use std::fmt::{Display, Write};
use std::sync::Mutex;
use std::time::Instant;

/// Entries that are kept.
const KEPT: usize = 20_000;
/// Entries that are shown of those that touched a place, and of those that touch all.
const SHOWN: usize = 25;

pub(super) struct History {
    begin: Instant,
    entries: Mutex<VecDeque<Entry>>,
}

struct Entry {
    micros: u128,
    task: u64,
    from: usize,
    to: usize,
    what: String,
}

impl Default for History {
    fn default() -> Self {
        Self {
            begin: Instant::now(),
            entries: Mutex::default(),
        }
    }
}

impl History {
    /// `task` does something to a range, or with `0..usize::MAX` to all of the file.
    pub(super) fn note(&self, task: u64, from: usize, to: usize, what: impl Display) {
        let micros = self.begin.elapsed().as_micros();
        let what = what.to_string();
        let mut entries = self
            .entries
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        if entries.len() == KEPT {
            entries.pop_front();
        }
        entries.push_back(Entry {
            micros,
            task,
            from,
            to,
            what,
        });
    }

    /// The last of what touched the byte at `place`, the newest first.
    pub(super) fn of(&self, place: usize) -> String {
        let entries = self
            .entries
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        let mut text = String::new();
        let touching = entries
            .iter()
            .rev()
            .filter(|e| e.from <= place && place < e.to);
        for entry in touching.take(SHOWN) {
            let Entry {
                micros,
                task,
                from,
                to,
                what,
            } = entry;
            let range = if *to == usize::MAX {
                String::new()
            } else {
                format!(" {from}..{to}")
            };
            let _ = write!(text, "\n    {micros:>10} us, task {task}: {what}{range}");
        }
        text
    }
}
