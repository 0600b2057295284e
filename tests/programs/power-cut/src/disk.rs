// SPDX-License-Identifier: GPL-2.0
//! The disk behind a ublk device: in memory, with a volatile cache whose writes are answered late and out of order.

use crate::log::{Event, Id, Log};
use crate::media::{Change, Image, Refusal};
use crate::ublk::{zone_report, Answer, Backend, Request, Verb};
use rand::{rngs::SmallRng, seq::SliceRandom, RngExt, SeedableRng};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a disk holds, for its server and for those who look at it.
pub(crate) struct Contents {
    image: Mutex<Image>,
    refusals: Mutex<Vec<Refusal>>,
}

impl Contents {
    pub(crate) fn new(image: Image) -> Arc<Self> {
        Arc::new(Self {
            image: Mutex::new(image),
            refusals: Mutex::default(),
        })
    }

    pub(crate) fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was asked of the disk that no driver may ask.
    pub(crate) fn refusals(&self) -> MutexGuard<'_, Vec<Refusal>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Held {
    id: Id,
    answer: Answer,
    turns: u32,
}

/// The server's side of a disk.
pub(crate) struct Disk {
    contents: Arc<Contents>,
    log: Option<Log>,
    random: SmallRng,
    next: Id,
    held: Vec<Held>,
}

impl Disk {
    /// A disk that answers at once and records nothing.
    pub(crate) fn plain(contents: Arc<Contents>) -> Self {
        Self {
            contents,
            log: None,
            random: SmallRng::seed_from_u64(0),
            next: 0,
            held: Vec::new(),
        }
    }

    /// A disk that records what is asked and takes its time.
    pub(crate) fn recorded(contents: Arc<Contents>, log: Log, seed: u64) -> Self {
        Self {
            log: Some(log),
            random: SmallRng::seed_from_u64(seed),
            ..Self::plain(contents)
        }
    }

    fn record(&self, event: impl FnOnce() -> Event) {
        if let Some(log) = &self.log {
            log.push(event());
        }
    }

    /// Applies a change; an append finds its place here. Where it went, or an error number.
    fn change(&mut self, id: Id, change: Change, fua: bool) -> Result<u64, i32> {
        let at = change.at();
        if let Err(refusal) = self.contents.image().apply(&change) {
            eprintln!("the disk refuses: {refusal}");
            self.contents.refusals().push(refusal);
            return Err(libc::EIO);
        }
        self.record(|| Event::Change { id, change, fua });
        Ok(at)
    }

    fn write(&mut self, id: Id, at: u64, data: &[u8], fua: bool) -> (Result<u64, i32>, u64) {
        match self.change(id, Change::write(at, data), fua) {
            Ok(at) => (Ok(data.len() as u64), at),
            Err(code) => (Err(code), 0),
        }
    }

    fn serve(&mut self, id: Id, request: Request) -> Answer {
        let mut answer = Answer {
            tag: request.tag,
            data: Vec::new(),
            result: Ok(0),
            at: 0,
        };
        match request.verb {
            Verb::Read { at, len } => {
                answer.data = self.contents.image().pages.read(at, len);
                answer.result = Ok(len);
            }
            Verb::Write { at, data, fua } => answer.result = self.write(id, at, &data, fua).0,
            Verb::Append { zone, data, fua } => {
                let at = self.contents.image().write_pointer(zone).unwrap_or(zone);
                (answer.result, answer.at) = self.write(id, at, &data, fua);
            }
            Verb::Discard { at, len } => {
                answer.result = self.change(id, Change::Discard { at, len }, false)
            }
            Verb::Reset { zone } => answer.result = self.change(id, Change::Reset { zone }, false),
            Verb::Finish { zone } => {
                answer.result = self.change(id, Change::Finish { zone }, false)
            }
            Verb::Flush => self.record(|| Event::Flush { id }),
            Verb::Hint => {}
            Verb::Report { at, count } => {
                answer.data = zone_report(self.contents.image().zones(), at, count);
                answer.result = Ok(answer.data.len() as u64);
            }
        }
        answer
    }
}

impl Backend for Disk {
    fn take(&mut self, mut batch: Vec<Request>) {
        if self.log.is_some() {
            batch.shuffle(&mut self.random);
        }
        for request in batch {
            let id = self.next;
            self.next += 1;
            let late = self.log.is_some()
                && matches!(request.verb, Verb::Write { .. } | Verb::Append { .. });
            let turns = if late && self.random.random_bool(0.5) {
                self.random.random_range(1..4)
            } else {
                0
            };
            let answer = self.serve(id, request);
            self.held.push(Held { id, answer, turns });
        }
    }

    fn answers(&mut self) -> Vec<Answer> {
        let (due, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|held: &Held| held.turns == 0);
        self.held = held;
        for held in &mut self.held {
            held.turns -= 1;
        }
        let due: Vec<Held> = due;
        for held in &due {
            self.record(|| Event::Done { id: held.id });
        }
        due.into_iter().map(|held| held.answer).collect()
    }

    fn patience(&self) -> Option<Duration> {
        (!self.held.is_empty()).then_some(Duration::from_micros(300))
    }
}
