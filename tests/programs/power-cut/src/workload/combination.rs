// SPDX-License-Identifier: GPL-2.0
//! The ways to write durably.

use std::fmt;

/// Which calls write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Interface {
    Blocking,
    Aio,
    Uring,
}

/// What makes it durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Durability {
    ODsync,
    OSync,
    RwfDsync,
    RwfSync,
    Fdatasync,
    Fsync,
    Syncfs,
    Sync,
}

/// What is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// Data that is there and durable.
    Overwrite,
    /// The end of a file, which at first is new and empty.
    Extend,
    /// A hole.
    Hole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    Direct,
    Buffered,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Combination {
    pub interface: Interface,
    pub durability: Durability,
    pub target: Target,
    pub access: Access,
}

impl Combination {
    /// All of them.
    pub(crate) fn all() -> Vec<Self> {
        use {Access::*, Durability::*, Interface::*, Target::*};
        let mut all = Vec::new();
        for durability in [
            ODsync, OSync, RwfDsync, RwfSync, Fdatasync, Fsync, Syncfs, Sync,
        ] {
            for interface in [Blocking, Aio, Uring] {
                for target in [Overwrite, Extend, Hole] {
                    all.extend([Direct, Buffered].map(|access| Self {
                        interface,
                        durability,
                        target,
                        access,
                    }));
                }
            }
        }
        all
    }
}

impl Durability {
    /// Whether each write is durable when it is done.
    pub(crate) fn with_each_write(self) -> bool {
        matches!(
            self,
            Self::ODsync | Self::OSync | Self::RwfDsync | Self::RwfSync
        )
    }

    /// What `open` is told.
    pub(crate) fn open_flags(self) -> i32 {
        match self {
            Self::ODsync => libc::O_DSYNC,
            Self::OSync => libc::O_SYNC,
            _ => 0,
        }
    }

    /// What each write is told.
    pub(crate) fn write_flags(self) -> i32 {
        match self {
            Self::RwfDsync => libc::RWF_DSYNC,
            Self::RwfSync => libc::RWF_SYNC,
            _ => 0,
        }
    }
}

impl fmt::Debug for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {:?} {:?} {:?}",
            self.interface, self.durability, self.target, self.access
        )
    }
}
