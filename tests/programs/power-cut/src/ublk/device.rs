// SPDX-License-Identifier: GPL-2.0
//! A device from its making to its end.

use super::abi::{self, ControlCommand, DeviceInfo, Parameters};
use super::control::Control;
use super::queue::{self, Backend};
use anyhow::{anyhow, Context, Result};
use std::fs::File;
use std::path::PathBuf;
use std::thread::JoinHandle;
use zerocopy::IntoBytes;

const MAX_IO: u32 = 1 << 20;
const SECTOR: u64 = 512;

/// What a device looks like. Sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub size: u64,
    /// The size of a zone, on a zoned device.
    pub zone: Option<u64>,
}

/// A block device with a volatile cache, served by a thread of this process.
pub(crate) struct Device {
    control: Control,
    number: u32,
    server: Option<JoinHandle<Result<()>>>,
}

impl Device {
    pub(crate) fn start(geometry: Geometry, mut backend: Box<dyn Backend>) -> Result<Self> {
        let mut control = Control::open()?;
        let number = add(&mut control, geometry)?;
        let path = format!("/dev/ublkc{number}");
        let file = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .context(path)?;
        let server = std::thread::spawn(move || {
            let served = queue::serve(&file, backend.as_mut());
            if let Err(error) = &served {
                eprintln!("the device's server ends: {error:#}");
            }
            served
        });
        let command = ControlCommand {
            data: std::process::id().into(),
            ..whole_device(number)
        };
        control
            .send(abi::START_DEVICE, command)
            .context("starting a device")?;
        Ok(Self {
            control,
            number,
            server: Some(server),
        })
    }

    pub(crate) fn path(&self) -> PathBuf {
        format!("/dev/ublkb{}", self.number).into()
    }

    /// Stops the device, which nobody may use any more.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let Some(server) = self.server.take() else {
            return Ok(());
        };
        self.control
            .send(abi::STOP_DEVICE, whole_device(self.number))?;
        server
            .join()
            .map_err(|_| anyhow!("the device's server panicked"))??;
        self.control
            .send(abi::DELETE_DEVICE, whole_device(self.number))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("stopping a device: {error:#}");
        }
    }
}

fn whole_device(device: u32) -> ControlCommand {
    ControlCommand {
        device,
        queue: u16::MAX,
        ..Default::default()
    }
}

/// Adds a device and gives it its parameters; its number.
fn add(control: &mut Control, geometry: Geometry) -> Result<u32> {
    let zoned = if geometry.zone.is_some() {
        abi::ZONED
    } else {
        0
    };
    let mut info = DeviceInfo {
        queues: 1,
        queue_depth: queue::DEPTH,
        max_io_bytes: MAX_IO,
        device: u32::MAX,
        flags: abi::USER_COPY | abi::NO_PARTITION_SCAN | zoned,
        ..Default::default()
    };
    let command = |device, bytes: &mut [u8]| ControlCommand {
        address: bytes.as_mut_ptr() as u64,
        len: bytes.len() as u16,
        ..whole_device(device)
    };
    control
        .send(abi::ADD_DEVICE, command(u32::MAX, info.as_mut_bytes()))
        .context("adding a device")?;
    let mut parameters = parameters(geometry);
    control
        .send(
            abi::SET_PARAMETERS,
            command(info.device, parameters.as_mut_bytes()),
        )
        .context("setting a device's parameters")?;
    Ok(info.device)
}

fn parameters(geometry: Geometry) -> Parameters {
    let mut parameters = Parameters {
        len: size_of::<Parameters>() as u32,
        types: abi::BASIC,
        attributes: abi::VOLATILE_CACHE | abi::FUA,
        logical_shift: 12,
        physical_shift: 12,
        optimal_shift: 12,
        minimal_shift: 12,
        max_sectors: (u64::from(MAX_IO) / SECTOR) as u32,
        sectors: geometry.size / SECTOR,
        ..Default::default()
    };
    match geometry.zone {
        Some(zone) => {
            parameters.types |= abi::ZONES;
            parameters.chunk_sectors = (zone / SECTOR) as u32;
            parameters.max_append_sectors = parameters.max_sectors;
        }
        None => {
            parameters.types |= abi::DISCARD;
            parameters.discard_granularity = 4096;
            parameters.max_discard_sectors = (1 << 30) / SECTOR as u32;
            parameters.max_discard_segments = 1;
        }
    }
    parameters
}
