// SPDX-License-Identifier: GPL-2.0
//! Items of files and directories.

use super::{on_disk, RawKey};
use zerocopy::little_endian::{I64, U16, U32, U64};

on_disk! {
    /// A point in time (C: `btrfs_timespec`).
    RawTimespec: 12 {
        /// Seconds since 1970, signed.
        sec: I64,
        /// The nanoseconds within the second.
        nsec: U32,
    }

    /// An inode (C: `btrfs_inode_item`).
    RawInodeItem: 160 {
        /// The transaction that created it.
        generation: U64,
        /// The transaction that changed it last.
        transid: U64,
        /// Bytes of the file; for directories twice the length of all names.
        size: U64,
        /// Bytes that its extents take.
        nbytes: U64,
        /// An allocation hint.
        block_group: U64,
        /// The number of names.
        nlink: U32,
        /// The owner's user id.
        uid: U32,
        /// The owner's group id.
        gid: U32,
        /// Type and permissions.
        mode: U32,
        /// Device number of a device node, as the kernel has it (`dev_t`).
        rdev: U64,
        /// The flags of the inode.
        flags: U64,
        /// The counter of its changes.
        sequence: U64,
        /// These bytes are kept for the future.
        reserved: [U64; 4],
        /// When it was read last.
        atime: RawTimespec,
        /// Last change of the inode.
        ctime: RawTimespec,
        /// Last change of the contents.
        mtime: RawTimespec,
        /// When it was made.
        otime: RawTimespec,
    }

    /// A name of an inode; the name follows (C: `btrfs_inode_ref`).
    RawInodeRef: 10 {
        /// The entry's index in the directory.
        index: U64,
        /// Bytes of the name.
        name_len: U16,
    }

    /// A name of an inode, with its directory; the name follows (C: `btrfs_inode_extref`).
    RawInodeExtref: 18 {
        /// The directory that has the name.
        parent: U64,
        /// The entry's index in it.
        index: U64,
        /// Bytes of the name.
        name_len: U16,
    }

    /// A directory entry or extended attribute; name, then data follow (C: `btrfs_dir_item`).
    RawDirItem: 30 {
        /// What the entry names: an inode item's or a root item's key; zeros for an attribute.
        location: RawKey,
        /// The transaction that created it.
        transid: U64,
        /// Bytes of an attribute's value.
        data_len: U16,
        /// Bytes of the name.
        name_len: U16,
        /// The file type.
        kind: u8,
    }

    /// A range of a directory that the log knows in full (C: `btrfs_dir_log_item`).
    RawDirLogItem: 8 {
        /// The end of the range, inclusive.
        end: U64,
    }

    /// The front of a file extent, common to all; of an inline one the data follow.
    RawFileExtentHead: 21 {
        /// The transaction that created it.
        generation: U64,
        /// Bytes of the extent when decompressed.
        ram_bytes: U64,
        /// How it is compressed.
        compression: u8,
        /// This field is unused.
        encryption: u8,
        /// This field is unused.
        other_encoding: U16,
        /// Inline, regular or preallocated.
        kind: u8,
    }

    /// The back of a file extent that is not inline.
    RawFileExtentTail: 32 {
        /// The extent's address; zero is a hole.
        disk_addr: U64,
        /// The extent's length on disk.
        disk_len: U64,
        /// Where in the (decompressed) extent this piece starts.
        offset: U64,
        /// The piece's bytes in the file.
        len: U64,
    }

    /// A file extent that is not inline (C: `btrfs_file_extent_item`).
    RawFileExtent: 53 {
        /// Common to all.
        head: RawFileExtentHead,
        /// Where it is.
        tail: RawFileExtentTail,
    }

    /// An fs-verity descriptor's item at offset zero (C: `btrfs_verity_descriptor_item`).
    RawVerityDescriptor: 25 {
        /// Bytes of the descriptor.
        size: U64,
        /// These bytes are kept for the future.
        reserved: [U64; 2],
        /// This field is unused.
        encryption: u8,
    }
}
