// SPDX-License-Identifier: GPL-2.0
mod inode;
mod names;
mod extents;
mod times;
mod links;
