// SPDX-License-Identifier: GPL-2.0
//! Cuts the power at points of a recording and judges what is left.

use crate::choose::{choose, Cut};
use crate::disk::{Contents, Disk};
use crate::expect::Expectation;
use crate::media::Image;
use crate::mount::{self, MountPoint};
use crate::record::Recording;
use crate::replay::{Fate, Replay};
use crate::ublk::{Device, Geometry};
use crate::workload::{Combination, Files};
use crate::Options;
use anyhow::{bail, ensure, Context, Result};
use nix::mount::MsFlags;
use rand::rngs::SmallRng;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What `btrfs check` says when the copies of a block group do not end at the same place.
const UNEVEN: &str = "write pointer offset mismatch of zones in DUP profile";

pub(crate) struct Judge {
    geometry: Geometry,
    folder: PathBuf,
    driver: String,
    c_every: usize,
    pub cuts: usize,
    pub failures: usize,
    /// Cuts right after an acknowledgement, files looked at, and volatile changes.
    acknowledged: HashMap<Combination, usize>,
    files: usize,
    at_risk: usize,
    /// What `btrfs check` cannot open before the mount.
    uneven: usize,
}

impl Judge {
    pub(crate) fn new(geometry: Geometry, options: &Options) -> Self {
        let (folder, driver) = (options.folder.clone(), options.driver.clone());
        Self {
            geometry,
            folder,
            driver,
            c_every: options.c_every,
            cuts: 0,
            failures: 0,
            acknowledged: HashMap::new(),
            files: 0,
            at_risk: 0,
            uneven: 0,
        }
    }

    /// Cuts the power this often.
    pub(crate) fn cut(
        &mut self,
        recording: &Recording,
        cuts: usize,
        random: &mut SmallRng,
    ) -> Result<()> {
        let mut replay = Replay::new(recording.before.clone());
        let mut expectation = Expectation::default();
        let mut events = recording.events.iter();
        let mut now = 0;
        for cut in choose(&recording.events, cuts, random)? {
            for event in events.by_ref().take(cut.at - now) {
                replay.step(event);
                expectation.step(event);
            }
            now = cut.at;
            self.cuts += 1;
            if let Some(combination) = cut.after {
                *self.acknowledged.entry(combination).or_default() += 1;
            }
            self.files += expectation.len();
            self.at_risk += replay.at_risk();
            let image = replay.cut(cut.fate, random);
            if let Err(error) = self.judge(image, &expectation, &recording.files) {
                self.failures += 1;
                let Cut { at, fate, after } = cut;
                println!(
                    "cut {} at event {at}, {fate:?}, after {after:?}: {error:#}",
                    self.cuts
                );
            }
        }
        Ok(())
    }

    /// Judges a disk that kept nothing of the second half of a recording, flushes or not: it must be found out.
    pub(crate) fn find_out_a_liar(
        &mut self,
        recording: &Recording,
        random: &mut SmallRng,
    ) -> Result<()> {
        let mut replay = Replay::new(recording.before.clone());
        let mut expectation = Expectation::default();
        recording
            .events
            .iter()
            .take(recording.events.len() / 2)
            .for_each(|event| replay.step(event));
        recording
            .events
            .iter()
            .for_each(|event| expectation.step(event));
        match self.judge(
            replay.cut(Fate::Kept, random),
            &expectation,
            &recording.files,
        ) {
            Ok(()) => bail!("a disk that forgets is judged as one that does not"),
            Err(error) => println!(
                "a disk that forgets is found out: {:.100}...",
                format!("{error:#}")
            ),
        }
        Ok(())
    }

    /// Mounts and looks at what a power cut left; writes to it, and looks again.
    fn judge(&mut self, image: Image, expectation: &Expectation, files: &Files) -> Result<()> {
        let contents = Contents::new(image);
        let device = Device::start(self.geometry, Box::new(Disk::plain(contents.clone())))?;
        let path = device.path();
        if self.by_c() {
            self.check_as_it_is(&path)?;
        }
        let volume = MountPoint::new(&path, &self.folder, &self.driver, MsFlags::empty())?;
        look(expectation, files)?;
        write_more(&self.folder).context("writing after the power cut")?;
        volume.unmount()?;
        mount::check(&path).context("after the unmount")?;
        if self.by_c() {
            let volume = MountPoint::new(&path, &self.folder, mount::C, MsFlags::MS_RDONLY)?;
            look(expectation, files).context("seen by C btrfs")?;
            volume.unmount()?;
        }
        device.stop()?;
        let refusals = contents.refusals();
        ensure!(refusals.is_empty(), "the disk refused {refusals:?}");
        Ok(())
    }

    /// `btrfs check`, as C btrfs, refuses a volume whose two copies of metadata end at different places of their
    /// zones, as they do when the power is cut between the two writes. The module evens them out.
    fn check_as_it_is(&mut self, device: &Path) -> Result<()> {
        match mount::check(device) {
            Err(error) if self.geometry.zone.is_some() && error.to_string().contains(UNEVEN) => {
                self.uneven += 1;
                Ok(())
            }
            checked => checked.context("before the mount"),
        }
    }

    fn by_c(&self) -> bool {
        self.c_every > 0 && self.cuts % self.c_every == 0
    }

    pub(crate) fn summary(&self) -> String {
        let Self {
            cuts,
            acknowledged,
            files,
            at_risk,
            ..
        } = self;
        let (after, by) = (acknowledged.values().sum::<usize>(), acknowledged.len());
        format!("{cuts} power cuts, {after} right after an acknowledgement, of {by} combinations; {files} files judged, {at_risk} changes at risk")
    }
}

fn look(expectation: &Expectation, files: &Files) -> Result<()> {
    let wrong = expectation.judge(files);
    if !wrong.is_empty() {
        bail!("{}", wrong.join("; "));
    }
    Ok(())
}

/// The volume is of use after the power cut.
fn write_more(folder: &Path) -> Result<()> {
    let path = folder.join("after");
    std::fs::write(&path, vec![b'x'; 100_000])?;
    std::fs::File::open(&path)?.sync_all()?;
    std::fs::create_dir(folder.join("folder-after"))?;
    Ok(())
}
