// SPDX-License-Identifier: GPL-2.0
//! The volume that is written to, and recorded.

use crate::disk::{Contents, Disk};
use crate::log::{Event, Log};
use crate::media::Image;
use crate::mount::{self, MountPoint};
use crate::ublk::{Device, Geometry};
use crate::workload::{Combination, Files, Worker};
use crate::Options;
use anyhow::{anyhow, ensure, Context, Result};
use nix::mount::MsFlags;
use rand::{rngs::SmallRng, RngExt, SeedableRng};
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

/// How often the first program, which is alone, writes with each combination.
const ALONE: usize = 2;
/// How many programs then share the combinations.
const TOGETHER: usize = 3;

/// What was recorded between a mount and the unmount after it.
pub(crate) struct Recording {
    /// What was on the disk before, all of it durable.
    pub before: Image,
    pub events: Vec<Event>,
    pub files: Files,
}

pub(crate) struct Recorder {
    device: Device,
    contents: Arc<Contents>,
    log: Log,
    folder: PathBuf,
    driver: String,
    rounds: usize,
}

impl Recorder {
    pub(crate) fn start(geometry: Geometry, options: &Options, seed: u64) -> Result<Self> {
        let contents = Contents::new(Image::new(geometry));
        let log = Log::default();
        let device = Device::start(
            geometry,
            Box::new(Disk::recorded(contents.clone(), log.clone(), seed)),
        )?;
        let zoned = if geometry.zone.is_some() {
            ["-O", "zoned"].as_slice()
        } else {
            &[]
        };
        mount::run(
            Command::new("mkfs.btrfs")
                .arg("-qf")
                .args(zoned)
                .args(&options.mkfs)
                .arg(device.path()),
        )?;
        std::fs::create_dir_all(&options.folder)?;
        let (folder, driver) = (options.folder.clone(), options.driver.clone());
        Ok(Self {
            device,
            contents,
            log,
            folder,
            driver,
            rounds: 0,
        })
    }

    pub(crate) fn stop(self) -> Result<()> {
        self.device.stop()
    }

    /// Mounts, lets programs write, and unmounts.
    pub(crate) fn record(&mut self, random: &mut SmallRng) -> Result<Recording> {
        File::open(self.device.path())?
            .sync_all()
            .context("flushing the disk")?;
        let before = self.contents.image().clone();
        self.log.take();
        let volume = MountPoint::new(
            &self.device.path(),
            &self.folder,
            &self.driver,
            MsFlags::empty(),
        )?;
        let files = self.new_folder()?;
        self.write(&files, random)?;
        volume.unmount()?;
        let refusals = self.contents.refusals().len();
        ensure!(refusals == 0, "the disk refused {refusals} requests");
        Ok(Recording {
            before,
            events: self.log.take(),
            files,
        })
    }

    /// A folder for new files; those of the round before go.
    fn new_folder(&mut self) -> Result<Files> {
        let folder = |round: usize| self.folder.join(format!("round{round}"));
        if self.rounds > 0 {
            std::fs::remove_dir_all(folder(self.rounds))?;
        }
        let folder = folder(self.rounds + 1);
        self.rounds += 1;
        std::fs::create_dir(&folder)?;
        Ok(Files { folder })
    }

    fn write(&self, files: &Files, random: &mut SmallRng) -> Result<()> {
        let all = Combination::all();
        let share = all.len().div_ceil(TOGETHER);
        let groups = std::iter::once(&all[..]).chain(all.chunks(share));
        let worker = |(number, group): (usize, &[Combination])| {
            let random = SmallRng::seed_from_u64(random.random());
            Worker::new(
                files.clone(),
                self.log.clone(),
                random,
                number as u32,
                group.to_vec(),
            )
        };
        let mut workers: Vec<Worker> = groups.enumerate().map(worker).collect();
        let mut writes = Vec::new();
        for worker in &workers {
            writes.extend(worker.set_up()?);
        }
        nix::unistd::sync();
        self.log.push(Event::Acknowledged { writes, by: None });

        let mut alone = workers.remove(0);
        for _ in 0..ALONE {
            alone.run()?;
        }
        let threads: Vec<_> = workers
            .into_iter()
            .map(|mut worker| std::thread::spawn(move || worker.run()))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a writer panicked"))??;
        }
        Ok(())
    }
}
