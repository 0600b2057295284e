// SPDX-License-Identifier: GPL-2.0
//! Feature bits of the superblock: what must be known to mount, and what to write
//! (C: `include/uapi/linux/btrfs.h`).

use kernel::fmt;

// The kernel crate's `impl_flags!` makes two types, one flag and a set of them, and its sets cannot be joined in a constant:
// which features are known is one, and so is the table of names.
macro_rules! flags {
    (
        $(#[$type_doc:meta])* $type:ident($repr:ty):
        $($(#[$doc:meta])* $name:ident = $bit:literal;)*
    ) => {
        $(#[$type_doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $type($repr);

        impl $type {
            $($(#[$doc])* pub const $name: $type = $type(1 << $bit);)*
            /// The set without a bit.
            pub const NONE: $type = $type(0);

            /// Gives the number its meaning.
            pub const fn new(bits: $repr) -> Self {
                Self(bits)
            }

            /// The bits as the disk has them.
            pub const fn get(self) -> $repr {
                self.0
            }

            /// Whether all of `other` is set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The flags of both.
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// This set without `other`.
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// The bits that both sets have.
            pub const fn common(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            /// Whether no bit is set.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// The name of a bit, or `None` where the format defines none.
            pub const fn bit_name(bit: u32) -> Option<&'static str> {
                match bit {
                    $($bit => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut separator = "";
                for bit in 0..<$repr>::BITS {
                    if self.0 & (1 << bit) == 0 {
                        continue;
                    }
                    match Self::bit_name(bit) {
                        Some(name) => write!(f, "{separator}{name}")?,
                        None => write!(f, "{separator}bit {bit}")?,
                    }
                    separator = " ";
                }
                Ok(())
            }
        }
    };
}
pub(super) use flags;

flags! {
    /// Features that must be known to mount at all.
    Incompat(u64):
    /// References of extents as all file systems have them today.
    MIXED_BACKREF = 0;
    /// A default subvolume was set.
    DEFAULT_SUBVOL = 1;
    /// Block groups with data and metadata in one.
    MIXED_GROUPS = 2;
    /// LZO was used.
    COMPRESS_LZO = 3;
    /// Zstandard was used.
    COMPRESS_ZSTD = 4;
    /// Nodes are larger than a page of 4 KiB.
    BIG_METADATA = 5;
    /// Hashed inode references.
    EXTENDED_IREF = 6;
    /// RAID5 or RAID6.
    RAID56 = 7;
    /// Extent items of tree blocks without their first key.
    SKINNY_METADATA = 8;
    /// Holes in files have no item.
    NO_HOLES = 9;
    /// Tree blocks have another UUID than the superblock shows.
    METADATA_UUID = 10;
    /// RAID1 with three or four copies.
    RAID1C34 = 11;
    /// The volume has sequential zones.
    ZONED = 12;
    /// Extent tree version 2.
    EXTENT_TREE_V2 = 13;
    /// RAID stripe tree.
    RAID_STRIPE_TREE = 14;
    /// The volume counts by simple quotas.
    SIMPLE_QUOTA = 16;
    /// The volume has a remap tree.
    REMAP_TREE = 17;
}

flags! {
    /// Features that must be known to write.
    CompatRo(u64):
    /// The free space tree exists.
    FREE_SPACE_TREE = 0;
    /// The free space tree is right.
    FREE_SPACE_TREE_VALID = 1;
    /// There are files under fs-verity.
    VERITY = 2;
    /// Block group items have a tree of their own.
    BLOCK_GROUP_TREE = 3;
}

impl Incompat {
    /// What this code mounts; a volume with anything else is refused.
    pub const SUPPORTED: Incompat = Self::MIXED_BACKREF
        .with(Self::DEFAULT_SUBVOL)
        .with(Self::COMPRESS_LZO)
        .with(Self::COMPRESS_ZSTD)
        .with(Self::BIG_METADATA)
        .with(Self::EXTENDED_IREF)
        .with(Self::SKINNY_METADATA)
        .with(Self::NO_HOLES)
        .with(Self::METADATA_UUID)
        .with(Self::ZONED);
}

impl CompatRo {
    /// What this code writes; a volume with anything else is mounted read-only.
    pub const SUPPORTED: CompatRo = Self::FREE_SPACE_TREE
        .with(Self::FREE_SPACE_TREE_VALID)
        .with(Self::BLOCK_GROUP_TREE);

    /// There is a free space tree, and it does not tell what is free.
    pub fn has_stale_free_space(self) -> bool {
        self.contains(Self::FREE_SPACE_TREE) && !self.contains(Self::FREE_SPACE_TREE_VALID)
    }
}
