// SPDX-License-Identifier: GPL-2.0
//! Histories that a seed repeats.

use super::model::{Model, Node};
use super::op::{How, Id, Kind, Name, Op, Open, Place, XattrMode, ROOT};
use crate::random::Random;
use engine::disk::name_hash;
use std::collections::HashMap;
use std::sync::OnceLock;

/// What a history is made of.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The largest file, in bytes; sparse ones may be much larger.
    pub max_file: u64,
    /// The longest single write, in bytes.
    pub max_write: u64,
    /// Files at a time, about.
    pub files: usize,
    /// Of 1000 steps, how many are a sync or an fsync.
    pub syncs: u64,
    /// Of 1000 steps, how many are a remount.
    pub remounts: u64,
    /// Whether there is preallocation.
    pub preallocation: Preallocation,
}

/// Whether the file system can preallocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preallocation {
    /// It can.
    Supported,
    /// It cannot: on zones.
    Unsupported,
}

impl Profile {
    /// A bit of everything.
    pub const MIXED: Self = Self {
        max_file: 256 << 10,
        max_write: 64 << 10,
        files: 60,
        syncs: 30,
        remounts: 5,
        preallocation: Preallocation::Supported,
    };
    /// Names, links and attributes; next to no data.
    pub const NAMES: Self = Self {
        max_file: 8 << 10,
        max_write: 4 << 10,
        files: 300,
        syncs: 20,
        remounts: 3,
        preallocation: Preallocation::Supported,
    };
    /// Few files, many writes to them.
    pub const DATA: Self = Self {
        max_file: 1 << 20,
        max_write: 256 << 10,
        files: 8,
        syncs: 30,
        remounts: 5,
        preallocation: Preallocation::Supported,
    };
}

impl Profile {
    /// This profile without what zones forbid.
    pub const fn for_zones(self) -> Self {
        Self {
            preallocation: Preallocation::Unsupported,
            ..self
        }
    }
}

/// Makes steps that fit a [`Model`].
pub struct Generator {
    random: Random,
    profile: Profile,
    next: Id,
}

impl Generator {
    /// The history of this seed.
    pub fn new(seed: u64, profile: Profile) -> Self {
        Self {
            random: Random::new(seed),
            profile,
            next: ROOT + 1,
        }
    }

    fn new_id(&mut self) -> Id {
        self.next += 1;
        self.next - 1
    }

    /// The next step: one that the VFS lets through.
    pub fn next(&mut self, model: &Model) -> Op {
        loop {
            if let Some(op) = self.try_next(model) {
                return op;
            }
        }
    }

    fn try_next(&mut self, model: &Model) -> Option<Op> {
        let die = self.random.below(1000);
        let Profile {
            syncs, remounts, ..
        } = self.profile;
        if die < syncs {
            return self.sync(model);
        }
        if die < syncs + remounts {
            return Some(Op::Remount);
        }
        if die < syncs + 2 * remounts {
            return Some(Op::DropCaches);
        }
        let crowded = model.nodes().count() > self.profile.files;
        match self.random.below(20) {
            0..=4 if !crowded => self.create(model),
            0..=4 => self.remove(model),
            5..=10 => self.change_contents(model),
            11 => self.link(model),
            12..=13 => self.remove(model),
            14..=15 => self.rename(model),
            16..=17 => self.change_xattr(model),
            18 => {
                let id = self.any(model, |node| !matches!(node.kind, Kind::Symlink(_)))?;
                let (mode, owner) = (
                    self.random.below(0o1000) as u32,
                    self.random.below(3) as u32,
                );
                Some(Op::SetAttributes { id, mode, owner })
            }
            _ => self.unnamed(model),
        }
    }

    fn sync(&mut self, model: &Model) -> Option<Op> {
        if self.random.one_in(2) {
            return Some(Op::Sync);
        }
        Some(Op::Fsync {
            id: self.any(model, |_| true)?,
        })
    }

    fn any(&mut self, model: &Model, wanted: impl Fn(&Node) -> bool) -> Option<Id> {
        let ids: Vec<Id> = model
            .nodes()
            .filter(|(_, node)| wanted(node))
            .map(|(id, _)| id)
            .collect();
        (!ids.is_empty()).then(|| *self.random.choose(&ids))
    }

    fn directory(&mut self, model: &Model) -> Id {
        if self.random.one_in(2) {
            return ROOT;
        }
        self.any(model, |node| node.is_directory() && node.links > 0)
            .unwrap_or(ROOT)
    }

    /// A name that is taken.
    fn taken(&mut self, model: &Model) -> Option<Place> {
        let dir = self.any(model, |node| !node.entries.is_empty())?;
        let names: Vec<&Name> = model.node(dir).entries.keys().collect();
        Some(Place {
            dir,
            name: (*self.random.choose(&names)).clone(),
        })
    }

    fn name(&mut self) -> Name {
        match self.random.below(20) {
            0 => vec![b'L'; 255],
            1 => vec![b'm'; 200 + self.random.below(50) as usize],
            2..=5 => {
                let (first, second) = self.random.choose(colliding_names());
                if self.random.one_in(2) {
                    first.clone()
                } else {
                    second.clone()
                }
            }
            6 => {
                let mut name = vec![0; 1 + self.random.below(12) as usize];
                self.random.fill(&mut name);
                name.iter_mut()
                    .filter(|byte| matches!(byte, 0 | b'/' | b'.'))
                    .for_each(|byte| *byte = b'_');
                name
            }
            _ => format!("n{}", self.random.below(40)).into_bytes(),
        }
    }

    fn create(&mut self, model: &Model) -> Option<Op> {
        let at = Place {
            dir: self.directory(model),
            name: self.name(),
        };
        let kind = match self.random.below(12) {
            0..=6 => Kind::File,
            7..=9 => Kind::Directory,
            10 => {
                let len = *self.random.choose(&[1, 10, 200, 2000]);
                Kind::Symlink(vec![b'a' + (len % 26) as u8; len])
            }
            _ if self.random.one_in(2) => Kind::Fifo,
            _ => Kind::Device(self.random.below(1 << 20)),
        };
        let mode = if matches!(kind, Kind::Symlink(_)) {
            0o777
        } else {
            self.random.below(0o1000) as u32
        };
        Some(Op::Create {
            id: self.new_id(),
            at,
            kind,
            mode,
        })
    }

    fn link(&mut self, model: &Model) -> Option<Op> {
        let id = self.any(model, |node| !node.is_directory())?;
        let at = Place {
            dir: self.directory(model),
            name: self.name(),
        };
        Some(Op::Link { id, at })
    }

    fn remove(&mut self, model: &Model) -> Option<Op> {
        let at = self.taken(model)?;
        let id = model.at(&at)?;
        if model.node(id).is_directory() {
            return Some(Op::Rmdir { at });
        }
        let open = if self.random.one_in(6) {
            Open::Yes
        } else {
            Open::No
        };
        Some(Op::Unlink { at, open })
    }

    fn unnamed(&mut self, model: &Model) -> Option<Op> {
        if let Some(id) = self.any(model, |node| node.links == 0) {
            return Some(Op::Close { id });
        }
        let dir = self.directory(model);
        Some(Op::CreateUnnamed {
            id: self.new_id(),
            dir,
        })
    }

    fn rename(&mut self, model: &Model) -> Option<Op> {
        let from = self.taken(model)?;
        let to = match self.random.below(3) {
            0 => self.taken(model)?,
            _ => Place {
                dir: self.directory(model),
                name: self.name(),
            },
        };
        let moved = model.at(&from)?;
        let target = model.at(&to);
        if Some(moved) == target || model.goes_below(moved, to.dir) {
            return None;
        }
        let how = match (self.random.below(6), target) {
            (0, Some(other)) if !model.goes_below(other, from.dir) => How::Exchange,
            (1, _) => How::NoReplace,
            (2, _) => How::Whiteout(self.new_id()),
            _ => How::Replace,
        };
        if let (How::Replace | How::Whiteout(_), Some(target)) = (&how, target) {
            if model.node(target).is_directory() != model.node(moved).is_directory() {
                return None;
            }
            // Open files keep their own path to the end: see Unlink.
            if model.goes_below(target, from.dir) {
                return None;
            }
        }
        Some(Op::Rename { from, to, how })
    }

    fn change_contents(&mut self, model: &Model) -> Option<Op> {
        let id = self.any(model, |node| node.kind == Kind::File)?;
        let size = model.node(id).contents.size();
        let offset = self.offset(size);
        Some(match self.random.below(12) {
            0..=7 => {
                let len = 1 + self.length(self.profile.max_write - 1);
                Op::Write {
                    id,
                    offset,
                    len,
                    seed: self.random.next(),
                }
            }
            8..=9 => Op::Truncate { id, size: offset },
            10 => Op::PunchHole {
                id,
                offset,
                len: 1 + self.length(self.profile.max_write),
            },
            _ if self.profile.preallocation == Preallocation::Unsupported => return None,
            _ => Op::Preallocate {
                id,
                offset,
                len: 1 + self.length(self.profile.max_write),
            },
        })
    }

    /// A position in a file of `size`: often a border.
    fn offset(&mut self, size: u64) -> u64 {
        let max = self.profile.max_file;
        match self.random.below(16) {
            0..=2 => 0,
            3..=5 => size.min(max),
            6..=8 => self.random.below(max / 4096 + 1) * 4096,
            9 => self.random.below(max),
            10 => *self.random.choose(&[1 << 30, (1 << 40) + 12345]),
            _ => self.random.below(size.min(max) + 1),
        }
    }

    fn length(&mut self, max: u64) -> u64 {
        match self.random.below(4) {
            0 => self.random.below(max.min(100) + 1),
            1 => self.random.below(max.min(4096) + 1),
            2 => (self.random.below(max / 4096 + 1) * 4096).min(max),
            _ => self.random.below(max + 1),
        }
    }

    fn change_xattr(&mut self, model: &Model) -> Option<Op> {
        let id = self.any(model, |node| {
            matches!(node.kind, Kind::File | Kind::Directory)
        })?;
        let names: Vec<&Name> = model.node(id).xattrs.keys().collect();
        let name = match self.random.below(4) {
            0 if !names.is_empty() => (*self.random.choose(&names)).clone(),
            1 => {
                // The hash is over the whole name, so equal prefixes keep a collision.
                let (first, second) = self.random.choose(colliding_xattrs());
                if self.random.one_in(2) {
                    first.clone()
                } else {
                    second.clone()
                }
            }
            _ => format!("user.x{}", self.random.below(6)).into_bytes(),
        };
        if self.random.one_in(4) {
            return Some(Op::RemoveXattr { id, name });
        }
        let len = *self.random.choose(&[0, 1, 20, 300, 3000]);
        let mut value = vec![0; len];
        self.random.fill(&mut value);
        let mode = *self.random.choose(&[
            XattrMode::Any,
            XattrMode::Any,
            XattrMode::Create,
            XattrMode::Replace,
        ]);
        Some(Op::SetXattr {
            id,
            name,
            value,
            mode,
        })
    }
}

/// Pairs of names whose entries have the same key.
fn colliding_names() -> &'static [(Name, Name)] {
    static PAIRS: OnceLock<Vec<(Name, Name)>> = OnceLock::new();
    PAIRS.get_or_init(|| collisions(b"c"))
}

fn colliding_xattrs() -> &'static [(Name, Name)] {
    static PAIRS: OnceLock<Vec<(Name, Name)>> = OnceLock::new();
    PAIRS.get_or_init(|| collisions(b"user."))
}

fn collisions(prefix: &[u8]) -> Vec<(Name, Name)> {
    let mut random = Random::new(1);
    let mut seen = HashMap::new();
    let mut pairs = Vec::new();
    while pairs.len() < 6 {
        let name = [prefix, format!("{:x}", random.below(1 << 40)).as_bytes()].concat();
        if let Some(other) = seen.insert(name_hash(&name), name.clone()) {
            if other != name {
                pairs.push((other, name));
            }
        }
    }
    pairs
}
