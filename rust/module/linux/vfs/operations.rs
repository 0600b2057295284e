// SPDX-License-Identifier: GPL-2.0

//! The calls that inodes of all kinds have.
//!
//! C header: `include/linux/fs.h`. The tables of each kind ([`directory`](super::directory), [`file`](super::file),
//! [`symlink`](super::symlink), [`special`](super::special)) begin with this one.

use super::attributes::{self, acl, Attributes};
use crate::linux::bindings as b;
use core::marker::PhantomData;

/// The calls on inodes of `T`.
pub(super) struct Common<T>(PhantomData<T>);

impl<T: Attributes> Common<T> {
    pub(super) const INODE: b::inode_operations = b::inode_operations {
        getattr: Some(attributes::getattr::<T>),
        setattr: Some(attributes::setattr::<T>),
        listxattr: Some(attributes::listxattr::<T>),
        update_time: Some(attributes::update_time::<T>),
        get_inode_acl: Some(acl::get::<T>),
        set_acl: Some(acl::set::<T>),
        permission: Some(attributes::permission::<T>),
        ..pin_init::zeroed()
    };
}
