// SPDX-License-Identifier: GPL-2.0
//! The structures of the format, byte for byte (C: `include/uapi/linux/btrfs_tree.h`).
//!
//! | module       | what it has                                                              |
//! |--------------|--------------------------------------------------------------------------|
//! | `superblock` | the superblock                                                           |
//! | `block`      | tree blocks: header, items of a leaf, pointers of a node                 |
//! | `root`       | items of the root tree                                                   |
//! | `chunk`      | items of the chunk tree and the device tree                              |
//! | `extent`     | items of the extent tree                                                 |
//! | `space`      | block groups and free space                                              |
//! | `inode`      | items of files and directories                                           |
//! | `quota`      | items of the quota tree, of which only the shape is known                |
//! | `persistent` | the state of the volume's long jobs: replace, balance, device statistics |
//!
//! Any bytes are a valid `Raw*`: nothing here is checked. The typed values beside this folder are what the rest of the
//! engine reads and writes; only they, and tests that make broken bytes, come here.

// Without the feature nobody can reach what is public here.
#![cfg_attr(not(feature = "raw"), allow(unreachable_pub))]

mod block;
mod chunk;
mod extent;
mod inode;
mod persistent;
mod quota;
mod root;
mod space;
mod superblock;

pub use block::*;
pub use chunk::*;
pub use extent::*;
pub use inode::*;
pub use persistent::*;
pub use quota::*;
pub use root::*;
pub use space::*;
pub use superblock::*;

/// Declares on-disk structures: little-endian, without padding, each with its size stated and checked.
macro_rules! on_disk {
    ($($(#[$doc:meta])* $name:ident: $size:literal {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(
            Clone,
            Copy,
            Debug,
            zerocopy_derive::FromBytes,
            zerocopy_derive::IntoBytes,
            zerocopy_derive::KnownLayout,
            zerocopy_derive::Immutable,
            zerocopy_derive::Unaligned,
        )]
        #[repr(C)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        const _: () = assert!(core::mem::size_of::<$name>() == $size);

        impl $name {
            /// Bytes on disk.
            #[allow(dead_code)] // Of some nobody asks.
            pub const SIZE: usize = $size;
        }
    )*};
}
use on_disk;
