// SPDX-License-Identifier: GPL-2.0
//! An ordered map with fallible insertion, over the kernel's red-black tree.
