// SPDX-License-Identifier: GPL-2.0
//! What a file system should do, in the simplest form.

use super::contents::Contents;
use super::op::{How, Id, Kind, Name, Op, Open, Place, XattrMode, ROOT};
use super::snapshot::{File, Path, Snapshot};
use kernel::prelude::{Error, EEXIST, ENODATA, ENOTEMPTY};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A file system in memory. Cheap to clone.
#[derive(Clone)]
pub struct Model {
    nodes: BTreeMap<Id, Arc<Node>>,
    now: i64,
}

/// A file.
#[derive(Clone)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: u32,
    /// Number of names.
    pub links: u32,
    /// When the contents changed last.
    pub mtime: i64,
    /// The bytes of a regular file.
    pub contents: Contents,
    /// The entries of a directory.
    pub entries: BTreeMap<Name, Id>,
    /// Extended attributes.
    pub xattrs: BTreeMap<Name, Vec<u8>>,
}

impl Node {
    fn new(kind: Kind, mode: u32, mtime: i64) -> Arc<Self> {
        Arc::new(Self {
            kind,
            mode,
            owner: 0,
            links: 1,
            mtime,
            contents: Contents::default(),
            entries: BTreeMap::new(),
            xattrs: BTreeMap::new(),
        })
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// Permission bits of the root directory.
const ROOT_MODE: u32 = 0o755;

impl Default for Model {
    fn default() -> Self {
        let root = Node::new(Kind::Directory, ROOT_MODE, 0);
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            now: 0,
        }
    }
}

impl Model {
    /// The time of the next step, in seconds.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// A file.
    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[&id]
    }

    /// A file, if there is one.
    pub fn find(&self, id: Id) -> Option<&Node> {
        self.nodes.get(&id).map(|node| &**node)
    }

    /// All files, those without a name among them.
    pub fn nodes(&self) -> impl Iterator<Item = (Id, &Node)> {
        self.nodes.iter().map(|(id, node)| (*id, &**node))
    }

    /// What a name names.
    pub fn at(&self, place: &Place) -> Option<Id> {
        self.node(place.dir).entries.get(&place.name).copied()
    }

    /// Whether `dir` is `ancestor` or below it.
    pub fn is_below(&self, dir: Id, ancestor: Id) -> bool {
        if dir == ancestor {
            return true;
        }
        let below = |id: &Id| self.node(*id).is_directory() && self.is_below(dir, *id);
        self.node(ancestor).entries.values().any(below)
    }

    fn change(&mut self, id: Id) -> &mut Node {
        Arc::make_mut(
            self.nodes
                .get_mut(&id)
                .expect("the history knows its files"),
        )
    }

    fn enter(&mut self, at: &Place, id: Id) {
        let now = self.now;
        let dir = self.change(at.dir);
        dir.entries.insert(at.name.clone(), id);
        dir.mtime = now;
    }

    fn leave(&mut self, at: &Place) -> Id {
        let now = self.now;
        let dir = self.change(at.dir);
        dir.mtime = now;
        dir.entries
            .remove(&at.name)
            .expect("the history knows its names")
    }

    /// Takes a name's count off; the file goes with the last one unless it is open.
    fn drop_link(&mut self, id: Id, open: Open) {
        let node = self.change(id);
        node.links = if node.is_directory() {
            0
        } else {
            node.links - 1
        };
        if node.links == 0 && open == Open::No {
            self.nodes.remove(&id);
        }
    }

    /// Does a step, or says what a file system must refuse it with.
    pub fn apply(&mut self, op: &Op) -> Result<(), Error> {
        self.now += 1;
        match op {
            Op::Create { id, at, kind, mode } => {
                if self.at(at).is_some() {
                    return Err(EEXIST);
                }
                self.nodes
                    .insert(*id, Node::new(kind.clone(), *mode, self.now));
                self.enter(at, *id);
            }
            Op::CreateUnnamed { id, .. } => {
                self.nodes
                    .insert(*id, Node::new(Kind::File, 0o600, self.now));
                self.change(*id).links = 0;
            }
            Op::Link { id, at } => {
                if self.at(at).is_some() {
                    return Err(EEXIST);
                }
                self.change(*id).links += 1;
                self.enter(at, *id);
            }
            Op::Unlink { at, open } => {
                let id = self.leave(at);
                self.drop_link(id, *open);
            }
            Op::Close { id } => {
                self.nodes.remove(id);
            }
            Op::Rmdir { at } => {
                let id = self.at(at).expect("the history knows its names");
                if !self.node(id).entries.is_empty() {
                    return Err(ENOTEMPTY);
                }
                self.leave(at);
                self.drop_link(id, Open::No);
            }
            Op::Rename { from, to, how } => self.rename(from, to, how)?,
            Op::Write {
                id,
                offset,
                len,
                seed,
            } => {
                let now = self.now;
                let node = self.change(*id);
                node.contents.write(*offset, &Op::bytes(*len, *seed));
                node.mtime = now;
            }
            Op::Truncate { id, size } => {
                let now = self.now;
                let node = self.change(*id);
                node.contents.truncate(*size);
                node.mtime = now;
            }
            Op::PunchHole { id, offset, len } => {
                let now = self.now;
                let node = self.change(*id);
                let end = (offset + len).min(node.contents.size());
                node.contents.zero(*offset, end.saturating_sub(*offset));
                node.mtime = now;
            }
            Op::Preallocate { id, offset, len } => {
                let now = self.now;
                let node = self.change(*id);
                node.contents.grow(offset + len);
                node.mtime = now;
            }
            Op::SetXattr {
                id,
                name,
                value,
                mode,
            } => {
                let exists = self.node(*id).xattrs.contains_key(name);
                match mode {
                    XattrMode::Create if exists => return Err(EEXIST),
                    XattrMode::Replace if !exists => return Err(ENODATA),
                    _ => {}
                }
                self.change(*id).xattrs.insert(name.clone(), value.clone());
            }
            Op::RemoveXattr { id, name } => {
                if !self.node(*id).xattrs.contains_key(name) {
                    return Err(ENODATA);
                }
                self.change(*id).xattrs.remove(name);
            }
            Op::SetAttributes { id, mode, owner } => {
                let node = self.change(*id);
                node.mode = *mode;
                node.owner = *owner;
            }
            Op::Sync | Op::Fsync { .. } | Op::DropCaches => {}
            Op::Remount => self.nodes.retain(|_, node| node.links > 0),
        }
        Ok(())
    }

    fn rename(&mut self, from: &Place, to: &Place, how: &How) -> Result<(), Error> {
        let moved = self.at(from).expect("the history knows its names");
        let target = self.at(to);
        if *how == How::Exchange {
            let other = target.expect("the history knows its names");
            self.enter(from, other);
            self.enter(to, moved);
            return Ok(());
        }
        if let Some(target) = target {
            if *how == How::NoReplace {
                return Err(EEXIST);
            }
            if !self.node(target).entries.is_empty() {
                return Err(ENOTEMPTY);
            }
            self.leave(to);
            self.drop_link(target, Open::No);
        }
        self.leave(from);
        self.enter(to, moved);
        if let How::Whiteout(id) = how {
            self.nodes
                .insert(*id, Node::new(Kind::Device(0), 0, self.now));
            self.enter(from, *id);
        }
        Ok(())
    }

    /// This with other contents of a file, as after a write that ended half done.
    pub fn with_contents(&self, id: Id, contents: Contents, mtime: i64) -> Self {
        let mut model = self.clone();
        let node = model.change(id);
        (node.contents, node.mtime) = (contents, mtime);
        model
    }

    /// This at another time.
    pub fn at_time(&self, now: i64) -> Self {
        Self {
            now,
            ..self.clone()
        }
    }

    /// Whether a file is the same here and there: nobody changed it in between.
    pub fn same_file(&self, other: &Self, id: Id) -> bool {
        match (self.nodes.get(&id), other.nodes.get(&id)) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            _ => false,
        }
    }

    /// A path of a file that has a name.
    pub fn path(&self, id: Id) -> Option<Path> {
        let mut paths = BTreeMap::new();
        self.visit(ROOT, &mut Path::new(), &mut paths, &mut Snapshot::default());
        paths.remove(&id)
    }

    /// What users can see.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut paths = BTreeMap::new();
        self.visit(ROOT, &mut Path::new(), &mut paths, &mut snapshot);
        snapshot
    }

    fn visit(
        &self,
        id: Id,
        path: &mut Path,
        paths: &mut BTreeMap<Id, Path>,
        snapshot: &mut Snapshot,
    ) {
        let node = self.node(id);
        let first_path = paths.entry(id).or_insert_with(|| path.clone()).clone();
        let file = File {
            first_path,
            kind: node.kind.clone(),
            mode: node.mode,
            owner: node.owner,
            links: node.links,
            mtime: node.mtime,
            contents: node.contents.clone(),
            xattrs: node.xattrs.clone(),
        };
        snapshot.files.insert(path.clone(), file);
        for (name, child) in &node.entries {
            let len = path.len();
            path.push(b'/');
            path.extend_from_slice(name);
            self.visit(*child, path, paths, snapshot);
            path.truncate(len);
        }
    }
}
