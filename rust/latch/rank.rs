// SPDX-License-Identifier: GPL-2.0

//! The order of locks: the one list of all that a task may wait for while it holds something else.
//!
//! A lock is made with its [`Rank`], and with nothing else. A task that holds a lock waits only for locks of later
//! ranks. Two locks of one rank are held at once only where they are blocks of one tree, see
//! [`Nesting`](crate::Nesting). To try a lock is always allowed. Lockdep has a class for each rank; the host's tests
//! refuse every acquisition against the list where it happens. Pages and other comments quote this list, and
//! `scripts/check-locks` compares.

use core::ffi::CStr;

/// Makes the enum and the names; each rank has a sentence for what it guards.
macro_rules! ranks {
    ($($(#[doc = $guards:literal])+ $rank:ident = $name:literal,)+) => {
        /// A place in the order of locks, the outermost first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Rank {
            $($(#[doc = $guards])+ $rank,)+
        }

        impl Rank {
            /// How many there are.
            pub const COUNT: usize = [$(Self::$rank),+].len();

            /// The name that lockdep reports.
            pub const fn name(self) -> &'static CStr {
                match self {
                    $(Self::$rank => $name,)+
                }
            }
        }
    };
}

ranks! {
    /// The VFS's `s_umount`: mount, remount, freeze and unmount against each other and against sync.
    SuperBlock = c"s_umount",
    /// The VFS's lock of an inode, `i_rwsem`: names of a directory, size and contents of a file. Of two inodes by the
    /// VFS's rules.
    InodeLock = c"i_rwsem",
    /// The options of a mount, to be changed by a remount and shown.
    Settings = c"rbtrfs_settings",
    /// The thread that commits from time to time.
    Committer = c"rbtrfs_committer",
    /// The files that tell of a mount, in debugfs and sysfs.
    Told = c"rbtrfs_told",
    /// Waiting for the data of files that have taken the place of others.
    ReplacedTurn = c"rbtrfs_replaced_turn",
    /// Which files have taken the place of others, and are not written out yet.
    Replaced = c"rbtrfs_replaced",
    /// The memory map of a process, `mmap_lock`: taken by the kernel around page faults.
    MmapLock = c"mmap_lock",
    /// `invalidate_lock` of a file's pages: faults against cutting the file.
    InvalidateLock = c"mapping.invalidate_lock",
    /// A range of a file that a direct write has entered, until that ends. A place that is waited for.
    DirectRange = c"direct_range",
    /// Cutting a file, and making holes in it, against the workers that give its dirty blocks space.
    Cuts = c"rbtrfs_cuts",
    /// Whose turn it is to write out everything, where there was no space.
    WriteOut = c"rbtrfs_write_out",
    /// The lock of a folio of file data, and its writeback.
    DataFolio = c"folio_lock",
    /// The folios of a file that wait for a worker to find space for them.
    Fixups = c"rbtrfs_fixups",
    /// Which ranges of a file direct writes have entered.
    DirectRanges = c"rbtrfs_direct_ranges",
    /// What the task that writes to a file has reserved and not used yet.
    Writer = c"rbtrfs_writer",
    /// The ranges of a file that are dirty and have no address.
    Delalloc = c"rbtrfs_delalloc",
    /// Cleaning the orphans of a subvolume, once.
    Orphans = c"rbtrfs_orphans",
    /// Moving file data out of block groups, one group at a time.
    Relocation = c"rbtrfs_relocation",
    /// A handle, which its transaction waits for before it commits. A place, and one for each task.
    Transaction = c"rbtrfs_transaction",
    /// The file extent items of an inode, while they are rearranged. Of one inode at a time: what several files have of
    /// one extent is counted in the extent tree, so the items of each file are changed by themselves.
    InodeExtents = c"rbtrfs_inode_extents",
    /// The attributes of an inode. Of one inode at a time.
    InodeState = c"rbtrfs_inode_state",
    /// The next inode number of a subvolume.
    NextInode = c"rbtrfs_next_inode",
    /// Reading a subvolume into memory, one at a time.
    SubvolumeOpening = c"rbtrfs_subvolume_opening",
    /// Making and removing chunks, and the device ranges that are not free yet.
    Chunks = c"rbtrfs_chunks",
    /// Opening a tree by its root item, one at a time.
    TreeOpening = c"rbtrfs_tree_opening",
    /// The right to write metadata, and what is known of the zones that it goes to.
    WriteOrder = c"rbtrfs_write_order",
    /// A block of a tree that snapshots may share, or of any tree for who writes it out.
    FileTree = c"rbtrfs_file_tree",
    /// Applying delayed references, one head at a time.
    RefsRunner = c"rbtrfs_delayed_ref_runner",
    /// What the trees have of a block group and what they lack.
    BlockGroupItems = c"rbtrfs_block_group_items",
    /// Which file of a free space cache is whose, while one is taken over or dropped.
    CacheFiles = c"rbtrfs_cache_files",
    /// A block of a tree that no snapshot shares: those of extents, chunks, devices, checksums, free space and roots.
    MetadataTree = c"rbtrfs_metadata_tree",
    /// Where a tree has its root.
    TreeRoot = c"rbtrfs_tree_root",
    /// The lock of a folio of tree blocks, and its writeback.
    MetadataFolio = c"metadata_folio_lock",
    /// What the VFS shows of each subvolume in use.
    Views = c"rbtrfs_views",
    /// The device numbers of subvolumes.
    SubvolumeDevices = c"rbtrfs_subvolume_devices",
    /// The subvolumes in use.
    Subvolumes = c"rbtrfs_subvolumes",
    /// Which inodes of a subvolume have a lock of their extents in memory.
    ExtentLocks = c"rbtrfs_extent_locks",
    /// The trees that are open.
    OpenTrees = c"rbtrfs_open_trees",
    /// The references that wait to be applied.
    DelayedRefs = c"rbtrfs_delayed_refs",
    /// The blocks of a transaction and the trees that it changed.
    TransactionRecord = c"rbtrfs_transaction_record",
    /// The chunks that a transaction made and removed.
    TransactionChunks = c"rbtrfs_transaction_chunks",
    /// Which transaction is running, who is in it and how far its commit is.
    Joining = c"rbtrfs_joining",
    /// What commits have cost so far.
    CommitCounters = c"rbtrfs_commit_counters",
    /// How many writes of data have ended on sequential zones.
    DataProgress = c"rbtrfs_data_progress",
    /// The set of block groups.
    BlockGroups = c"rbtrfs_block_groups",
    /// A block group: its bytes by state, and where they are free.
    BlockGroup = c"rbtrfs_block_group",
    /// The groups of a class by what can be had from each.
    GroupIndex = c"rbtrfs_group_index",
    /// The ranges that were freed and must not be used before the next superblock.
    Pinned = c"rbtrfs_pinned",
    /// The block groups whose items are behind.
    DirtyBlockGroups = c"rbtrfs_dirty_block_groups",
    /// The ranges that devices are yet to be told of.
    WaitingTrims = c"rbtrfs_waiting_trims",
    /// The bytes of a class by state, and what is promised of them.
    SpaceTotals = c"rbtrfs_space_totals",
    /// Writing a superblock, over the IO.
    SuperblockWriter = c"rbtrfs_superblock_writer",
    /// The superblock in memory.
    Superblock = c"rbtrfs_superblock",
    /// Where the disk has what is free.
    FreeSpaceHome = c"rbtrfs_free_space_home",
    /// Which chunk has which addresses.
    ChunkMap = c"rbtrfs_chunk_map",
    /// The states of a device's zones and who may activate some.
    Zones = c"rbtrfs_zones",
    /// The pages that a superblock goes through.
    Bounce = c"rbtrfs_bounce",
}
