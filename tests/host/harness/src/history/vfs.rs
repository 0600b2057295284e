// SPDX-License-Identifier: GPL-2.0
//! What the VFS lets through: it refuses the rest before a file system is asked.

use super::model::{Model, Node};
use super::op::{How, Id, Kind, Op, Place};

impl Model {
    /// Whether a step reaches the file system. A history without some of its steps may have others that do not.
    pub fn lets_through(&self, op: &Op) -> bool {
        match op {
            Op::Create { at, .. } => self.is_directory(at.dir),
            Op::CreateUnnamed { dir, .. } => self.is_directory(*dir),
            Op::Link { id, at } => {
                self.is(*id, |node| !node.is_directory()) && self.is_directory(at.dir)
            }
            Op::Unlink { at, .. } => self.names(at, |node| !node.is_directory()),
            Op::Rmdir { at } => self.names(at, Node::is_directory),
            Op::Close { id } => self.is(*id, |node| node.links == 0),
            Op::Rename { from, to, how } => self.lets_rename(from, to, how),
            Op::Write { id, .. }
            | Op::Truncate { id, .. }
            | Op::PunchHole { id, .. }
            | Op::Preallocate { id, .. } => self.is(*id, |node| node.kind == Kind::File),
            Op::SetXattr { id, .. } | Op::RemoveXattr { id, .. } => self.is(*id, |node| {
                matches!(node.kind, Kind::File | Kind::Directory)
            }),
            Op::SetAttributes { id, .. } => {
                self.is(*id, |node| !matches!(node.kind, Kind::Symlink(_)))
            }
            Op::Fsync { id } => self.is(*id, |_| true),
            Op::Sync | Op::DropCaches | Op::Remount => true,
        }
    }

    fn is(&self, id: Id, what: impl Fn(&Node) -> bool) -> bool {
        self.find(id).is_some_and(what)
    }

    fn is_directory(&self, id: Id) -> bool {
        self.is(id, Node::is_directory)
    }

    fn names(&self, at: &Place, what: impl Fn(&Node) -> bool) -> bool {
        self.is_directory(at.dir) && self.at(at).is_some_and(|id| self.is(id, what))
    }

    fn lets_rename(&self, from: &Place, to: &Place, how: &How) -> bool {
        if !self.names(from, |_| true) || !self.is_directory(to.dir) {
            return false;
        }
        let (moved, target) = (self.at(from).expect("a name"), self.at(to));
        if Some(moved) == target || self.goes_below(moved, to.dir) {
            return false;
        }
        match (how, target) {
            (How::NoReplace, _) => true,
            (How::Exchange, target) => {
                target.is_some_and(|other| !self.goes_below(other, from.dir))
            }
            (_, None) => true,
            (_, Some(target)) => {
                let alike = self.is_directory(target) == self.is_directory(moved);
                // Open files keep their own path to the end: see Unlink.
                alike && !self.goes_below(target, from.dir)
            }
        }
    }

    /// Whether a directory would be moved into itself or below.
    pub(super) fn goes_below(&self, id: Id, dir: Id) -> bool {
        self.is_directory(id) && self.is_below(dir, id)
    }
}
