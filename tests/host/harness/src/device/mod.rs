// SPDX-License-Identifier: GPL-2.0
//! Simulated devices: regular or zoned, with a volatile cache that a power cut loses or tears, and with faults.
//!
//! A device is a [`Media`] (what it shows and what is durable) with [`Faults`] (which requests fail) and an optional
//! [`Recorder`] (to cut the power at every point of a test later). [`Image`] is what it holds; cheap to clone.
//!
//! Requests that break the rules of a zone fail with `EIO` as on a real device and are remembered:
//! [`SimDevice::violations`] must stay empty.

pub mod faults;
mod media;
mod pages;
mod recording;
mod under_way;
pub mod zones;

pub use media::{Change, Fate, Image, Media};
pub use pages::{Pages, PAGE};
pub use recording::{Event, Recorder, Replay, User};
pub use under_way::{Begun, Pace};

use engine::disk::{Bytes, Physical};
use engine::volume::device::{BegunWrite, Device, Zone, ZoneAction, ZoneGeometry};
use faults::{Faults, Request};
use kernel::prelude::*;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use under_way::UnderWay;

/// A simulated device.
pub struct SimDevice {
    size: u64,
    geometry: Option<ZoneGeometry>,
    read_only: bool,
    state: Mutex<State>,
    hook: Mutex<Option<Hook>>,
    zone_hook: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

/// What is done before a write to one of some ranges.
type Hook = (
    std::vec::Vec<Range<u64>>,
    std::boxed::Box<dyn FnOnce() + Send>,
);

struct State {
    media: Media,
    faults: Faults,
    recorder: Option<(Recorder, usize)>,
    under_way: UnderWay,
    violations: std::vec::Vec<String>,
}

/// Whether a device takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It does.
    ReadWrite,
    /// It does not.
    ReadOnly,
}

impl SimDevice {
    /// A device that holds `image`.
    pub fn new(image: Image, access: Access) -> Self {
        Self {
            size: image.pages.size(),
            geometry: image.zones.as_ref().map(zones::Zones::geometry),
            read_only: access == Access::ReadOnly,
            state: Mutex::new(State {
                media: Media::new(image),
                faults: Faults::default(),
                recorder: None,
                under_way: UnderWay::default(),
                violations: std::vec::Vec::new(),
            }),
            hook: Mutex::default(),
            zone_hook: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What the device shows now.
    pub fn image(&self) -> Image {
        self.state().media.live().clone()
    }

    /// What the device would hold after a power cut now.
    pub fn after_power_cut(&self, random: &mut crate::random::Random) -> Image {
        let state = self.state();
        let mut media = state.media.clone();
        for change in state.under_way.changes() {
            media.apply(change.clone()).expect("it was looked at");
        }
        media.after_power_cut(random)
    }

    /// How many changes are not durable.
    pub fn at_risk(&self) -> usize {
        self.state().media.at_risk()
    }

    /// Plans faults.
    pub fn faults<R>(&self, plan: impl FnOnce(&mut Faults) -> R) -> R {
        plan(&mut self.state().faults)
    }

    /// Calls somebody before the next write that touches one of `ranges`. Whoever writes waits.
    pub fn before_write(
        &self,
        ranges: std::vec::Vec<Range<u64>>,
        call: impl FnOnce() + Send + 'static,
    ) {
        *self.hook.lock().unwrap() = Some((ranges, std::boxed::Box::new(call)));
    }

    /// Calls somebody before each zone that is finished or reset. Whoever does that waits.
    pub fn before_zone_commands(&self, call: impl Fn() + Send + Sync + 'static) {
        *self.zone_hook.lock().unwrap() = Some(Arc::new(call));
    }

    fn call_before(&self, start: u64, end: u64) {
        let touches = |range: &Range<u64>| range.start < end && start < range.end;
        let due = |(ranges, _): &mut Hook| ranges.iter().any(touches);
        // Not locked while it is called: it may write, too.
        let hook = self.hook.lock().unwrap().take_if(due);
        if let Some((_, call)) = hook {
            call();
        }
    }

    /// Changes what the device holds behind everyone's back.
    pub fn damage(&self, change: impl FnMut(&mut Image)) {
        self.state().media.damage(change);
    }

    /// Records from now on, as the device with this index.
    pub fn record(&self, recorder: &Recorder, index: usize) {
        self.state().recorder = Some((recorder.clone(), index));
    }

    /// What was asked of the device that no driver may ask.
    pub fn violations(&self) -> std::vec::Vec<String> {
        self.state().violations.clone()
    }

    fn check(&self, state: &mut State, request: Request, at: u64, len: u64) -> Result {
        let inside = at.checked_add(len).is_some_and(|end| end <= self.size);
        let unit = match (request, &state.media.live().zones) {
            (Request::Write, Some(zones)) => zones.block(),
            _ => PAGE as u64,
        };
        if !inside || at % unit != 0 || len % unit != 0 {
            return state.violation(format!("{request:?} of {len} bytes at {at}"));
        }
        if self.read_only && request != Request::Read {
            return state.violation(format!("{request:?} of a read-only device"));
        }
        match state.faults.strike(request, at..at + len) {
            true => Err(EIO),
            false => Ok(()),
        }
    }
}

impl State {
    fn violation(&mut self, text: String) -> Result {
        pr_err!("simulated device: {}\n", &*text);
        self.violations.push(text);
        Err(EIO)
    }

    fn change(&mut self, change: Change) -> Result {
        if let Err(refusal) = self.media.apply(change.clone()) {
            return self.violation(format!("{refusal}: {}", describe(&change)));
        }
        self.record(Event::Change(change));
        Ok(())
    }

    fn record(&mut self, event: Event) {
        if let Some((recorder, index)) = &self.recorder {
            recorder.add(*index, event);
        }
    }
}

fn describe(change: &Change) -> String {
    match change {
        Change::Write { at, data } => format!("{} bytes at {at}", data.len()),
        Change::Discard { at, len } => format!("{len} bytes at {at}"),
        Change::Manage { start, action } => format!("{action:?} at {start}"),
    }
}

impl Device for SimDevice {
    fn size(&self) -> Bytes {
        Bytes::new(self.size)
    }

    fn zones(&self) -> Option<ZoneGeometry> {
        self.geometry
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn read(&self, at: Physical, buf: &mut [u8]) -> Result {
        let mut state = self.state();
        self.check(&mut state, Request::Read, at.get(), buf.len() as u64)?;
        state.media.live().pages.read(at.get(), buf);
        Ok(())
    }

    fn write(&self, at: Physical, buf: &[u8]) -> Result {
        self.call_before(at.get(), at.get() + buf.len() as u64);
        let mut state = self.state();
        self.check(&mut state, Request::Write, at.get(), buf.len() as u64)?;
        state.change(Change::Write {
            at: at.get(),
            data: buf.into(),
        })
    }

    fn begin_write(&self, at: Physical, buf: &[u8]) -> Result<KBox<dyn BegunWrite + '_>> {
        self.call_before(at.get(), at.get() + buf.len() as u64);
        self.begin(at.get(), buf)
    }

    fn append(&self, zone: Physical, buf: &[u8]) -> Result<Physical> {
        let mut state = self.state();
        let at = match &state.media.live().zones {
            Some(zones) => zones.at(zone.get()).write_pointer,
            None => return Err(EOPNOTSUPP),
        };
        let most = self
            .geometry
            .map_or(0, |geometry| geometry.max_append.get());
        if buf.len() as u64 > most {
            return state
                .violation(format!("append of {} bytes", buf.len()))
                .map(|()| at);
        }
        self.check(&mut state, Request::Write, at.get(), buf.len() as u64)?;
        state.change(Change::Write {
            at: at.get(),
            data: buf.into(),
        })?;
        Ok(at)
    }

    fn write_durable(&self, at: Physical, buf: &[u8]) -> Result {
        self.call_before(at.get(), at.get() + buf.len() as u64);
        let mut state = self.state();
        self.check(&mut state, Request::Flush, 0, 0)?;
        state.media.flush();
        state.record(Event::Flush);
        self.check(&mut state, Request::Write, at.get(), buf.len() as u64)?;
        let change = Change::Write {
            at: at.get(),
            data: buf.into(),
        };
        // Recorded in two steps, so that the power can go between them and tear the write.
        state.change(change)?;
        state.media.flush();
        state.record(Event::Flush);
        Ok(())
    }

    fn flush(&self) -> Result {
        let mut state = self.state();
        self.check(&mut state, Request::Flush, 0, 0)?;
        state.media.flush();
        state.record(Event::Flush);
        Ok(())
    }

    fn discard(&self, at: Physical, len: Bytes) -> Result {
        let mut state = self.state();
        self.check(&mut state, Request::Write, at.get(), len.get())?;
        state.change(Change::Discard {
            at: at.get(),
            len: len.get(),
        })
    }

    fn report_zones(
        &self,
        first: Physical,
        count: u64,
        each: &mut dyn FnMut(Zone) -> Result,
    ) -> Result {
        let zones = match &self.state().media.live().zones {
            Some(zones) => zones.all().to_vec(),
            None => return Err(EOPNOTSUPP),
        };
        let begin = zones
            .iter()
            .position(|zone| zone.start == first)
            .ok_or(EINVAL)?;
        zones
            .into_iter()
            .skip(begin)
            .take(count as usize)
            .try_for_each(each)
    }

    fn manage_zone(&self, start: Physical, action: ZoneAction) -> Result {
        // Not locked while it is called.
        let hook = self.zone_hook.lock().unwrap().clone();
        if let Some(call) = hook {
            call();
        }
        let mut state = self.state();
        self.check(&mut state, Request::Manage, start.get(), 0)?;
        state.change(Change::Manage {
            start: start.get(),
            action,
        })
    }
}
