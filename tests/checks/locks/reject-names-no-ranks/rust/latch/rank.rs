ranks! {
    /// An inode.
    Inode = c"rbtrfs_inode",
    /// A block
    /// of a tree.
    Tree = c"rbtrfs_tree",
}
