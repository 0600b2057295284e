// SPDX-License-Identifier: GPL-2.0
//! Walks trees block by block, without the engine's search, and checks what must always hold.

use crate::ledger::{Books, Ledger};
use engine::btree::{BlockRef, Expected, Holder, RootPointer, Store, Tree};
use engine::disk::{Child, Header, Key, Kind, Leaf, Logical, Node, ObjectId};
use latch::{Latched, Nesting, Side, TreeKind};
use std::collections::BTreeMap;

/// What a walk found.
#[derive(Default)]
pub(crate) struct Found {
    pub items: BTreeMap<Key, Vec<u8>>,
    pub blocks: u64,
    pub leaves: u64,
    /// Bytes in use in leaves.
    pub used: u64,
    /// Where the blocks are.
    pub places: Vec<(Child, u8)>,
}

/// A copy of a locked block's bytes.
pub(crate) fn copy(block: &BlockRef) -> Vec<u8> {
    let nesting = Nesting {
        tree: TreeKind::Other,
        level: block.meta().level,
        side: Side::Path,
    };
    Latched::read(block, nesting).bytes().to_vec()
}

/// The block that a pointer names.
pub(crate) fn block(store: &dyn Store, child: &Child, level: u8) -> BlockRef {
    let expected = Expected {
        owner: None,
        level,
        generation: child.generation,
        first_key: None,
    };
    store.read(child.addr, &expected).unwrap()
}

/// A copy of a block's bytes.
pub(crate) fn bytes_of(
    store: &dyn Store,
    child: &Child,
    level: u8,
    owner: ObjectId,
    first: Option<Key>,
) -> Vec<u8> {
    let expected = Expected {
        owner: Some(owner),
        level,
        generation: child.generation,
        first_key: first,
    };
    let block = store.read(child.addr, &expected).unwrap();
    assert_eq!((block.meta().addr, block.meta().level), (child.addr, level));
    copy(&block)
}

pub(crate) fn walk(tree: &Tree) -> Found {
    walk_from(&**tree.store(), tree.owner(), tree.root_pointer())
}

pub(crate) fn walk_from(store: &dyn Store, id: ObjectId, root: RootPointer) -> Found {
    let mut found = Found::default();
    let child = Child {
        key: Key::MIN,
        addr: root.addr,
        generation: root.generation,
    };
    let bytes = bytes_of(store, &child, root.level, id, None);
    visit(store, id, &bytes, &child, root.level, None, &mut found);
    found
}

fn visit(
    store: &dyn Store,
    id: ObjectId,
    bytes: &[u8],
    pointer: &Child,
    level: u8,
    below: Option<Key>,
    found: &mut Found,
) {
    let header = Header::new(bytes).unwrap();
    assert_eq!(header.addr, pointer.addr);
    assert_eq!(header.generation, pointer.generation);
    assert_eq!(header.level, level);
    assert_eq!(header.flags >> 56, 1);
    found.blocks += 1;
    found.places.push((*pointer, level));
    if level == 0 {
        visit_leaf(bytes, below, found);
        return;
    }
    let node = Node::new(bytes);
    assert_eq!(node.nritems(), header.nritems as usize);
    assert!(node.nritems() > 0);
    for slot in 0..node.nritems() {
        let child = node.child(slot).unwrap();
        let end = node.key(slot + 1).or(below);
        assert!(
            end.is_none_or(|end| child.key < end),
            "node keys out of order"
        );
        assert!(child.generation <= header.generation);
        let bytes = bytes_of(store, &child, level - 1, id, Some(child.key));
        let first = if level == 1 {
            Leaf::new(&bytes).key(0)
        } else {
            Node::new(&bytes).key(0)
        };
        assert_eq!(
            first,
            Some(child.key),
            "a parent's key is not its child's first"
        );
        visit(store, id, &bytes, &child, level - 1, end, found);
    }
}

fn visit_leaf(bytes: &[u8], below: Option<Key>, found: &mut Found) {
    let header = Header::new(bytes).unwrap();
    let leaf = Leaf::new(bytes);
    assert_eq!(leaf.nritems(), header.nritems as usize);
    found.leaves += 1;
    let area = bytes.len() - engine::disk::HEADER_SIZE;
    found.used += (area - leaf.free_space()) as u64;
    let mut end = area;
    for slot in 0..leaf.nritems() {
        let (key, data) = leaf.item(slot).unwrap();
        let bounds = leaf.bounds(slot).unwrap();
        assert_eq!(bounds.end, end, "a gap between items' data");
        end = bounds.start;
        let next = leaf.key(slot + 1).or(below);
        assert!(next.is_none_or(|next| key < next), "items out of order");
        assert_eq!(found.items.insert(key, data.to_vec()), None);
    }
    assert!(end >= leaf.nritems() * 25);
}

/// The books as they should be, from the trees themselves.
pub(crate) fn books(
    store: &dyn Store,
    ledger: &Ledger,
    roots: &[(ObjectId, RootPointer)],
) -> Books {
    let mut books = Books::default();
    for (id, root) in roots {
        let child = Child {
            key: Key::MIN,
            addr: root.addr,
            generation: root.generation,
        };
        reference(
            store,
            ledger,
            &mut books,
            &child,
            root.level,
            Holder::Tree(*id),
        );
    }
    books
}

fn reference(
    store: &dyn Store,
    ledger: &Ledger,
    books: &mut Books,
    child: &Child,
    level: u8,
    holder: Holder,
) {
    let seen = books.blocks.contains_key(&child.addr.get());
    *books
        .blocks
        .entry(child.addr.get())
        .or_default()
        .entry(holder)
        .or_default() += 1;
    if seen {
        return;
    }
    let bytes = bytes_of(store, child, level, ObjectId::FS_TREE, None);
    let owner = Header::new(&bytes).unwrap().owner;
    let below = if ledger.is_full(child.addr.get()) {
        Holder::Parent(child.addr)
    } else {
        Holder::Tree(owner)
    };
    if level == 0 {
        for (key, extent) in extents(&bytes) {
            let entry = (
                extent.addr.get(),
                extent.len,
                below,
                key.objectid.get(),
                key.offset - extent.offset,
            );
            *books.data.entry(entry).or_default() += 1;
        }
        return;
    }
    let node = Node::new(&bytes);
    for slot in 0..node.nritems() {
        reference(
            store,
            ledger,
            books,
            &node.child(slot).unwrap(),
            level - 1,
            below,
        );
    }
}

/// A piece of a data extent.
pub(crate) struct Extent {
    pub addr: Logical,
    pub len: u64,
    pub offset: u64,
}

fn extents(bytes: &[u8]) -> Vec<(Key, Extent)> {
    let leaf = Leaf::new(bytes);
    let mut extents = Vec::new();
    for slot in 0..leaf.nritems() {
        let (key, data) = leaf.item(slot).unwrap();
        if key.kind != Kind::EXTENT_DATA || data[20] == 0 {
            continue;
        }
        let number = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().unwrap());
        let extent = Extent {
            addr: Logical::new(number(21)),
            len: number(29),
            offset: number(37),
        };
        if extent.addr.get() != 0 {
            extents.push((key, extent));
        }
    }
    extents
}
