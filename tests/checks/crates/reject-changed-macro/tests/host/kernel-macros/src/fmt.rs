// SPDX-License-Identifier: GPL-2.0
//! Not what the kernel has.
