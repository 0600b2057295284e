// SPDX-License-Identifier: GPL-2.0
//! The kinds of devices that a file system must work on, with an empty file system on each.

use crate::device::zones::ZoneLayout;
use crate::device::Image;
use crate::history::Profile;
use crate::tools;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKind {
    /// Any block can be written at any time.
    Regular,
    /// Any block can be written at any time, and the file system has another format than mkfs makes unasked.
    RegularOtherFormat,
    /// Any block can be written at any time, and free space is kept in caches (v1), which takes groups of more than 100 MiB.
    RegularWithCaches,
    /// Sequential zones, all of which may be active.
    Sequential,
    /// Small sequential zones, few of which may be active.
    FewActive,
    /// Small zones, the first of them conventional, few active.
    PartlyConventional,
}

/// Options of mkfs for a volume without a free space tree.
const OLD_FORMAT: &[&str] = &["-O", "^free-space-tree,^block-group-tree"];
/// Options of mkfs.
const FORMATS: [&[&str]; 6] = [
    &["-n", "4096", "-m", "single"],
    &["-n", "65536", "--csum", "xxhash"],
    &["-O", "^no-holes,^block-group-tree"],
    OLD_FORMAT,
    &["-O", "^skinny-metadata,^extref", "--csum", "blake2"],
    &["--csum", "sha256", "-d", "DUP"],
];
/// How many zones may be active where they are few.
const ACTIVE: [u32; 3] = [8, 9, 14];
/// How many zones are conventional where some are.
const CONVENTIONAL: [u64; 2] = [2, 6];

impl DeviceKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Regular,
        Self::RegularOtherFormat,
        Self::RegularWithCaches,
        Self::Sequential,
        Self::FewActive,
        Self::PartlyConventional,
    ];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::RegularOtherFormat => "regular-other-format",
            Self::RegularWithCaches => "regular-with-caches",
            Self::Sequential => "sequential",
            Self::FewActive => "few-active",
            Self::PartlyConventional => "partly-conventional",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How many variants of it there are.
    pub const fn variants(self) -> u64 {
        match self {
            Self::Regular | Self::RegularWithCaches | Self::Sequential => 1,
            Self::RegularOtherFormat => FORMATS.len() as u64,
            Self::FewActive => ACTIVE.len() as u64,
            Self::PartlyConventional => CONVENTIONAL.len() as u64,
        }
    }

    /// An empty file system on a device of this kind, in the variant with this number, counted round and round. Made
    /// once.
    pub fn image(self, variant: u64) -> Image {
        static MADE: Mutex<BTreeMap<(DeviceKind, u64), Image>> = Mutex::new(BTreeMap::new());
        let variant = variant % self.variants();
        let mut made = MADE.lock().unwrap();
        made.entry((self, variant))
            .or_insert_with(|| self.make(variant as usize))
            .clone()
    }

    fn make(self, variant: usize) -> Image {
        match self {
            Self::Regular => tools::mkfs(512 << 20, &[]),
            Self::RegularOtherFormat => tools::mkfs(256 << 20, FORMATS[variant]),
            Self::RegularWithCaches => tools::mkfs(2048 << 20, OLD_FORMAT),
            Self::Sequential => tools::mkfs_zoned(24, &[], tools::zone_layout(16 << 20)),
            Self::FewActive => small_zones(0, ACTIVE[variant]),
            Self::PartlyConventional => small_zones(CONVENTIONAL[variant], 10),
        }
    }

    /// What of a profile goes on this kind.
    pub const fn profile(self, profile: Profile) -> Profile {
        match self {
            Self::Regular | Self::RegularOtherFormat | Self::RegularWithCaches => profile,
            _ => profile.for_zones(),
        }
    }
}

fn small_zones(conventional: u64, max_active: u32) -> Image {
    let layout = ZoneLayout {
        conventional,
        max_active: Some(max_active),
        ..tools::zone_layout(4 << 20)
    };
    tools::mkfs_zoned(24, &[], layout)
}
